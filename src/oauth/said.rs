//! What a request has said that nobody may read, and that a provider's words may repeat: whoever shows such words asks here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::form_urlencoded;

use crate::smtp::shown::HIDDEN;

/// The fields of a request that are secret (RFC 6749, RFC 7521 4, RFC 7636 4.5, RFC 8628 3.4).
const SECRET_FIELDS: [&str; 7] = [
    "client_secret",
    "client_assertion",
    "assertion",
    "refresh_token",
    "code",
    "code_verifier",
    "device_code",
];
/// The fields of a refusal that are shown.
const SHOWN_FIELDS: [&str; 2] = ["error", "error_description"];
/// What is shorter may stand in a provider's words by chance, in octets.
const LEAST_SECRET: usize = 4;
/// A part of a secret that is shorter says nothing of it, in octets.
const LEAST_PART: usize = 12;

/// The secrets of a request.
pub(super) struct SaidSecrets(Vec<SecretString>);

impl SaidSecrets {
    /// Those of this request.
    pub(super) fn of(request: &Request<Vec<u8>>) -> Self {
        let fields = form_urlencoded::parse(request.body());
        let fields = fields.filter(|(name, _)| SECRET_FIELDS.contains(&&**name));
        let mut said: Vec<String> = fields.map(|(_, value)| value.into_owned()).collect();
        let login = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(coded) = login.and_then(|login| login.strip_prefix("Basic ")) {
            let pair = STANDARD.decode(coded).unwrap_or_default();
            let pair = String::from_utf8_lossy(&pair);
            said.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
            said.push(coded.to_owned());
        }
        let coded: Vec<String> =
            said.iter().map(|secret| form_urlencoded::byte_serialize(secret.as_bytes()).collect()).collect();
        let mut all: Vec<_> =
            said.into_iter().chain(coded).filter(|secret| secret.len() >= LEAST_SECRET).collect();
        // One may hold another.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(all.into_iter().map(SecretString::from).collect())
    }

    /// The answer, whose words, if it is a refusal, repeat none of them, nor a part of one.
    pub(super) fn left_out(&self, response: Response<Vec<u8>>) -> Response<Vec<u8>> {
        let (head, body) = response.into_parts();
        let body = match serde_json::from_slice::<Value>(&body) {
            Ok(Value::Object(mut fields)) if fields.contains_key("error") => {
                for name in SHOWN_FIELDS {
                    if let Some(Value::String(words)) = fields.get_mut(name) {
                        *words = self.without(words);
                    }
                }
                Value::Object(fields).to_string().into_bytes()
            }
            _ => body,
        };
        Response::from_parts(head, body)
    }

    fn without(&self, words: &str) -> String {
        let secrets: Vec<&str> = self.0.iter().map(ExposeSecret::expose_secret).collect();
        without_secrets(words, &secrets)
    }
}

/// A provider's words, in which none of these secrets is shown, nor a part of one that says something of it.
pub(crate) fn without_secrets(words: &str, secrets: &[&str]) -> String {
    let words = secrets.iter().fold(words.to_owned(), |words, secret| words.replace(secret, HIDDEN));
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=%".contains(c);
    let mut shown = String::with_capacity(words.len());
    let mut rest = words.as_str();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_token(c) != is_token(first)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let part = word.trim_matches('.');
        let is_part = part.len() >= LEAST_PART && secrets.iter().any(|secret| secret.contains(part));
        shown.push_str(if is_part { HIDDEN } else { word });
        rest = behind;
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_repeats_nothing_secret() {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", "0.AXoA-c4n4ry_refresh.token")
            .append_pair("client_assertion", "eyJhbGciOiJQUzI1NiJ9.eyJpc3MiOiJpZCJ9.c2lnbmF0dXJl")
            .append_pair("client_id", "11111111-2222-3333")
            .append_pair("code", "x")
            .finish();
        let login = STANDARD.encode("id:c4n4ry+secret%21");
        let request =
            Request::post("https://token.example/").header("authorization", format!("Basic {login}"));
        let said = SaidSecrets::of(&request.body(body.into_bytes()).unwrap());
        for (words, want) in [
            ("AADSTS7000215: of app 11111111-2222-3333, x", "AADSTS7000215: of app 11111111-2222-3333, x"),
            ("no 0.AXoA-c4n4ry_refresh.token here", "no […] here"),
            ("'0.AXoA-c4n4ry_ref...' is no token", "'[…]' is no token"),
            (
                "bad (eyJpc3MiOiJpZCJ9) in eyJhbGciOiJQUzI1NiJ9.eyJpc3MiOiJpZCJ9.c2lnbmF0dXJl.",
                "bad ([…]) in […].",
            ),
            ("secret c4n4ry+secret%21", "secret […]"),
            (&format!("header Basic {login}"), "header Basic […]"),
            ("0.AXoA is short", "0.AXoA is short"),
            ("", ""),
        ] {
            let answer = json!({"error": words, "error_description": words, "error_codes": [7]});
            let answer = said.left_out(Response::new(answer.to_string().into_bytes()));
            let shown: Value = serde_json::from_slice(answer.body()).unwrap();
            assert_eq!(shown, json!({"error": want, "error_description": want, "error_codes": [7]}));
        }
        let tokens = br#"{"access_token": "0.AXoA-c4n4ry_refresh.token"}"#.to_vec();
        assert_eq!(said.left_out(Response::new(tokens.clone())).body(), &tokens, "what is no refusal stays");
    }
}
