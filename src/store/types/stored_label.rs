//! By what a message is found again.

use crate::mail::MessageLabel;

/// By what a message is found again when it has left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredLabel {
    /// The Message-ID with its angle brackets.
    pub message_id: Option<String>,
    /// The subject, decoded; `None` where subjects are not kept.
    pub subject: Option<String>,
}

impl StoredLabel {
    /// What is stored of what a header section says; of its subject only where that is wanted.
    #[must_use]
    pub fn new(label: &MessageLabel, with_subject: bool) -> Self {
        Self {
            message_id: label.message_id.clone(),
            subject: if with_subject { label.subject() } else { None },
        }
    }
}
