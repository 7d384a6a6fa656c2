//! Transactions for which a client waits: nothing of them is in the queue, but their permits are in the store.

use super::{BlacklistCandidate, NewMessage, Permit};

/// A permit's key in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PermitId(pub i64);

/// A permit for a transaction that has no message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPermit {
    /// The upstream.
    pub upstream: String,
    /// The account.
    pub account: String,
    /// Recipients that it may come to at most; all of them count when we die before it is ended.
    pub recipients: u32,
}

/// What became of a transaction that has no message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// Its permit.
    pub permit: PermitId,
    /// What it used of the limits; `None` gives the permit back.
    pub used: Option<Permit>,
    /// Recipients to whom the message has gone; they count as accepted and sent.
    pub sent: u64,
    /// Recipients that were accepted and dropped.
    pub dropped: u64,
    /// Mailboxes that do not exist, each with the reply that said so.
    pub unknown: Vec<(BlacklistCandidate, String)>,
    /// Our reports about it.
    pub reports: Vec<NewMessage>,
}

impl Handover {
    /// Nothing was handed over.
    #[must_use]
    pub fn none(permit: PermitId, used: Option<Permit>) -> Self {
        Self { permit, used, sent: 0, dropped: 0, unknown: Vec::new(), reports: Vec::new() }
    }
}
