//! Signed statements about who we are (JWT, RFC 7519), by which a client or a service account asks for tokens (RFC 7523).

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::config::{ClientCertificate, LONGEST_ASSERTION, ServiceAccount};

/// How long a statement is good; Microsoft takes 10 minutes at most.
const LIFETIME: Duration = Duration::from_mins(9);
/// By how much our clock may be ahead of the provider's.
const CLOCK_SKEW: Duration = Duration::from_mins(1);
/// Why there is no statement. It is the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssertionError {
    /// The file can't be read.
    #[error("cannot read {path} ({reason})")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The file holds something else.
    #[error("{0} does not hold a signed statement (JWT) alone")]
    NoAssertion(PathBuf),
    /// The key does not sign. The configuration has tried it, so this is a fault of ours.
    #[error("the key does not sign ({0})")]
    Key(String),
}

/// What a client says of itself.
#[derive(Serialize)]
struct ClientClaims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: i64,
    iat: i64,
    exp: i64,
}

/// What a service account asks for in a user's name.
#[derive(Serialize)]
struct AccountClaims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    scope: &'a str,
    iat: i64,
    exp: i64,
}

/// The statement of a client that has a certificate, for this token endpoint.
///
/// # Errors
/// When the key does not sign.
pub(super) fn of_client(
    certificate: &ClientCertificate,
    client_id: &str,
    token_url: &str,
    now: Timestamp,
) -> Result<SecretString, AssertionError> {
    let der =
        certificate.identity.certified_key().cert.first().map(|first| first.to_vec()).unwrap_or_default();
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &der));
    let header = Header { x5t_s256: Some(thumbprint), ..Header::new(Algorithm::PS256) };
    let now = now.as_second();
    let claims = ClientClaims {
        aud: token_url,
        iss: client_id,
        sub: client_id,
        jti: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
        nbf: now - CLOCK_SKEW.as_secs() as i64,
        iat: now - CLOCK_SKEW.as_secs() as i64,
        exp: now + LIFETIME.as_secs() as i64,
    };
    sign(&header, &claims, &certificate.key)
}

/// The statement by which a service account asks for a token in the name of `user`.
///
/// # Errors
/// When the key does not sign.
pub(super) fn of_service_account(
    account: &ServiceAccount,
    user: &str,
    scope: &str,
    token_url: &str,
    now: Timestamp,
) -> Result<SecretString, AssertionError> {
    let header = Header { kid: account.key_id.clone(), ..Header::new(Algorithm::RS256) };
    let now = now.as_second();
    let (iat, exp) = (now - CLOCK_SKEW.as_secs() as i64, now + LIFETIME.as_secs() as i64);
    let claims = AccountClaims { aud: token_url, iss: &account.email, sub: user, scope, iat, exp };
    sign(&header, &claims, &account.key)
}

/// The statement that others have written into a file.
///
/// # Errors
/// When it can't be read, or is none.
pub(super) async fn of_file(path: &Path) -> Result<SecretString, AssertionError> {
    let unreadable = |reason| AssertionError::Unreadable { path: path.to_owned(), reason };
    let facts = tokio::fs::metadata(path).await.map_err(unreadable)?;
    let read = if facts.is_file() && facts.len() <= LONGEST_ASSERTION {
        tokio::fs::read_to_string(path).await.map_err(unreadable)?
    } else {
        String::new()
    };
    let text = read.trim();
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if text.split('.').count() == 3 && text.split('.').all(is_part) {
        return Ok(SecretString::from(text));
    }
    Err(AssertionError::NoAssertion(path.to_owned()))
}

fn sign(
    header: &Header,
    claims: &impl Serialize,
    key: &SecretString,
) -> Result<SecretString, AssertionError> {
    let failed = |error: jsonwebtoken::errors::Error| AssertionError::Key(error.to_string());
    let key = EncodingKey::from_rsa_pem(key.expose_secret().as_bytes()).map_err(failed)?;
    encode(header, claims, &key).map(SecretString::from).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
    use serde_json::Value;

    use super::*;
    use crate::oauth::testing;

    #[test]
    fn a_client_says_who_it_is() {
        let keys = testing::keys();
        let certificate = keys.client_certificate();
        let now: Timestamp = "2026-11-26T08:00:00Z".parse().unwrap();
        let make = || of_client(&certificate, "client", "https://token.example/t", now).unwrap();
        let statement = make();
        let header = decode_header(statement.expose_secret()).unwrap();
        let der = certificate.identity.certified_key().cert[0].to_vec();
        assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::PS256, Some("JWT")));
        assert_eq!(header.x5t_s256, Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, &der))));
        let claims = verified(&statement, Algorithm::PS256, keys);
        assert_eq!((&claims["iss"], &claims["sub"]), (&Value::from("client"), &Value::from("client")));
        assert_eq!(claims["aud"], "https://token.example/t");
        let (nbf, exp) = (claims["nbf"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert!(nbf <= now.as_second() && exp > now.as_second() && exp - nbf <= 600, "{claims}");
        let ids: HashSet<String> =
            (0..50).map(|_| verified(&make(), Algorithm::PS256, keys)["jti"].to_string()).collect();
        assert_eq!(ids.len(), 50, "each statement is another one");
    }

    #[test]
    fn a_service_account_speaks_for_a_user() {
        let keys = testing::keys();
        let now: Timestamp = "2026-11-26T08:00:00Z".parse().unwrap();
        let account = keys.service_account();
        let statement =
            of_service_account(&account, "a@firm.example", "mail", "https://t.example/", now).unwrap();
        assert_eq!(decode_header(statement.expose_secret()).unwrap().kid, account.key_id);
        let claims = verified(&statement, Algorithm::RS256, keys);
        assert_eq!(
            (&claims["sub"], &claims["scope"]),
            (&Value::from("a@firm.example"), &Value::from("mail"))
        );
        assert_eq!(claims["iss"], account.email.as_str());
        assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 3600);
    }

    fn verified(statement: &SecretString, algorithm: Algorithm, keys: &testing::Keys) -> Value {
        let mut validation = Validation::new(algorithm);
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let key = DecodingKey::from_rsa_pem(keys.public.as_bytes()).unwrap();
        decode::<Value>(statement.expose_secret(), &key, &validation).unwrap().claims
    }

    #[tokio::test]
    async fn a_file_holds_a_statement_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("federated.jwt");
        assert!(matches!(of_file(&path).await, Err(AssertionError::Unreadable { .. })));
        for (text, is_one) in
            [("eyJ.eyJ.c2ln\n", true), ("", false), ("a.b", false), ("a.b.c d", false), ("a..c", false)]
        {
            tokio::fs::write(&path, text).await.unwrap();
            let read = of_file(&path).await;
            assert_eq!(read.is_ok(), is_one, "{text}");
            assert!(read.err().is_none_or(|error| !error.to_string().contains("a.b")), "{text}");
        }
        assert!(of_file(folder.path()).await.is_err());
    }
}
