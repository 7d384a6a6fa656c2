//! Who may log in, as `[[user]]` describes it.

use secrecy::SecretString;

use super::{ByteSize, Filter, ScramVerifier};
use crate::mail::Address;

/// `[[user]]`
#[derive(Debug, Clone)]
pub struct User {
    /// The login name; unique, whatever the case.
    pub name: String,
    /// What a login is checked against.
    pub password: UserPassword,
    /// The senders that it may use; empty: any.
    pub senders: Vec<Filter>,
    /// The From of messages that have none.
    pub default_sender: Option<Address>,
    /// Whether a sender that is not granted becomes `default_sender`, which is there then.
    pub replace_foreign_sender: bool,
    /// How urgent its mail is.
    pub priority: UserPriority,
    /// Whom it may write to; empty: anybody.
    pub recipients: Vec<Filter>,
    /// The largest content that it may hand in, where that is less than others may.
    pub max_message_size: Option<ByteSize>,
    /// Whether its mail is in test mode though the switch is off.
    pub test: bool,
}

/// What a login is checked against.
#[derive(Debug, Clone)]
pub enum UserPassword {
    /// `{ hash = … }`: an argon2id string of bounded cost.
    Argon2id(SecretString),
    /// `{ scram = … }`
    Scram(ScramVerifier),
    /// The password itself.
    Plain(SecretString),
}

/// How urgent a user's mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserPriority {
    /// After normal mail.
    Low,
    /// As all mail.
    Normal,
    /// Before normal mail.
    High,
}

impl User {
    /// Whether the user may send as this address. A quoted local part that can't be without its quotes is granted to nobody
    /// who may not send as anybody: readers would see another address in it.
    #[must_use]
    pub fn grants(&self, address: &Address) -> bool {
        let granted = || Filter::any_matches(&self.senders, address);
        self.senders.is_empty() || (!address.needs_quotes() && granted())
    }
}
