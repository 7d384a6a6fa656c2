//! What a token endpoint answers, and what is made of it.

use std::time::Duration;

use http::Response;
use secrecy::SecretString;
use serde_json::Value;

use super::error::{TokenRefusal, TokenRequestError};
use super::token::AccessToken;
use crate::web::retry_after;

/// How long a token lasts of which the provider does not say it.
const USUAL_LIFETIME: Duration = Duration::from_hours(1);
/// The longest time that a token is believed to last.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// The longest time that a server may want to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Tokens that a provider has given.
#[derive(Debug)]
pub struct Issued {
    /// The one to log in with.
    pub access: AccessToken,
    /// How long it lasts.
    pub lifetime: Duration,
    /// The one by which others are had: in place of the last one, if that came with one.
    pub refresh: Option<SecretString>,
    /// Who has signed in, if the provider says so.
    pub account: Option<String>,
}

/// Puts an answer together; `None` when the token can't be one.
pub(super) fn issued(
    access: &str,
    lifetime: Option<Duration>,
    refresh: Option<SecretString>,
    account: Option<String>,
) -> Option<Issued> {
    // It goes into lines of SMTP and header fields of HTTP (RFC 6749 A.12).
    let is_sound = !access.is_empty() && access.bytes().all(|b| (b' '..=b'~').contains(&b));
    let lifetime = lifetime.unwrap_or(USUAL_LIFETIME).min(LONGEST_LIFETIME);
    is_sound.then(|| Issued { access: AccessToken::new(access.into()), lifetime, refresh, account })
}

/// Whether an answer is one of a token endpoint at all.
///
/// # Errors
/// When the server can't answer now, or is no token endpoint.
pub(super) fn check(host: &str, response: &Response<Vec<u8>>) -> Result<(), TokenRequestError> {
    let (status, host) = (response.status().as_u16(), host.to_owned());
    if status == 429 || status >= 500 {
        return Err(TokenRequestError::Busy { host, status, retry_after: asked_pause(response) });
    }
    match serde_json::from_slice::<Value>(response.body()) {
        Ok(Value::Object(fields)) if status == 200 || fields.get("error").is_some_and(Value::is_string) => {
            Ok(())
        }
        _ => Err(TokenRequestError::Garbage { host, status }),
    }
}

/// How long the answer asks to wait, as far as that is believed.
fn asked_pause(response: &Response<Vec<u8>>) -> Option<Duration> {
    retry_after(response.headers()).map(|wait| wait.min(LONGEST_PAUSE))
}

/// Reads an answer, `expires_in` as a number or, as Azure has it, as a text.
///
/// # Errors
/// When it holds no token.
pub(super) fn read(host: &str, response: &Response<Vec<u8>>) -> Result<Issued, TokenRequestError> {
    let status = response.status().as_u16();
    let garbage = || TokenRequestError::Garbage { host: host.to_owned(), status };
    let fields: Value = serde_json::from_slice(response.body()).map_err(|_| garbage())?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    if let Some(error) = text("error") {
        return Err(TokenRefusal::new(error, text("error_description")).into());
    }
    let seconds =
        fields.get("expires_in").and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    let is_bearer = text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let access = text("access_token").filter(|_| is_bearer).unwrap_or_default();
    issued(access, seconds.map(Duration::from_secs), None, None).ok_or_else(garbage)
}
