//! What a delivery report says.

use crate::mail::Address;

/// What is shown of the words at a recipient, in characters.
const SHOWN: usize = 200;

/// A delivery report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    /// How it is written.
    pub form: ReportForm,
    /// Of whom it tells, each once.
    pub recipients: Vec<ReportedRecipient>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportForm {
    /// For programs (RFC 3464, RFC 6533).
    Standard,
    /// For people, by qmail and what took after it.
    Qmail,
    /// For people, by Exim.
    Exim,
    /// For people, by Postfix.
    Postfix,
    /// For people, by Exchange, in any language.
    Exchange,
    /// For people, by Google.
    Google,
}

impl ReportForm {
    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Qmail => "qmail",
            Self::Exim => "exim",
            Self::Postfix => "postfix",
            Self::Exchange => "exchange",
            Self::Google => "google",
        }
    }
}

/// What a report says of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedRecipient {
    /// To whom the mail was written, as far as the report tells.
    pub address: String,
    /// What became of it there, in one line.
    pub said: String,
    /// What that means.
    pub verdict: Result<MissingMailbox, NotTaken>,
}

/// A mailbox that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingMailbox {
    /// Its address.
    pub address: Address,
}

/// Why what a report says of a recipient says nothing against its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It was delivered, relayed or is only late.
    #[error("it has not failed")]
    NotFailed,
    /// It has failed for now.
    #[error("it has failed for now, which may pass")]
    Transient,
    /// It has failed for good, for another cause.
    #[error("it has failed, but not since the mailbox does not exist")]
    OtherCause,
    /// The code says so, and the words do not.
    #[error("its code says that the mailbox does not exist, but its words speak of another cause")]
    Doubtful,
    /// No enhanced status code.
    #[error("without an enhanced status code nothing is certain")]
    NoStatus,
    /// What failed is another address.
    #[error("the address that failed is another one, to which it was sent on")]
    Forwarded,
    /// There is no address that could be listed.
    #[error("it names no address")]
    NoAddress,
}

/// The message is no report that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no delivery report")]
pub struct NoReport;

impl ReportedRecipient {
    /// With what stands at a recipient, and what that means.
    pub(super) fn new(address: &str, said: &str, verdict: Result<(), NotTaken>) -> Self {
        let address = address.trim();
        let verdict = verdict.and_then(|()| {
            Address::parse(address).map(|address| MissingMailbox { address }).map_err(|_| NotTaken::NoAddress)
        });
        Self { address: address.to_owned(), said: in_one_line(said), verdict }
    }
}

/// A text in one line, cut where it is long.
fn in_one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(SHOWN).collect()
}
