//! Why a content is not taken, and what the client is told.

use crate::policy::sender::NotGranted;
use crate::smtp::Reply;
use crate::store::StoreError;

/// Why a content is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The client's fault: it is too large.
    #[error("the message is larger than {max} octets")]
    TooLarge {
        /// `max_message_size` of `[session]`, or of the user.
        max: u64,
    },
    /// The client's fault: the header section is too large.
    #[error("the header section is larger than {max} octets")]
    HeaderTooLarge {
        /// What it may have.
        max: usize,
    },
    /// The client's fault: a NUL (RFC 5322 4).
    #[error("the message contains a NUL character")]
    Nul,
    /// The client's fault: a CR or LF that is not part of a CRLF, and the configuration refuses that.
    #[error("the message contains a CR or LF that is not part of CR LF")]
    BareNewline,
    /// The client's fault: a line over 998 octets, and the configuration refuses that.
    #[error("the message contains a line of more than 998 octets")]
    LongLine,
    /// The route's fault: the message has been here before.
    #[error("too many Received fields: the message is in a loop")]
    Loop,
    /// The client's fault: From or Sender is not the user's.
    #[error(transparent)]
    NotGranted(NotGranted),
    /// Ours: no memory for the header section now.
    #[error("not enough memory at present, try again later")]
    Memory,
    /// Ours: the file could not be written.
    #[error("the message cannot be stored at present, try again later")]
    Disk(#[from] StoreError),
}

impl Refusal {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, status) = match self {
            Self::TooLarge { .. } | Self::HeaderTooLarge { .. } => (552, (5, 3, 4)),
            Self::Nul | Self::BareNewline | Self::LongLine => (554, (5, 6, 0)),
            Self::Loop => (554, (5, 4, 6)),
            Self::NotGranted(refused) => return refused.reply(),
            Self::Memory => (452, (4, 3, 1)),
            Self::Disk(_) => (451, (4, 3, 0)),
        };
        Reply::new(code, status, self.to_string())
    }

    /// The word for it in the log.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "size",
            Self::HeaderTooLarge { .. } => "header_size",
            Self::Nul => "nul",
            Self::BareNewline => "bare_newline",
            Self::LongLine => "long_line",
            Self::Loop => "loop",
            Self::NotGranted(_) => "sender",
            Self::Memory => "memory",
            Self::Disk(_) => "disk",
        }
    }
}
