//! The server's side of a login (RFC 4954, RFC 4422): what a client's answers mean, and what to ask next. No I/O.
//!
//! An [`SaslServer`] is fed with the lines that the client sends, and says what to do ([`SaslStep`]). Whether a password is right
//! is not known here: the caller asks, and ends the exchange. No secret is part of an error or of `Debug`.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::SecretString;

use super::Reply;
use super::line::LineError;
use super::scram::{ClientFirst, ServerFirst};
use crate::config::ScramVerifier;

/// The longest name, and the longest password, in octets (RFC 4616 2 asks for 255 characters and more).
const MAX_TEXT: usize = 4 * 1024;
/// Takes base64 with and without the final `=`.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerMechanism {
    /// RFC 4616. The password is sent in the clear.
    Plain,
    /// An old form of the same in two steps. The password is sent in the clear.
    Login,
    /// RFC 7677. The password is not sent.
    ScramSha256,
}

impl ServerMechanism {
    /// Its name in AUTH, upper case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// The mechanism of a name, given in upper case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Plain, Self::Login, Self::ScramSha256].into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// Why an exchange ends without a login. All of it is the client's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslFault {
    /// The client sent `*`.
    #[error("the login was cancelled")]
    Cancelled,
    /// A line is too long, or ends in a way that is refused.
    #[error("{0}")]
    Line(LineError),
    /// A line is not base64.
    #[error("the answer is not base64")]
    NotBase64,
    /// The answer is base64, but not what the mechanism asks for.
    #[error("the answer is not what {} asks for", .0.name())]
    Malformed(ServerMechanism),
    /// The client wants to act for somebody else.
    #[error("a login may act for its own user only")]
    ActsForAnother,
}

impl SaslFault {
    /// What the client is told (RFC 4954 4, 6).
    #[must_use]
    pub fn reply(self) -> Reply {
        let (code, status) = match self {
            Self::Line(LineError::TooLong) => (500, (5, 5, 6)),
            Self::Line(_) => (500, (5, 5, 2)),
            Self::Cancelled => (501, (5, 7, 0)),
            Self::NotBase64 | Self::Malformed(_) => (501, (5, 5, 2)),
            Self::ActsForAnother => (535, (5, 7, 8)),
        };
        Reply::new(code, status, self.to_string())
    }
}

/// What to do next.
pub enum SaslStep {
    /// Send this with 334, already base64, and feed the answer.
    Challenge(String),
    /// Find out whether the password is right. The exchange is over.
    Password {
        /// Who logs in.
        name: String,
        /// What it says to prove it.
        password: SecretString,
    },
    /// Look the user up, and call [`SaslServer::verify_against`].
    LookUp {
        /// Who logs in.
        name: String,
    },
    /// The client has proved that it knows the password, or failed to. When it may come in, send `proof`, ours to the
    /// client, with 334, and feed the answer.
    Proved {
        /// Who logs in.
        name: String,
        /// Already base64; `None` when the password was wrong, and then the exchange is over.
        proof: Option<String>,
    },
    /// The client is content with our proof. The exchange is over.
    Done,
}

/// Names the step only.
impl fmt::Debug for SaslStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Challenge(_) => "Challenge",
            Self::Password { .. } => "Password",
            Self::LookUp { .. } => "LookUp",
            Self::Proved { .. } => "Proved",
            Self::Done => "Done",
        })
    }
}

/// A login under way.
#[derive(Debug)]
pub struct SaslServer {
    mechanism: ServerMechanism,
    stage: ServerStage,
}

#[derive(Debug)]
enum ServerStage {
    /// Nothing was said yet.
    Start,
    /// LOGIN: the password is to come.
    Name(String),
    /// SCRAM: the verifier is to come.
    First(ClientFirst),
    /// SCRAM: the proof is to come.
    Challenged(String, ServerFirst),
    /// SCRAM: the empty answer is to come.
    Proved,
    /// Nothing more is to come.
    Over,
}

impl SaslServer {
    /// A login that has not begun.
    #[must_use]
    pub fn new(mechanism: ServerMechanism) -> Self {
        Self { mechanism, stage: ServerStage::Start }
    }

