//! The client's side of a login (RFC 4954, RFC 4422): what to answer to which challenge. No I/O.
//!
//! A secret is never part of an error or of `Debug`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};

/// The longest initial response that fits on a command line of 512 octets (RFC 4954 4), with room for the command.
const MAX_INITIAL: usize = 480;

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616. The password is sent in the clear.
    Plain,
    /// An old form of the same in two steps. The password is sent in the clear.
    Login,
    /// RFC 2195. A digest over the server's challenge is sent.
    CramMd5,
}

impl Mechanism {
    /// Its name in AUTH, upper case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
        }
    }

    /// Whether who reads the connection reads the password.
    #[must_use]
    pub fn is_clear_text(self) -> bool {
        !matches!(self, Self::CramMd5)
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
    /// The challenge is not base64.
    #[error("{0}: the upstream's challenge is not base64")]
    BadChallenge(Mechanism),
    /// PLAIN can't carry a NUL.
    #[error("the user name or password holds a NUL character, which {0} can't carry")]
    Nul(Mechanism),
}

/// A login under way.
pub struct SaslClient {
    mechanism: Mechanism,
    user: String,
    password: SecretString,
    step: u8,
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
    /// When user or password can't be written in this mechanism.
    pub fn new(mechanism: Mechanism, user: &str, password: SecretString) -> Result<Self, SaslError> {
        if mechanism == Mechanism::Plain && (user.contains('\0') || password.expose_secret().contains('\0')) {
            return Err(SaslError::Nul(mechanism));
        }
        Ok(Self { mechanism, user: user.to_owned(), password, step: 0 })
    }

    /// The way to log in.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What goes on the AUTH line itself, base64: PLAIN only, and only where it fits.
    ///
    /// LOGIN waits for the challenge, since old servers don't take its user name on the line.
    pub fn initial_response(&mut self) -> Option<SecretString> {
        let response = self.plain().filter(|response| response.expose_secret().len() <= MAX_INITIAL);
        if response.is_some() {
            self.step = 1;
        }
        response
    }

    /// The answer to a 334, base64.
    ///
    /// # Errors
    /// When there is nothing left to say, or the challenge makes no sense: cancel with `*` (RFC 4954 4).
    pub fn respond(&mut self, challenge: &str) -> Result<SecretString, SaslError> {
        let step = self.step;
        self.step = step.saturating_add(1);
        match (self.mechanism, step) {
            (Mechanism::Plain, 0) => self.plain().ok_or(SaslError::TooManyChallenges(self.mechanism)),
            (Mechanism::Login, 0) => Ok(STANDARD.encode(&self.user).into()),
            (Mechanism::Login, 1) => Ok(STANDARD.encode(self.password.expose_secret()).into()),
            (Mechanism::CramMd5, 0) => self.cram_md5(challenge),
            _ => Err(SaslError::TooManyChallenges(self.mechanism)),
        }
    }

    fn plain(&self) -> Option<SecretString> {
        (self.mechanism == Mechanism::Plain)
            .then(|| STANDARD.encode(format!("\0{}\0{}", self.user, self.password.expose_secret())).into())
    }

    fn cram_md5(&self, challenge: &str) -> Result<SecretString, SaslError> {
        let challenge =
            STANDARD.decode(challenge.trim()).map_err(|_| SaslError::BadChallenge(self.mechanism))?;
        let mut mac = Hmac::<md5::Md5>::new_from_slice(self.password.expose_secret().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(&challenge);
        let digest =
            mac.finalize().into_bytes().iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
        Ok(STANDARD.encode(format!("{} {digest}", self.user)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(mechanism: Mechanism, user: &str, password: &str) -> SaslClient {
        SaslClient::new(mechanism, user, password.into()).unwrap()
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
    fn a_long_plain_waits_for_the_challenge() {
        let password = "x".repeat(2000);
        let mut plain = exchange(Mechanism::Plain, "anna", &password);
        assert!(plain.initial_response().is_none());
        assert_eq!(decoded(&plain.respond("").unwrap()), format!("\0anna\0{password}"));
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

    #[test]
    fn faults_name_no_secret() {
        let mut cram = exchange(Mechanism::CramMd5, "tim", "hidden");
        let error = cram.respond("%%%").unwrap_err();
        assert_eq!(error, SaslError::BadChallenge(Mechanism::CramMd5));
        assert_eq!(
            SaslClient::new(Mechanism::Plain, "a", "b\0c".into()).unwrap_err(),
            SaslError::Nul(Mechanism::Plain)
        );
        assert!(!format!("{cram:?} {error}").contains("hidden"));
    }
}
