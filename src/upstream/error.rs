//! What can go wrong between us and an upstream, and at which point of the dialogue.

use std::fmt;
use std::time::Duration;

use super::dial_error::DialError;
use super::tls_error::TlsError;
use crate::content::ContentError;
use crate::oauth::NoToken;
use crate::smtp::sasl::{Mechanism, SaslError};
use crate::smtp::{Reply, ReplyError};
use crate::web::HttpError;

/// A point of the dialogue with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Resolving the name and reaching an address.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The greeting.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL, and the RSET that may go before it.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// While the content is sent, up to the final dot.
    Content,
    /// After the final dot.
    FinalDot,
    /// A request over HTTP, which is all of a transaction at once.
    Request,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Tls => "the TLS handshake",
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Content => "sending the content",
            Self::FinalDot => "the final dot",
            Self::Request => "the request",
        })
    }
}

/// The dialogue itself broke: there is no reply that tells more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialogueFault {
    /// Nothing, or not all, came in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The upstream closed the connection.
    #[error("the upstream closed the connection")]
    Closed,
    /// The upstream closed the connection when it had said half of a reply.
    #[error("the upstream closed the connection in the middle of a reply")]
    CutOff,
    /// The upstream ended TLS, and said why.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The connection broke; what the system says.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// What came is no reply.
    #[error("the upstream sent {0}")]
    Garbage(#[from] ReplyError),
    /// A reply came that this command can't have.
    #[error("the upstream sent a reply that does not belong here: {0}")]
    Unexpected(Reply),
    /// The local mailbox could not be written.
    #[error("{0}")]
    Mailbox(String),
    /// The upstream delivers by the header, and this one was not made for that: others could get the message.
    #[error("not sent: the upstream delivers to whom the header names, and the header was not made for that")]
    NotByHeader,
    /// A request was not answered, and may have been carried out.
    #[error("{0}, so that it may have been sent")]
    NoAnswer(HttpError),
    /// A request was answered so that it may have been carried out.
    #[error("answered {0}, so that it may have been sent")]
    InDoubt(String),
    /// There are more replies than commands, or fewer: which belongs to which is not known.
    #[error("the upstream's replies do not fit the commands, none of its refusals is believed")]
    OutOfStep,
}

/// Why no login was possible. What the upstream itself answered is a reply, not one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// A login is configured, but not whose.
    #[error("auth is set, but user or password is missing")]
    NoCredentials,
    /// The upstream doesn't offer the mechanism that is configured.
    #[error("the upstream does not offer AUTH {wanted}; it offers {}", offer_list(offered))]
    NotOffered {
        /// Configured.
        wanted: Mechanism,
        /// Offered.
        offered: Vec<String>,
    },
    /// None of the upstream's mechanisms is known to us, or it has none.
    #[error(
        "no AUTH mechanism in common: the upstream offers {}; check port and security",
        offer_list(offered)
    )]
    NoneInCommon {
        /// Offered.
        offered: Vec<String>,
    },
    /// The upstream takes no tokens; there is no falling back to a password.
    #[error(
        "the upstream takes no tokens (XOAUTH2, OAUTHBEARER): it offers {}; check host and port, or use a password \
        in place of oauth",
        offer_list(offered)
    )]
    NoneForToken {
        /// Offered.
        offered: Vec<String>,
    },
    /// The password, or the token, would go over an open line.
    #[error(
        "the password or token would be sent unencrypted; set security to \"starttls\" or \"tls\" (or allow_plaintext_auth)"
    )]
    OpenLine,
    /// The sign-in has no token at present: nothing was tried.
    #[error("{0}")]
    NoToken(NoToken),
    /// The upstream refuses the token that there is, and another could not be had.
    #[error("{0}; it is asked for again at the next try")]
    NotReplaced(NoToken),
    /// The mechanism could not go on.
    #[error(transparent)]
    Sasl(#[from] SaslError),
}

fn offer_list(offered: &[String]) -> String {
    if offered.is_empty() {
        return "none".to_owned();
    }
    // The names come from the upstream: only what a mechanism name may hold is shown (RFC 4422 3.1).
    let clean = |name: &String| {
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(20).collect::<String>()
    };
    offered.iter().take(10).map(clean).collect::<Vec<_>>().join(" ")
}

