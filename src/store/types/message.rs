//! A message as it enters the queue, and as an attempt gets it.

use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::{Decisions, Disposition, LaneName, Priority, StoredLabel};
use crate::content::Content;
use crate::limits::Amount;
use crate::mail::{Address, Body, ClientNetwork, MessageRequest, QueueId, RecipientRequest, ReversePath};
use crate::time::Moment;

/// A message's key in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub i64);

/// Who handed a message in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientInfo {
    /// The client's IP address.
    pub address: String,
    /// What it called itself in EHLO or HELO.
    pub helo: String,
    /// The user that it logged in as.
    pub user: Option<String>,
    /// The listener that it came in by.
    pub listener: String,
}

impl ClientInfo {
    /// Who takes turns with the others: the user, else the client ([`ClientNetwork`]).
    #[must_use]
    pub fn submitter(&self) -> String {
        if let Some(user) = self.user.as_deref().filter(|user| !user.is_empty()) {
            return user.to_lowercase();
        }
        match self.address.parse::<IpAddr>() {
            Ok(address) => ClientNetwork::of(address).to_string(),
            Err(_) => self.address.clone(),
        }
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A client handed it in.
    Submitted,
    /// Our own report (RFC 3464).
    Report,
}

/// A recipient as it enters the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecipient {
    /// The forward-path.
    pub address: Address,
    /// Accepted from the client but dropped (blacklist): counted, never sent.
    pub dropped: bool,
    /// No client has named it: a rule has added it, or a person sends the message again. Counted as generated, not as accepted.
    pub copy: bool,
    /// The reports that the client asked for.
    pub request: RecipientRequest,
}

/// The recipients of a message as it enters the queue; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients(Vec<NewRecipient>);

impl Recipients {
    /// These recipients; `None` when there are none.
    #[must_use]
    pub fn new(recipients: Vec<NewRecipient>) -> Option<Self> {
        (!recipients.is_empty()).then_some(Self(recipients))
    }

    /// These and more.
    #[must_use]
    pub fn with(mut self, more: Vec<NewRecipient>) -> Self {
        self.0.extend(more);
        self
    }

    /// How many are to get the message; the others are counted alone.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.iter().filter(|recipient| !recipient.dropped).count()
    }

    /// How many were added by rules.
    #[must_use]
    pub fn copies(&self) -> u64 {
        self.iter().filter(|recipient| recipient.copy).count() as u64
    }

    /// Whether no client has named any of them: those whom a client has named were sent it before, while it waited or at the first
    /// time.
    #[must_use]
    pub fn are_copies(&self) -> bool {
        self.iter().all(|recipient| recipient.copy)
    }
}

/// Each may be changed, but none added or removed.
impl DerefMut for Recipients {
    fn deref_mut(&mut self) -> &mut [NewRecipient] {
        &mut self.0
    }
}

impl Deref for Recipients {
    type Target = [NewRecipient];

    fn deref(&self) -> &[NewRecipient] {
        &self.0
    }
}

/// A message as it enters the queue. The store stamps when that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The name.
    pub queue_id: QueueId,
    /// Submitted or a report.
    pub kind: MessageKind,
    /// Which of several due messages goes first.
    pub priority: Priority,
    /// Where it waits; decided again at every attempt.
    pub lane: LaneName,
    /// How long the lane had waited for limits until now. A message's age counts from its acceptance *less* this figure
    /// then, *plus* this figure at present: so waiting for a limit makes no message older, and no row need be touched for
    /// it.
    pub limit_wait: Duration,
    /// For how long it does not go, whatever room there is; its age counts from then.
    pub delay: Duration,
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// The key of the address that routing goes by; empty for a report of unknown origin.
    pub sender: String,
    /// What the client declared.
    pub body: Body,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    /// What else the client asked for.
    pub request: MessageRequest,
    /// Who handed it in.
    pub client: ClientInfo,
    /// What was decided about it.
    pub decisions: Decisions,
    /// Whether it waits for a person.
    pub held: bool,
    /// By what it is found when it has left.
    pub label: StoredLabel,
    /// Who is to get it.
    pub recipients: Recipients,
    /// The content with our Received header.
    pub content: Content,
}

