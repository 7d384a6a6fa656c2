//! Transactions for which a client waits: nothing of them is in the queue, but their permits are in the store.

use super::{Message, NewMessage, NewSentCopy, StoredLabel};
use crate::limits::{AccountKey, Amount, Ceilings, Scope, Wait};
use crate::mail::Address;

/// A permit's key in the store. No key is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PermitId(pub i64);

/// A permit for a transaction that has no message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPermit {
    /// The account that would send it.
    pub account: AccountKey,
    /// The limits in force for what its transactions count in. A scope that is left out has none.
    pub ceilings: Vec<(Scope, Ceilings)>,
    /// What there must be room for now; it counts until the permit ends.
    pub needed: Amount,
    /// Recipients that it may come to at most; all of them count when we die before it is ended.
    pub recorded: u32,
}

/// More recipients for a permit that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitExtension {
    /// The permit.
    pub permit: PermitId,
    /// The limits in force, as at its taking.
    pub ceilings: Vec<(Scope, Ceilings)>,
    /// So many more.
    pub more: Amount,
}

/// Whether a transaction may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permitted {
    /// The transaction may begin: this is its permit, recorded.
    Granted(PermitId),
    /// There is no room: why, and until when.
    Blocked(Wait),
}

/// A message that has gone through while its client waited, and was never in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedMessage {
    /// The message; its recipients are those to whom it has gone.
    pub message: Message,
    /// By what it is found.
    pub label: StoredLabel,
    /// Recipients that were accepted and dropped.
    pub dropped: Vec<Address>,
    /// Those of both that rules have added.
    pub copies: u64,
    /// The upstream's reply.
    pub reply: String,
    /// Whether the recipients' own mailboxes have it, which clears what was held against them; see
    /// [`Delivery::reached`](super::Delivery::reached).
    pub reached: bool,
}

/// What became of a transaction that has no message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitEnd {
    /// The permit that has ended.
    pub permit: PermitId,
    /// What it used of the limits; `None` gives the permit back.
    pub used: Option<Amount>,
    /// The message that has gone through by it. Its recipients count as accepted, unless rules have added them, and sent or dropped.
    pub passed: Option<Box<PassedMessage>>,
    /// Our reports about it.
    pub reports: Vec<NewMessage>,
    /// A copy for a Sent folder, made in the same transaction.
    pub copy: Option<NewSentCopy>,
}

impl PermitEnd {
    /// Nothing was handed over.
    #[must_use]
    pub fn without_message(permit: PermitId, used: Option<Amount>) -> Self {
        Self { permit, used, passed: None, reports: Vec::new(), copy: None }
    }
}
