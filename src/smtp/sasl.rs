//! The client's side of a login (RFC 4954, RFC 4422): what to answer to which challenge. No I/O.
//!
//! A secret is never part of an error or of `Debug`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::scram_client::{BindingFlag, ScramClient, sasl_name};
pub use super::scram_client::{ChannelBinding, ScramFault};

/// The longest initial response that fits on a command line of 512 octets (RFC 4954 4), with room for the command.
const MAX_INITIAL: usize = 480;
/// How much is kept of what an upstream says about a token, in characters.
const MAX_TOKEN_STATUS: usize = 100;

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616. The password is sent in the clear.
    Plain,
    /// An old form of the same in two steps. The password is sent in the clear.
    Login,
    /// RFC 2195. A digest over the server's challenge is sent.
    CramMd5,
    /// RFC 7677. Each side proves that it knows the password, which is not sent.
    ScramSha256,
    /// The same, bound to the TLS connection (RFC 9266).
    ScramSha256Plus,
    /// A form of Google's and Microsoft's. A token is sent in the clear.
    XOAuth2,
    /// RFC 7628. A token is sent in the clear.
    OAuthBearer,
}

impl Mechanism {
    /// Its name in AUTH, upper case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// Whether who reads the connection reads the password, or the token.
    #[must_use]
    pub fn is_clear_text(self) -> bool {
        !matches!(self, Self::CramMd5 | Self::ScramSha256 | Self::ScramSha256Plus)
    }

    /// Whether it takes a token, and no password.
    #[must_use]
    pub fn takes_token(self) -> bool {
        matches!(self, Self::XOAuth2 | Self::OAuthBearer)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a login could not go on. The account's own answer is a reply, not one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslError {
    /// The upstream asked for more than the mechanism has to say.
    #[error("{0}: the upstream asked for more than the mechanism has")]
    TooManyChallenges(Mechanism),
    /// The challenge is not base64, or no text where it must be one.
    #[error("{0}: the upstream's challenge is not base64")]
    BadChallenge(Mechanism),
    /// PLAIN can't carry a NUL.
    #[error("the user name or password holds a NUL character, which {0} can't carry")]
    Nul(Mechanism),
    /// A token must not end what it stands in.
    #[error(
        "the token holds a character that {0} can't carry; check the sign-in's token_url, which gives what is no token"
    )]
    OddToken(Mechanism),
    /// There is no TLS connection to be bound to.
    #[error("{0} needs TLS 1.3")]
    Unbound(Mechanism),
    /// SCRAM could not go on.
    #[error("{0}: {1}")]
    Scram(Mechanism, ScramFault),
}

/// What a login is made with.
#[derive(Clone)]
pub struct SaslLogin {
    /// Who logs in.
    pub user: String,
    /// The password; the token where the mechanism takes one.
    pub secret: SecretString,
    /// Where we log in, as OAUTHBEARER says it.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Printable, without commas, and never used twice: for SCRAM.
    pub nonce: String,
    /// What the login can be bound to.
    pub binding: Option<ChannelBinding>,
}

/// A login under way.
pub struct SaslClient {
    mechanism: Mechanism,
    login: SaslLogin,
    step: u8,
    scram: Option<ScramClient>,
    /// What the upstream says about the token that it refuses.
    token_status: Option<String>,
}