    /// Begins, with what stood on the AUTH line behind the mechanism; `=` is an empty response (RFC 4954 4).
    ///
    /// # Errors
    /// When the initial response makes no sense.
    pub fn begin(&mut self, initial: Option<&str>) -> Result<SaslStep, SaslFault> {
        match (initial, self.mechanism) {
            (Some("="), _) => {
                let step = self.take(&[]);
                self.ended_by_fault(step)
            }
            (Some(text), _) => self.answer(text.as_bytes()),
            // What most clients wait for, word by word.
            (None, ServerMechanism::Login) => Ok(SaslStep::Challenge(encode("Username:"))),
            (None, _) => Ok(SaslStep::Challenge(String::new())),
        }
    }

    /// Takes the client's answer to a challenge: a line without its end.
    ///
    /// # Errors
    /// When the client gave up, or the answer makes no sense. The exchange is over: whatever comes now is an error.
    pub fn answer(&mut self, line: &[u8]) -> Result<SaslStep, SaslFault> {
        let step = match line {
            b"*" => Err(SaslFault::Cancelled),
            line => BASE64.decode(line).map_err(|_| SaslFault::NotBase64).and_then(|line| self.take(&line)),
        };
        self.ended_by_fault(step)
    }

    /// After a fault nothing more is taken: a client that has cancelled must not be logged in by what it sends next.
    fn ended_by_fault(&mut self, step: Result<SaslStep, SaslFault>) -> Result<SaslStep, SaslFault> {
        if step.is_err() {
            self.stage = ServerStage::Over;
        }
        step
    }

    fn take(&mut self, answer: &[u8]) -> Result<SaslStep, SaslFault> {
        let malformed = SaslFault::Malformed(self.mechanism);
        let text = std::str::from_utf8(answer).map_err(|_| malformed)?;
        match (std::mem::replace(&mut self.stage, ServerStage::Over), self.mechanism) {
            (ServerStage::Start, ServerMechanism::Plain) => plain(text),
            (ServerStage::Start, ServerMechanism::Login) => {
                self.stage = ServerStage::Name(checked(text).ok_or(malformed)?.to_owned());
                Ok(SaslStep::Challenge(encode("Password:")))
            }
            (ServerStage::Start, ServerMechanism::ScramSha256) => {
                let first = ClientFirst::parse(text).map_err(|_| malformed)?;
                if !first.acts_for.is_empty() && first.acts_for != first.name {
                    return Err(SaslFault::ActsForAnother);
                }
                let name = first.name.clone();
                self.stage = ServerStage::First(first);
                Ok(SaslStep::LookUp { name })
            }
            (ServerStage::Name(name), _) => {
                let password = checked(text).ok_or(malformed)?.into();
                Ok(SaslStep::Password { name, password })
            }
            (ServerStage::Challenged(name, server), _) => {
                let proof = server.judge(text).map_err(|_| malformed)?.map(|proof| encode(&proof));
                if proof.is_some() {
                    self.stage = ServerStage::Proved;
                }
                Ok(SaslStep::Proved { name, proof })
            }
            (ServerStage::Proved, _) if text.is_empty() => Ok(SaslStep::Done),
            (ServerStage::Proved | ServerStage::First(_) | ServerStage::Over, _) => Err(malformed),
        }
    }

