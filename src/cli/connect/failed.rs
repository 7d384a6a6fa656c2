//! Why nobody has signed in, and what to do.

use std::io;
use std::time::Duration;

use super::super::failure::Failure;
use super::super::output::count;
use crate::config::SignIn;
use crate::oauth::{RedirectError, TokenRemedy, TokenRequestError, connect_action};

/// Why a sign-in has failed.
#[derive(Debug)]
pub(super) enum SignInFailure {
    /// The provider gave no token.
    Provider(TokenRequestError),
    /// It can't be said, or asked.
    Told(Failure),
    /// No port could be had for the browser.
    Loopback(io::Error),
    /// Nothing that was pasted was of use.
    Unusable,
    /// Nobody has used the code while it was good.
    CodeExpired,
    /// Nobody has signed in within this time.
    TooLate(Duration),
    /// The input has ended before anything was pasted.
    NothingPasted,
    /// The person had enough.
    GivenUp,
    /// There is no refresh token: it would be over with the first token.
    NoRefreshToken,
}

impl SignInFailure {
    /// In words: what, why, and what to do.
    pub(super) fn into_failure(self, sign_in: &SignIn) -> Failure {
        let again = connect_action(&sign_in.name);
        let paste = connect_action(&format!("{} --paste", sign_in.name));
        let text = match self {
            Self::Told(failure) => return failure,
            Self::Provider(error) => {
                let action = match error.remedy(sign_in) {
                    TokenRemedy::Person { action } => action,
                    TokenRemedy::Retry { action, .. } => action.unwrap_or_else(|| "try again".to_owned()),
                };
                match error.refusal().map(|refusal| refusal.error.as_str()) {
                    Some("expired_token" | "code_expired") => return Self::CodeExpired.into_failure(sign_in),
                    _ => format!("{error}: {action}"),
                }
            }
            Self::Loopback(error) => format!("cannot listen for the browser ({error}): {paste}"),
            Self::Unusable => format!("nothing that was pasted was of use: {paste}"),
            Self::CodeExpired => format!("nobody has used the code in time: {again}"),
            Self::TooLate(limit) => format!("nobody has signed in within {}: {again}", minutes(limit)),
            Self::NothingPasted => format!("given up, for nothing was pasted: {paste}"),
            Self::GivenUp => "given up".to_owned(),
            Self::NoRefreshToken => {
                "the provider gave no refresh token, so the sign-in would end with the first token: scope must ask for \
                 one (offline_access), and the application must be allowed to have it"
                    .to_owned()
            }
        };
        Failure::new(format!("{}: {text}; nothing is stored", sign_in.name))
    }
}

/// A time as a person reads it.
pub(super) fn minutes(time: Duration) -> String {
    count(time.as_secs().div_ceil(60), "minute")
}

impl From<TokenRequestError> for SignInFailure {
    fn from(error: TokenRequestError) -> Self {
        Self::Provider(error)
    }
}

impl From<RedirectError> for SignInFailure {
    fn from(error: RedirectError) -> Self {
        match error {
            RedirectError::Refused(refusal) => Self::Provider(refusal.into()),
            RedirectError::State | RedirectError::NoCode => Self::Unusable,
        }
    }
}

impl From<Failure> for SignInFailure {
    fn from(failure: Failure) -> Self {
        Self::Told(failure)
    }
}