/// By what somebody has logged in: what to do about a refusal depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginMethod {
    /// A password.
    Password,
    /// A token.
    Token,
}

/// A login that the upstream has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRefusal {
    /// What it has answered.
    pub reply: Reply,
    /// What the login was made with.
    pub method: LoginMethod,
    /// What it has said about the token beside that (RFC 7628 3.2.2).
    pub detail: Option<String>,
    /// What to do about it, in words.
    pub advice: &'static str,
}

impl fmt::Display for LoginRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.told(), self.advice)
    }
}

impl LoginRefusal {
    /// What the upstream has answered, for where the advice stands beside it.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { reply, detail, .. } = self;
        let detail = detail.as_ref().map_or(String::new(), |detail| format!(" ({detail})"));
        format!("{reply}{detail}")
    }
}

/// What stopped a connection from being made ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectCause {
    /// No address answered.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A request over HTTP did not get there.
    #[error("no connection: {0}")]
    NoConnection(String),
    /// The dialogue broke.
    #[error(transparent)]
    Fault(#[from] DialogueFault),
    /// The upstream said no.
    #[error("{0}")]
    Refused(Reply),
    /// The upstream refuses the login.
    #[error("{0}")]
    LoginRefused(LoginRefusal),
    /// There is no TLS that we can trust.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// STARTTLS is configured and not offered; there is no falling back to clear text.
    #[error(
        "the upstream does not offer STARTTLS, and clear text is no substitute; check port (587), or use security = \"tls\" (465), or \"none\" for a server on this machine that has no TLS"
    )]
    StartTlsNotOffered,
    /// Something stood in the stream behind the reply to STARTTLS or before the command: somebody may be injecting
    /// (CVE-2011-0411).
    #[error(
        "the upstream sent unencrypted data around its reply to STARTTLS that belongs to no command; somebody may have \
        injected it, and the connection can't be trusted"
    )]
    Injection,
    /// It says nothing in clear text, and answers a TLS handshake.
    #[error(
        "the upstream speaks TLS from the first octet on this port; set security = \"tls\", or port to the one with \
        STARTTLS (587)"
    )]
    TlsAtOnce,
    /// No login was possible.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// It is one of our own listeners, by another name or over an address translation.
    #[error(
        "this upstream is this relay itself: it would send its mail to itself for ever; set host and port to the provider's server"
    )]
    OwnListener,
}

/// A message was not sent, for no reason of its own and no answer of the upstream.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The upstream could not be reached after all, as it can be with requests: the message was not looked at.
    #[error(transparent)]
    Unreachable(#[from] ConnectError),
    /// The content can't be read to its end, or is not what it was: it was broken off, and nobody has the message.
    #[error(transparent)]
    Unread(#[from] ContentError),
}

/// Why a connection could not be made ready. It is never a message's fault: all mail for the upstream waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConnectError {
    /// Where in the dialogue.
    pub stage: Stage,
    /// The upstream, with the address that answered if one did.
    pub host: String,
    /// What happened.
    pub cause: ConnectCause,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(self.cause, ConnectCause::Dial(_)) {
            write!(f, "{}: ", self.host)?;
        }
        f.write_str(&self.words())
    }
}