    /// SCRAM: challenges the client with what is known of its user. `nonce` is random, printable, without commas.
    ///
    /// # Errors
    /// When it is not asked for now.
    pub fn verify_against(&mut self, verifier: ScramVerifier, nonce: &str) -> Result<SaslStep, SaslFault> {
        match std::mem::replace(&mut self.stage, ServerStage::Over) {
            ServerStage::First(first) => {
                let server = first.challenge(nonce, verifier);
                let challenge = encode(&server.message);
                self.stage = ServerStage::Challenged(first.name, server);
                Ok(SaslStep::Challenge(challenge))
            }
            _ => Err(SaslFault::Malformed(self.mechanism)),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 2).
fn plain(text: &str) -> Result<SaslStep, SaslFault> {
    let malformed = SaslFault::Malformed(ServerMechanism::Plain);
    let mut parts = text.split('\0');
    let (Some(acts_for), Some(name), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed);
    };
    let (name, password) = checked(name).zip(checked(password)).ok_or(malformed)?;
    if !acts_for.is_empty() && acts_for != name {
        return Err(SaslFault::ActsForAnother);
    }
    Ok(SaslStep::Password { name: name.to_owned(), password: password.into() })
}

/// A name or a password: not empty, of bounded length, without NUL.
fn checked(text: &str) -> Option<&str> {
    (!text.is_empty() && text.len() <= MAX_TEXT && !text.contains('\0')).then_some(text)
}

fn encode(text: &str) -> String {
    BASE64.encode(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::super::scram::tests::verifier;
    use super::*;

    /// What a step says, in words.
    fn told(step: Result<SaslStep, SaslFault>) -> String {
        let decoded = |text: &str| String::from_utf8(BASE64.decode(text).unwrap()).unwrap();
        match step {
            Ok(SaslStep::Challenge(text)) => format!("334 {}", decoded(&text)),
            Ok(SaslStep::Password { name, password }) => format!("{name}/{}", password.expose_secret()),
            Ok(SaslStep::LookUp { name }) => format!("{name}?"),
            Ok(SaslStep::Proved { name, proof }) => {
                format!("{name}: {}", proof.map_or("wrong".into(), |p| decoded(&p)))
            }
            Ok(SaslStep::Done) => "done".into(),
            Err(fault) => fault.reply().to_string().chars().take(9).collect(),
        }
    }

    /// The steps of a login with these lines; the first is the initial response.
    fn login(mechanism: ServerMechanism, lines: &[Option<&str>]) -> Vec<String> {
        let mut exchange = SaslServer::new(mechanism);
        let mut steps = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let coded =
                line.map(|line| if matches!(line, "*" | "%" | "=") { line.into() } else { encode(line) });
            let step = if number == 0 {
                exchange.begin(coded.as_deref())
            } else {
                exchange.answer(coded.unwrap().as_bytes())
            };
            if let Ok(SaslStep::LookUp { .. }) = step {
                steps.push(told(step));
                steps.push(told(exchange.verify_against(verifier("pencil", b"salt", 2), "server")));
            } else {
                steps.push(told(step));
            }
        }
        steps
    }

    #[test]
    fn plain_and_login() {
        use ServerMechanism::{Login, Plain};
        for (mechanism, lines, want) in [
            (Plain, &[Some("\0anna\0p\u{e4} ss")][..], &["anna/p\u{e4} ss"][..]),
            (Plain, &[None, Some("anna\0anna\0secret")], &["334 ", "anna/secret"]),
            (Plain, &[Some("chief\0anna\0secret")], &["535 5.7.8"]),
            (Plain, &[Some("\0anna")], &["501 5.5.2"]),
            (Plain, &[Some("\0anna\0a\0b")], &["501 5.5.2"]),
            (Plain, &[Some("\0\0secret")], &["501 5.5.2"]),
            (Plain, &[Some("\0anna\0")], &["501 5.5.2"]),
            (Plain, &[Some("=")], &["501 5.5.2"]),
            (Plain, &[Some("%")], &["501 5.5.2"]),
            (Plain, &[Some("\0a\0b"), Some("\0a\0b")], &["a/b", "501 5.5.2"]),
            (Plain, &[None, Some("*")], &["334 ", "501 5.7.0"]),
            (Plain, &[Some("*")], &["501 5.7.0"]),
            (
                Login,
                &[None, Some("J\u{fc}rg"), Some("x")],
                &["334 Username:", "334 Password:", "J\u{fc}rg/x"],
            ),
            (Login, &[Some("anna"), Some("x")], &["334 Password:", "anna/x"]),
            (Login, &[None, Some("*")], &["334 Username:", "501 5.7.0"]),
            (Login, &[None, Some("anna"), Some("%")], &["334 Username:", "334 Password:", "501 5.5.2"]),
            (Login, &[Some("=")], &["501 5.5.2"]),
            (Login, &[Some("a\0b")], &["501 5.5.2"]),
        ] {
            assert_eq!(login(mechanism, lines), want, "{mechanism:?} {lines:?}");
        }
    }

    #[test]
    fn scram_in_four_steps() {
        let steps = login(ServerMechanism::ScramSha256, &[None, Some("n,,n=user,r=client")]);
        assert_eq!(steps, ["334 ", "user?", "334 r=clientserver,s=c2FsdA==,i=2"]);
        let wrong = format!("c=biws,r=clientserver,p={}", encode(&"x".repeat(32)));
        let steps =
            login(ServerMechanism::ScramSha256, &[Some("n,,n=user,r=client"), Some(&wrong), Some("")]);
        assert_eq!(steps[2..], ["user: wrong", "501 5.5.2"]);
        let steps = login(ServerMechanism::ScramSha256, &[Some("n,a=chief,n=user,r=client")]);
        assert_eq!(steps, ["535 5.7.8"]);
    }

    #[test]
    fn a_fault_ends_it_for_good() {
        use ServerMechanism::{Login, Plain, ScramSha256};
        let secret = encode("anna\0anna\0secret");
        let first = encode("n,,n=user,r=client");
        for (mechanism, before, fault, then) in [
            (Plain, &[][..], &b"*"[..], &secret),
            (Plain, &[], b"%", &secret),
            (Plain, &[], b"/w==", &secret),
            (Plain, &[], b"", &secret),
            (Login, &[], b"*", &encode("anna")),
            (Login, &[], b"%", &encode("anna")),
            (Login, &[encode("anna")], b"*", &encode("secret")),
            (Login, &[encode("anna")], b"%", &encode("secret")),
            (Login, &[encode("anna")], b"/w==", &encode("secret")),
            (ScramSha256, &[], b"*", &first),
            (ScramSha256, &[], b"%", &first),
        ] {
            let mut exchange = SaslServer::new(mechanism);
            exchange.begin(None).unwrap();
            for line in before {
                exchange.answer(line.as_bytes()).unwrap();
            }
            let what = format!("{mechanism:?} {}", fault.escape_ascii());
            exchange.answer(fault).expect_err(&what);
            exchange.answer(then.as_bytes()).expect_err(&what);
            exchange.verify_against(verifier("pencil", b"salt", 2), "server").expect_err(&what);
        }
        let mut exchange = SaslServer::new(Plain);
        exchange.begin(Some("=")).unwrap_err();
        exchange.answer(secret.as_bytes()).unwrap_err();
    }

    #[test]
    fn base64_may_lack_its_padding_but_nothing_else() {
        for (line, want) in
            [("AGEAYg==", "a/b"), ("AGEAYg", "a/b"), ("AGEAYg==\r", "501 5.5.2"), ("AGEA Yg", "501 5.5.2")]
        {
            assert_eq!(told(SaslServer::new(ServerMechanism::Plain).begin(Some(line))), want, "{line}");
        }
    }

    #[test]
    fn shows_no_secret() {
        let mut exchange = SaslServer::new(ServerMechanism::Plain);
        let step = exchange.begin(Some(&encode("\0anna\0hidden"))).unwrap();
        assert!(!format!("{exchange:?} {step:?}").contains("hidden"));
    }

    proptest! {
        #[test]
        fn any_lines_at_all(
            kind in 0..3_usize,
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..5),
            coded: bool,
        ) {
            let mechanism = [ServerMechanism::Plain, ServerMechanism::Login, ServerMechanism::ScramSha256][kind];
            let mut exchange = SaslServer::new(mechanism);
            let _ = exchange.begin(None);
            for line in lines {
                let line = if coded { BASE64.encode(&line).into_bytes() } else { line };
                if let Ok(SaslStep::LookUp { .. }) = exchange.answer(&line) {
                    let _ = exchange.verify_against(verifier("pencil", b"salt", 1), "server");
                }
            }
        }
    }
}
