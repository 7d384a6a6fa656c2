//! Why a look-up has no records.

/// Why there are no records: they are not there, or it is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// NXDOMAIN: there is no such name.
    #[error("there is no such name in the DNS")]
    NoName,
    /// The name is there, and has no records of this kind.
    #[error("the name has no such record")]
    NoRecord,
    /// The servers answered with an error (SERVFAIL, REFUSED, …), or with what can't be read.
    #[error("the name server answered with an error ({0})")]
    Refused(String),
    /// Nobody answered in time, or could be reached.
    #[error("no name server answered ({0})")]
    Unanswered(String),
    /// The question was not asked.
    #[error("it was not looked up: {0}")]
    NotAsked(String),
    /// The answer is larger than what is read.
    #[error("the answer has more than {limit}")]
    TooMuch {
        /// What it may have: `64 records`, `65536 octets`.
        limit: String,
    },
}

impl LookupError {
    /// Whether the DNS says that there is nothing. All else means that it is not known what there is.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NoName | Self::NoRecord)
    }
}
