//! Why a line is not a command, and what the client is told.

use crate::mail::AddressError;
use crate::smtp::Reply;

/// Why a line is not a command. All of it is the client's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The verb is unknown.
    #[error("command not recognized")]
    Unknown,
    /// A line of an HTTP request: a web page has made a browser call us.
    #[error("this is a mail relay, not a web server; closing")]
    Http,
    /// The line holds control characters: NUL, a bare CR, and the like.
    #[error("control characters are not allowed in a command")]
    Control,
    /// The line is not UTF-8.
    #[error("the command is neither ASCII nor UTF-8")]
    Encoding,
    /// The arguments break the grammar; here is how to write it.
    #[error("syntax: {0}")]
    Syntax(&'static str),
    /// A known parameter has a value that it can't have, or stands twice.
    #[error("the parameter {0} is not valid")]
    Parameter(&'static str),
    /// The parameter, or its value, is not implemented.
    #[error("a parameter is not recognized or not implemented")]
    UnknownParameter,
    /// MAIL's path is no mailbox.
    #[error("{0}")]
    ReversePath(#[source] AddressError),
    /// RCPT's path is no mailbox.
    #[error("{0}")]
    ForwardPath(#[source] AddressError),
    /// The reverse-path is not ASCII, and SMTPUTF8 was not asked for (RFC 6531 3.2).
    #[error("the address is not ASCII: give the parameter SMTPUTF8 with MAIL")]
    NeedsSmtpUtf8,
}

impl CommandError {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, status) = match self {
            Self::Unknown => (500, (5, 5, 1)),
            Self::Http => (421, (4, 7, 0)),
            Self::Control | Self::Encoding => (501, (5, 5, 2)),
            Self::Syntax(_) | Self::Parameter(_) => (501, (5, 5, 4)),
            Self::UnknownParameter => (555, (5, 5, 4)),
            Self::ReversePath(_) => (501, (5, 1, 7)),
            Self::ForwardPath(_) => (501, (5, 1, 3)),
            Self::NeedsSmtpUtf8 => (553, (5, 6, 7)),
        };
        Reply::new(code, status, self.to_string())
    }

    /// The word for it in the log.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Parameter(_) | Self::UnknownParameter => "parameter",
            Self::NeedsSmtpUtf8 => "smtputf8",
            _ => "syntax",
        }
    }
}
