//! Why a copy could not be put into a folder.

use std::io;
use std::time::Duration;

use crate::smtp::sasl::SaslError;
use crate::upstream::{DialError, LoginError, TlsError};

/// The step in which a message is refused.
pub(super) const APPEND: &str = "APPEND";

/// Why something could not be done at an IMAP server. No secret is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImapError {
    /// It could not be reached.
    #[error("{0}")]
    Dial(#[from] DialError),
    /// There is no TLS that can be trusted.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// It does not offer STARTTLS.
    #[error("the IMAP server does not offer STARTTLS; check imap and security of [upstream.sent_copy]")]
    NoStartTls,
    /// It has said more in clear text than it was asked, which might be taken for a part of what TLS shields.
    #[error("the IMAP server has sent more than was asked for before TLS: somebody may stand in between")]
    Injected,
    /// Nothing, or not all, came in time.
    #[error("no answer to {step} within {} s", limit.as_secs())]
    TimedOut {
        /// What was asked.
        step: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// It has closed the connection.
    #[error("the IMAP server has closed the connection{}", said(.0))]
    Closed(String),
    /// The line broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// What came is no IMAP.
    #[error("the server does not speak IMAP; check imap and security of [upstream.sent_copy]")]
    Garbage,
    /// An answer was longer than any that is asked for.
    #[error("an answer of the IMAP server is too long")]
    TooLong,
    /// There is nothing to log in with, or no way to.
    #[error("{0}")]
    NoLogin(#[from] LoginError),
    /// The login could not go on.
    #[error("{0}")]
    Sasl(#[from] SaslError),
    /// The login was refused.
    #[error(
        "the IMAP server refuses the login: {0}; check that user, password or token are good for IMAP, too"
    )]
    LoginRefused(String),
    /// Anything else was refused.
    #[error("the IMAP server refuses {step}: {text}")]
    Refused {
        /// What was asked.
        step: &'static str,
        /// What it says.
        text: String,
    },
}

impl ImapError {
    /// Whether the server has refused this message, over a connection that is good for others.
    #[must_use]
    pub fn is_about_message(&self) -> bool {
        matches!(self, Self::Refused { step: APPEND, .. })
    }
}

/// What it has said last, if anything.
fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
