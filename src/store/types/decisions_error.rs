//! Why what is stored of decisions is none.

/// Why stored decisions can't be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionsError {
    /// The text is no such record.
    #[error("the stored decisions can't be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The test mode of the record does what nobody knows.
    #[error("the stored decisions name a test action that is not known: {0}")]
    Action(String),
    /// A mailbox of the record is none.
    #[error("the stored decisions name a mailbox that is none: {0}")]
    Mailbox(String),
    /// The priority of the record is none.
    #[error("the stored decisions name a priority that is not known: {0}")]
    Priority(String),
    /// The test address of the record is none.
    #[error("the stored test address is none: {0}")]
    Address(#[from] crate::mail::AddressError),
}