/// Names the mechanism only.
impl fmt::Debug for SaslClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslClient")
            .field("mechanism", &self.mechanism)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl SaslClient {
    /// A login that has not begun.
    ///
    /// # Errors
    /// When user, password or token can't be written in this mechanism.
    pub fn new(mechanism: Mechanism, login: SaslLogin) -> Result<Self, SaslError> {
        let secret = login.secret.expose_secret();
        if mechanism == Mechanism::Plain && (login.user.contains('\0') || secret.contains('\0')) {
            return Err(SaslError::Nul(mechanism));
        }
        let is_token = !secret.is_empty() && secret.bytes().all(|octet| octet.is_ascii_graphic());
        if mechanism.takes_token() && !is_token {
            return Err(SaslError::OddToken(mechanism));
        }
        let flag = match (mechanism, login.binding) {
            (Mechanism::ScramSha256Plus, None) => return Err(SaslError::Unbound(mechanism)),
            (Mechanism::ScramSha256Plus, Some(binding)) => Some(BindingFlag::Bound(binding)),
            (Mechanism::ScramSha256, Some(_)) => Some(BindingFlag::NotOffered),
            (Mechanism::ScramSha256, None) => Some(BindingFlag::Unable),
            _ => None,
        };
        let scram = flag.map(|flag| ScramClient::new(&login.user, &login.secret, login.nonce.clone(), flag));
        let scram = scram.transpose().map_err(|fault| SaslError::Scram(mechanism, fault))?;
        Ok(Self { mechanism, login, step: 0, scram, token_status: None })
    }

    /// The way to log in.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What goes on the AUTH line itself, base64, of mechanisms in which the client speaks first, and only where it fits.
    ///
    /// LOGIN waits for the challenge, since old servers don't take its user name on the line.
    pub fn initial_response(&mut self) -> Option<SecretString> {
        let response = self.first().filter(|response| response.expose_secret().len() <= MAX_INITIAL);
        if response.is_some() {
            self.step = 1;
        }
        response
    }

    /// The answer to a 334, base64; it may be empty. With SCRAM it may take a second, as the upstream wants it.
    ///
    /// # Errors
    /// When there is nothing left to say, or the challenge makes no sense: cancel with `*` (RFC 4954 4).
    pub fn respond(&mut self, challenge: &str) -> Result<SecretString, SaslError> {
        let step = self.step;
        self.step = step.saturating_add(1);
        match (self.mechanism, step) {
            (Mechanism::Login, 0) => Ok(STANDARD.encode(&self.login.user).into()),
            (Mechanism::Login, 1) => Ok(STANDARD.encode(self.login.secret.expose_secret()).into()),
            (Mechanism::CramMd5, 0) => self.cram_md5(challenge),
            (Mechanism::ScramSha256 | Mechanism::ScramSha256Plus, 1 | 2) => self.scram(step, challenge),
            (Mechanism::XOAuth2, 1) => {
                self.token_status = token_status(challenge);
                Ok(String::new().into())
            }
            (Mechanism::OAuthBearer, 1) => {
                self.token_status = token_status(challenge);
                Ok(STANDARD.encode("\u{1}").into())
            }
            (_, 0) => self.first().ok_or(SaslError::TooManyChallenges(self.mechanism)),
            _ => Err(SaslError::TooManyChallenges(self.mechanism)),
        }
    }

    /// The upstream says that we are logged in: whether it has shown all that it must have shown by now.
    ///
    /// # Errors
    /// When it has not proven that it knows the password, which SCRAM demands.
    pub fn accept(&self) -> Result<(), SaslError> {
        let proven = self.scram.as_ref().map_or(Ok(()), ScramClient::proven);
        proven.map_err(|fault| SaslError::Scram(self.mechanism, fault))
    }

    /// What the upstream has said about the token that it refuses, beside its reply (RFC 7628 3.2.2).
    #[must_use]
    pub fn token_status(&self) -> Option<&str> {
        self.token_status.as_deref()
    }

    /// What the client says first, where it does.
    fn first(&self) -> Option<SecretString> {
        let SaslLogin { user, secret, host, port, .. } = &self.login;
        let secret = secret.expose_secret();
        let message = match self.mechanism {
            Mechanism::Plain => format!("\0{user}\0{secret}"),
            Mechanism::XOAuth2 => format!("user={user}\u{1}auth=Bearer {secret}\u{1}\u{1}"),
            Mechanism::OAuthBearer => format!(
                "n,a={},\u{1}host={host}\u{1}port={port}\u{1}auth=Bearer {secret}\u{1}\u{1}",
                sasl_name(user)
            ),
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => self.scram.as_ref()?.first(),
            Mechanism::Login | Mechanism::CramMd5 => return None,
        };
        Some(STANDARD.encode(message).into())
    }

    fn cram_md5(&self, challenge: &str) -> Result<SecretString, SaslError> {
        let challenge =
            STANDARD.decode(challenge.trim()).map_err(|_| SaslError::BadChallenge(self.mechanism))?;
        let mut mac = Hmac::<md5::Md5>::new_from_slice(self.login.secret.expose_secret().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(&challenge);
        let digest =
            mac.finalize().into_bytes().iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
        Ok(STANDARD.encode(format!("{} {digest}", self.login.user)).into())
    }

    fn scram(&mut self, step: u8, challenge: &str) -> Result<SecretString, SaslError> {
        let mechanism = self.mechanism;
        let message = text(challenge).ok_or(SaslError::BadChallenge(mechanism))?;
        let scram = self.scram.as_mut().ok_or(SaslError::TooManyChallenges(mechanism))?;
        let answer =
            if step == 1 { scram.last(&message) } else { scram.verify(&message).map(|()| String::new()) };
        answer
            .map(|answer| STANDARD.encode(answer).into())
            .map_err(|fault| SaslError::Scram(mechanism, fault))
    }
}

/// What a challenge says.
fn text(challenge: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(challenge.trim()).ok()?).ok()
}