impl ConnectError {
    /// What happened, for where the host stands beside it.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { stage, cause, .. } = self;
        match cause {
            ConnectCause::Dial(_) => cause.to_string(),
            _ => format!("at {stage}: {cause}"),
        }
    }

    /// The upstream's reply, where it gave one.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match &self.cause {
            ConnectCause::Refused(reply) | ConnectCause::Fault(DialogueFault::Unexpected(reply)) => {
                Some(reply)
            }
            ConnectCause::LoginRefused(refusal) => Some(&refusal.reply),
            _ => None,
        }
    }

    /// Why there was nothing to log in with; the upstream was not asked, or has refused what there was.
    #[must_use]
    pub fn no_token(&self) -> Option<&NoToken> {
        match &self.cause {
            ConnectCause::Login(LoginError::NoToken(why)) => Some(why),
            _ => None,
        }
    }

    /// Whether the upstream turned the connection away before it heard anything of us, as it does with one too many: it was
    /// refused or closed at once, or the greeting is 421.
    #[must_use]
    pub fn is_turned_away(&self) -> bool {
        match (&self.cause, self.stage) {
            (ConnectCause::Dial(DialError::Unreachable { tried, .. }), _) => {
                tried.iter().all(|(_, reason)| reason.to_lowercase().contains("refused"))
            }
            (ConnectCause::Refused(reply), Stage::Greeting) => reply.code == 421,
            (
                ConnectCause::Fault(DialogueFault::Closed | DialogueFault::CutOff | DialogueFault::Broken(_)),
                stage,
            ) => stage == Stage::Greeting,
            _ => false,
        }
    }

    /// Whether it will stay like this until a person changes something here or there (a wrong password, a
    /// certificate, no STARTTLS). Mail still waits; but somebody should be told.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match &self.cause {
            ConnectCause::Dial(DialError::Proxy { fault, .. }) => fault.needs_a_person(),
            ConnectCause::Dial(error) => matches!(error, DialError::Family { .. }),
            ConnectCause::Tls(error) | ConnectCause::Fault(DialogueFault::Tls(error)) => {
                error.needs_a_person()
            }
            // A sign-in tries again by itself.
            ConnectCause::Fault(_)
            | ConnectCause::NoConnection(_)
            | ConnectCause::Login(LoginError::NotReplaced(_)) => false,
            ConnectCause::Refused(reply) => reply.is_permanent(),
            ConnectCause::LoginRefused(refusal) => refusal.reply.is_permanent(),
            ConnectCause::Login(LoginError::NoToken(why)) => why.needs_a_person(),
            ConnectCause::StartTlsNotOffered
            | ConnectCause::Injection
            | ConnectCause::TlsAtOnce
            | ConnectCause::Login(_)
            | ConnectCause::OwnListener => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable(host: &str, tried: &[(&str, &str)]) -> ConnectError {
        let tried =
            tried.iter().map(|(address, why)| (address.parse().unwrap(), (*why).to_owned())).collect();
        let cause = DialError::Unreachable { host: host.to_owned(), tried }.into();
        ConnectError { stage: Stage::Connect, host: format!("{host}:25"), cause }
    }

    #[test]
    fn says_each_address_once() {
        let refused = "connection refused";
        for (error, want) in [
            (
                unreachable("127.0.0.1", &[("127.0.0.1:25", refused)]),
                "connect to 127.0.0.1:25: connection refused",
            ),
            (unreachable("[::1]", &[("[::1]:25", refused)]), "connect to [::1]:25: connection refused"),
            (
                unreachable(
                    "smtp.example.net",
                    &[("[2001:db8::1]:25", "no answer"), ("192.0.2.1:25", refused)],
                ),
                "connect to smtp.example.net at [2001:db8::1]:25: no answer; 192.0.2.1:25: connection refused",
            ),
        ] {
            assert_eq!((error.to_string().as_str(), error.words().as_str()), (want, want));
        }
    }

    #[test]
    fn says_what_a_refused_login_was_told() {
        let refused = |reply, detail: Option<&str>| ConnectError {
            stage: Stage::Auth,
            host: "mx[192.0.2.1]:587".into(),
            cause: ConnectCause::LoginRefused(LoginRefusal {
                reply,
                method: LoginMethod::Token,
                detail: detail.map(str::to_owned),
                advice: "sign in anew",
            }),
        };
        let wrong = refused(Reply::new(535, (5, 7, 8), "no"), Some("status 401"));
        assert_eq!(wrong.to_string(), "mx[192.0.2.1]:587: at AUTH: 535 5.7.8 no (status 401): sign in anew");
        assert!(wrong.needs_a_person());
        let later = refused(Reply::new(454, (4, 7, 0), "later"), None);
        assert_eq!(later.words(), "at AUTH: 454 4.7.0 later: sign in anew");
        assert!(!later.needs_a_person());
    }

    #[test]
    fn who_can_help_when_there_is_no_token() {
        for (until, want) in [(None, true), (Some(crate::time::Moment(5)), false)] {
            let why =
                NoToken { reason: "nobody has signed in".into(), until, action: Some("sign in".into()) };
            let cause = LoginError::NoToken(why.clone()).into();
            let error = ConnectError { stage: Stage::Auth, host: "mx:587".into(), cause };
            assert_eq!((error.no_token(), error.needs_a_person()), (Some(&why), want));
        }
    }
}
