//! What a token says of itself, for people to read. Nothing here is verified, and nothing is decided by it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The longest name that is shown: an address has no more octets (RFC 5321 4.5.3.1).
const LONGEST_NAME: usize = 320;
/// Rights that are shown.
const MOST_RIGHTS: usize = 20;

/// The claims that name somebody (RFC 7519 4.1, `OpenID` Connect Core 5.1, and those of Microsoft).
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TokenClaims {
    /// Who gave the token.
    #[serde(rename = "iss")]
    pub issuer: Option<String>,
    /// Whom it is about, by a name that may say nothing to people.
    #[serde(rename = "sub")]
    pub subject: Option<String>,
    preferred_username: Option<String>,
    upn: Option<String>,
    email: Option<String>,
    unique_name: Option<String>,
    /// What an application may do (Microsoft).
    roles: Vec<String>,
    /// What it may do for a person (Microsoft).
    scp: Option<String>,
    /// The same by its standard name (RFC 9068 2.2.3).
    scope: Option<String>,
}

impl TokenClaims {
    /// The claims of a JWT, be its signature good or not; none of a token of another kind.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let payload = token.split('.').nth(1).filter(|_| token.matches('.').count() == 2);
        let octets = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok());
        octets.and_then(|octets| serde_json::from_slice(&octets).ok()).unwrap_or_default()
    }

    /// What it is good for, as far as it says so: the roles of an application, or the scopes that a person has given it.
    #[must_use]
    pub fn rights(&self) -> Vec<String> {
        let scopes = self.scp.iter().chain(&self.scope).flat_map(|scopes| scopes.split_ascii_whitespace());
        let is_sound =
            |right: &&str| right.len() <= LONGEST_NAME && right.bytes().all(|b| b.is_ascii_graphic());
        let all = self.roles.iter().map(String::as_str).chain(scopes);
        all.filter(is_sound).take(MOST_RIGHTS).map(str::to_owned).collect()
    }

    /// The account, by a name that people know it by: an address, as a rule.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        let names = [&self.preferred_username, &self.upn, &self.email, &self.unique_name];
        let is_sound =
            |name: &&str| !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control);
        names.into_iter().flatten().map(String::as_str).find(is_sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_its_rights() {
        let rights = |claims: &str| {
            let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
            TokenClaims::of(&token).rights().join(" ")
        };
        assert_eq!(rights(r#"{"roles":["Mail.Send","User.Read.All"]}"#), "Mail.Send User.Read.All");
        assert_eq!(rights(r#"{"scp":"Mail.Send openid"}"#), "Mail.Send openid");
        assert_eq!(rights(r#"{"scope":"Mail.Send openid"}"#), "Mail.Send openid");
        assert_eq!(rights(r#"{"scp":"a\u0007b Mail.Send"}"#), "Mail.Send");
        assert_eq!(rights("{}"), "");
    }

    #[test]
    fn names_the_account() {
        let jwt = |claims: &str| format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        for (token, want) in [
            (jwt(r#"{"upn":"a@firm.example","aud":"x"}"#), Some("a@firm.example")),
            (jwt(r#"{"email":"b@firm.example","upn":"a@firm.example"}"#), Some("a@firm.example")),
            (jwt(r#"{"preferred_username":"","email":"b@firm.example"}"#), Some("b@firm.example")),
            (jwt(r#"{"sub":"7f3a"}"#), None),
            (jwt(r#"{"email":7}"#), None),
            (jwt("[]"), None),
            ("EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA".to_owned(), None),
            ("a.%%.b".to_owned(), None),
            ("a.b".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(TokenClaims::of(&token).account(), want, "{token}");
        }
        let claims = TokenClaims::of(&jwt(r#"{"iss":"https://i.example","sub":"system:x"}"#));
        assert_eq!(
            claims.issuer.as_deref().zip(claims.subject.as_deref()),
            Some(("https://i.example", "system:x"))
        );
    }
}
