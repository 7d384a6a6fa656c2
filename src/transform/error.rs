//! Why a message can't be made ready for an upstream, and what becomes of it.

use std::collections::BTreeSet;

use super::{DkimError, HeaderFault, SmimeError};
use crate::content::ContentError;
use crate::smtp::Reply;

/// Why what messages are changed by can't be made ready. It is the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransformerError {
    /// A DKIM key can't be used.
    #[error(transparent)]
    Dkim(#[from] DkimError),
    /// A certificate for S/MIME can't be used.
    #[error(transparent)]
    Smime(#[from] SmimeError),
}

/// Why a message can't be made ready for an upstream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// The sender's: the upstream takes 7 bits, and the content can't be converted. Permanent, 5.6.3.
    #[error("the upstream takes no 8-bit content (8BITMIME), and this message can't be converted: {0}")]
    EightBit(&'static str),
    /// The sender's: the local part of an address is not ASCII, without which the message can go to nobody. Permanent,
    /// 5.6.7.
    #[error("the upstream takes no international addresses (SMTPUTF8), and {0} is one")]
    International(&'static str),
    /// The sender's: the local parts of these recipients, by their places in the envelope, are not ASCII. Permanent, 5.6.7.
    #[error("the upstream takes no international addresses (SMTPUTF8), and the recipient's is one")]
    InternationalRecipients(BTreeSet<u32>),
    /// The sender's: the upstream delivers to whom the header names, and that is not what the envelope says, or not clear.
    /// Permanent, 5.6.0.
    #[error(
        "the upstream delivers to whom the header names, and {0}: mend it in the program that sends it, or configure an \
        SMTP upstream as its `large`"
    )]
    Header(#[from] HeaderFault),
    /// Ours: a message of the test mode stands where only mail for its recipients may. It must not be sent.
    #[error("it was accepted in test mode, and has no test address to go to")]
    Test,
    /// The operator's: signing failed. The message waits.
    #[error("cannot sign the message")]
    Dkim(#[source] DkimError),
    /// The operator's: signing by S/MIME failed. The message waits.
    #[error("cannot sign the message by S/MIME")]
    Smime(#[from] SmimeError),
    /// Ours: the stored content can't be read to its end, or is not what it was.
    #[error("cannot read the stored content: {0}")]
    Content(#[source] ContentError),
}

impl From<DkimError> for TransformError {
    fn from(error: DkimError) -> Self {
        match error {
            DkimError::Body(error) => Self::Content(error),
            error => Self::Dkim(error),
        }
    }
}

impl TransformError {
    /// What became of the attempt, in the words of a reply: 5xx is permanent, 4xx waits.
    #[must_use]
    pub fn to_reply(&self) -> Reply {
        let (code, status) = match self {
            Self::EightBit(_) => (554, (5, 6, 3)),
            Self::International(_) | Self::InternationalRecipients(_) => (553, (5, 6, 7)),
            Self::Header(_) => (554, (5, 6, 0)),
            Self::Test => (451, (4, 7, 1)),
            Self::Dkim(_) | Self::Smime(_) | Self::Content(_) => (451, (4, 3, 0)),
        };
        Reply::new(code, status, self.to_string())
    }
}