/// What became of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecipientState {
    /// Not settled yet.
    Waiting,
    /// In an attempt.
    Sending,
    /// An upstream took it.
    Sent,
    /// Failed for good; a report was made.
    Bounced,
    /// Outlived the queue; a report was made.
    Expired,
    /// The blacklist dropped it.
    Dropped,
    /// In the local mailbox.
    Captured,
}

impl RecipientState {
    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
            Self::Captured => "captured",
        }
    }
}

/// After so many attempts that may have succeeded a recipient is not tried again, unless a person wants it.
pub const MOST_DOUBTS: u32 = 3;

/// A recipient of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// The place in the envelope, from 0.
    pub index: u32,
    /// The forward-path.
    pub address: Address,
    /// Attempts so far.
    pub attempts: u32,
    /// Those of them that failed for the message's own sake, not by the upstream's trouble.
    pub failures: u32,
    /// Those of them after which the upstream may have the message though it has not said so.
    pub doubts: u32,
    /// The last reply, empty when there was none.
    pub last_reply: String,
    /// The reports that the client asked for.
    pub request: RecipientRequest,
    /// Why it is on the blacklist by now, if it is: then nothing goes to it. Never for a message of test mode, which goes
    /// to nobody anyway.
    pub listed: Option<String>,
}

impl QueuedRecipient {
    /// One that nothing was tried for yet, and that is not on the blacklist.
    #[must_use]
    pub fn untried(index: u32, address: Address, request: RecipientRequest) -> Self {
        let last_reply = String::new();
        Self { index, address, attempts: 0, failures: 0, doubts: 0, last_reply, request, listed: None }
    }
}

/// A message as an attempt sees it, whether it is in the queue or goes through while its client waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The name.
    pub queue_id: QueueId,
    /// Submitted or a report.
    pub kind: MessageKind,
    /// The lane in which it stands.
    pub lane: LaneName,
    /// When it was accepted, on the time line.
    pub accepted: Moment,
    /// When it was accepted by the wall clock, in milliseconds since 1970.
    pub accepted_wall: i64,
    /// `accepted` less what the lane had waited for limits until then: its age counts from here.
    pub age_base: i64,
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// The address that routing goes by.
    pub sender: String,
    /// What the client declared.
    pub body: Body,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    /// What else the client asked for.
    pub request: MessageRequest,
    /// Who handed it in.
    pub client: ClientInfo,
    /// What was decided about it when it was accepted.
    pub decisions: Decisions,
    /// The recipients of this attempt; the others of the envelope are settled, or wait for another transaction.
    pub recipients: Vec<QueuedRecipient>,
    /// Octets.
    pub size: u64,
    /// The content with our Received header.
    pub content: Content,
}

impl Message {
    /// What an attempt does with it, by what was decided at its acceptance.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        self.decisions.disposition()
    }

    /// What the provider will count for this attempt: nothing when no recipient is left that it goes to.
    #[must_use]
    pub fn amount(&self) -> Amount {
        match self.disposition() {
            Disposition::Sent => match self.recipients.iter().filter(|r| r.listed.is_none()).count() {
                0 => Amount::NONE,
                recipients => Amount::of_message(recipients as u32, self.size),
            },
            Disposition::OneCopy => Amount::of_message(1, self.size),
            Disposition::Captured => Amount::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submitter_is_the_user_or_the_network() {
        for (name, user, address, want) in [
            ("a user", Some("Ann"), "192.0.2.1", "ann"),
            ("no user", None, "192.0.2.1", "192.0.2.1"),
            ("an empty user", Some(""), "192.0.2.1", "192.0.2.1"),
            ("IPv6", None, "2001:db8::1", "2001:db8:0:0::/64"),
            ("IPv6, the same /64", None, "2001:db8:0:0:ffff::9", "2001:db8:0:0::/64"),
            ("IPv6, another /64", None, "2001:db8:0:1::1", "2001:db8:0:1::/64"),
            ("IPv4 in IPv6", None, "::ffff:192.0.2.1", "192.0.2.1"),
            ("nobody: our own report", None, "", ""),
        ] {
            let client =
                ClientInfo { address: address.into(), user: user.map(Into::into), ..ClientInfo::default() };
            assert_eq!(client.submitter(), want, "{name}");
        }
    }
}