/// What is to be kept of the JSON by which an upstream refuses a token: its `status` and `error`.
fn token_status(challenge: &str) -> Option<String> {
    let said: Value = serde_json::from_str(&text(challenge)?).ok()?;
    let part = |name: &str| {
        let words = match said.get(name)? {
            Value::String(words) => words.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let shown = |c: &char| c.is_ascii_graphic() || *c == ' ';
        let words: String = words.chars().filter(shown).take(MAX_TOKEN_STATUS).collect();
        (!words.is_empty()).then(|| format!("{name} {words}"))
    };
    let parts: Vec<String> = ["status", "error"].into_iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::scram::ClientFirst;
    use super::super::scram::tests::verifier;
    use super::*;

    fn login(user: &str, secret: &str) -> SaslLogin {
        let (host, nonce) = ("server.example.com".to_owned(), "rOprNGfwEbeRWgbNEkqO".to_owned());
        SaslLogin { user: user.into(), secret: secret.into(), host, port: 587, nonce, binding: None }
    }

    fn exchange(mechanism: Mechanism, user: &str, secret: &str) -> SaslClient {
        SaslClient::new(mechanism, login(user, secret)).unwrap()
    }

    fn decoded(secret: &SecretString) -> String {
        String::from_utf8(STANDARD.decode(secret.expose_secret()).unwrap()).unwrap()
    }

    #[test]
    fn plain_goes_on_the_line() {
        let mut plain = exchange(Mechanism::Plain, "anna", "pä ss");
        assert_eq!(decoded(&plain.initial_response().unwrap()), "\0anna\0pä ss");
        assert_eq!(plain.respond("").unwrap_err(), SaslError::TooManyChallenges(Mechanism::Plain));
    }

    #[test]
    fn what_is_long_waits_for_the_challenge() {
        let long = "x".repeat(2000);
        for (mechanism, want) in [
            (Mechanism::Plain, format!("\0anna\0{long}")),
            (Mechanism::XOAuth2, format!("user=anna\u{1}auth=Bearer {long}\u{1}\u{1}")),
        ] {
            let mut client = exchange(mechanism, "anna", &long);
            assert!(client.initial_response().is_none());
            assert_eq!(decoded(&client.respond("").unwrap()), want);
        }
    }

    #[test]
    fn login_in_two_steps() {
        let mut login = exchange(Mechanism::Login, "anna", "secret");
        assert!(login.initial_response().is_none());
        assert_eq!(decoded(&login.respond("VXNlcm5hbWU6").unwrap()), "anna");
        assert_eq!(decoded(&login.respond("UGFzc3dvcmQ6").unwrap()), "secret");
        assert_eq!(login.respond("").unwrap_err(), SaslError::TooManyChallenges(Mechanism::Login));
    }

    #[test]
    fn cram_md5_by_the_example_of_rfc_2195() {
        let mut cram = exchange(Mechanism::CramMd5, "tim", "tanstaaftanstaaf");
        let challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
        assert!(cram.initial_response().is_none());
        assert_eq!(decoded(&cram.respond(challenge).unwrap()), "tim b913a602c7eda7a495b4e6e7334d3890");
    }

    /// The example of RFC 7628 4.1, without the optional parts that it leaves out.
    #[test]
    fn bearer_tokens() {
        let mut bearer =
            exchange(Mechanism::OAuthBearer, "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29t");
        let first = "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=587\u{1}\
            auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29t\u{1}\u{1}";
        assert_eq!(decoded(&bearer.initial_response().unwrap()), first);
        let said = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIn0=";
        assert_eq!(bearer.respond(said).unwrap().expose_secret(), "AQ==");
        assert_eq!(bearer.token_status(), Some("status invalid_token"));
        let mut xoauth2 = exchange(
            Mechanism::XOAuth2,
            "someuser@example.com",
            "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg",
        );
        assert_eq!(
            xoauth2.initial_response().unwrap().expose_secret(),
            "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
        );
        assert_eq!(xoauth2.respond("").unwrap().expose_secret(), "", "an empty line, whatever it says");
        assert_eq!(xoauth2.token_status(), None);
        assert!(xoauth2.respond("").is_err());
        let mut odd = exchange(Mechanism::OAuthBearer, "a,b=c", "t");
        assert!(decoded(&odd.initial_response().unwrap()).starts_with("n,a=a=2Cb=3Dc,\u{1}"));
    }

    #[test]
    fn what_is_kept_of_a_refused_token() {
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(5000));
        for (json, want) in [
            (r#"{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}"#, Some("status 401")),
            (r#"{"status":400,"error":"invalid_request"}"#, Some("status 400, error invalid_request")),
            ("{\"status\":\"a\\u001b[2Jb\\n\"}", Some("status a[2Jb")),
            (&long, Some(&*format!("error {}", "x".repeat(MAX_TOKEN_STATUS)))),
            (r#"{"status":{"a":1}}"#, None),
            ("[]", None),
            ("no", None),
        ] {
            assert_eq!(token_status(&STANDARD.encode(json)).as_deref(), want, "{json}");
        }
        assert_eq!(token_status("%%%"), None);
    }

    #[test]
    fn scram_over_the_wire() {
        let binding = ChannelBinding([3; 32]);
        for (mechanism, binding, header) in [
            (Mechanism::ScramSha256, None, "n,,"),
            (Mechanism::ScramSha256, Some(binding), "y,,"),
            (Mechanism::ScramSha256Plus, Some(binding), "p=tls-exporter,,"),
        ] {
            let mut client =
                SaslClient::new(mechanism, SaslLogin { binding, ..login("user", "pencil") }).unwrap();
            let first = decoded(&client.initial_response().unwrap());
            assert!(first.starts_with(header), "{first}");
            // The server's arithmetic does not depend on the header, which it only wants repeated.
            let plain = first.replacen(header, "n,,", 1);
            let server =
                ClientFirst::parse(&plain).unwrap().challenge("x", verifier("pencil", b"salt", 4096));
            let last = decoded(&client.respond(&STANDARD.encode(&server.message)).unwrap());
            assert!(client.accept().is_err(), "nothing is proven yet");
            let Some(proof) = server.judge(&last).ok().flatten() else {
                assert_ne!(header, "n,,", "{last}");
                continue;
            };
            assert_eq!(client.respond(&STANDARD.encode(proof)).unwrap().expose_secret(), "");
            client.accept().unwrap();
            assert!(client.respond("").is_err());
        }
    }

    #[test]
    fn logins_that_can_not_be_written() {
        for (mechanism, user, secret, want) in [
            (Mechanism::Plain, "a", "b\0c", SaslError::Nul(Mechanism::Plain)),
            (Mechanism::XOAuth2, "a", "b\u{1}c", SaslError::OddToken(Mechanism::XOAuth2)),
            (Mechanism::OAuthBearer, "a", "", SaslError::OddToken(Mechanism::OAuthBearer)),
            (Mechanism::ScramSha256Plus, "a", "b", SaslError::Unbound(Mechanism::ScramSha256Plus)),
            (
                Mechanism::ScramSha256,
                "a\u{7}",
                "b",
                SaslError::Scram(Mechanism::ScramSha256, ScramFault::Prohibited),
            ),
        ] {
            assert_eq!(SaslClient::new(mechanism, login(user, secret)).unwrap_err(), want);
        }
    }

    #[test]
    fn faults_name_no_secret() {
        for mechanism in [Mechanism::CramMd5, Mechanism::ScramSha256] {
            let mut client = exchange(mechanism, "tim", "hidden");
            client.initial_response();
            let error = client.respond("%%%").unwrap_err();
            assert_eq!(error, SaslError::BadChallenge(mechanism));
            assert!(!format!("{client:?} {error}").contains("hidden"));
        }
    }
}
