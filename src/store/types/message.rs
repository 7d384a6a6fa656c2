//! A message as it enters the queue, and as an attempt gets it.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::TestAction;
use crate::mail::{Address, Body, MessageRequest, QueueId, RecipientRequest, ReversePath};
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
    /// Who takes turns with the others: the user, else the client's address. An IPv6 client counts by its /64, for it can
    /// choose among all addresses of that.
    #[must_use]
    pub fn submitter(&self) -> String {
        if let Some(user) = self.user.as_deref().filter(|user| !user.is_empty()) {
            return user.to_lowercase();
        }
        match self.address.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
            Ok(address) => address.to_string(),
            Err(_) => self.address.clone(),
        }
    }
}

/// Where the content is when a message is handed to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredContent {
    /// The octets themselves.
    Inline(Vec<u8>),
    /// A file `DATA_DIR/content/QUEUE_ID`, already synced together with its folder; its size in octets.
    File(u64),
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A client handed it in.
    Submitted,
    /// Our own report (RFC 3464).
    Report,
}

/// Which of several due messages goes first. Reports go before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Our own reports.
    Report = 0,
    /// Before normal mail.
    High = 1,
    /// What mail has when nobody says.
    Normal = 2,
    /// After normal mail.
    Low = 3,
}

impl Priority {
    /// What MT-PRIORITY (RFC 6710) means here: above 0 is high, below is low.
    #[must_use]
    pub fn asked(priority: Option<i8>) -> Self {
        match priority.unwrap_or_default() {
            1.. => Self::High,
            0 => Self::Normal,
            _ => Self::Low,
        }
    }
}

/// The test mode that was in force when a message was accepted; it never changes by a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestTreatment {
    /// What is done with the message.
    pub action: TestAction,
    /// Where it goes when redirected.
    pub address: Option<Address>,
}

/// A recipient as it enters the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecipient {
    /// The forward-path.
    pub address: Address,
    /// Accepted from the client but dropped (blacklist): counted, never sent.
    pub dropped: bool,
    /// The reports that the client asked for.
    pub request: RecipientRequest,
}

/// A message as it enters the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its name.
    pub queue_id: QueueId,
    /// Submitted or a report.
    pub kind: MessageKind,
    /// Which of several due messages goes first.
    pub priority: Priority,
    /// The upstream that it will probably take; decided again at every attempt.
    pub route: String,
    /// When it was accepted, on the time line.
    pub accepted: Moment,
    /// When it was accepted by the wall clock, in milliseconds since 1970.
    pub accepted_wall: i64,
    /// How long the route had waited for limits until then; see [`Store::set_limit_wait`](super::Store::set_limit_wait).
    pub limit_wait: i64,
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// The address that routing goes by, lower case; empty for a report of unknown origin.
    pub sender: String,
    /// What the client declared.
    pub body: Body,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    /// What else the client asked for.
    pub request: MessageRequest,
    /// Who handed it in.
    pub client: ClientInfo,
    /// The test mode in force.
    pub test: Option<TestTreatment>,
    /// Whether it waits for a person.
    pub held: bool,
    /// At least one.
    pub recipients: Vec<NewRecipient>,
    /// The content with our Received header.
    pub content: StoredContent,
}

/// The content of a queued message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The octets themselves.
    Inline(Vec<u8>),
    /// A file that holds them.
    File(PathBuf),
}

/// What became of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecipientState {
    /// It has not been settled.
    Waiting,
    /// It is in an attempt.
    Sending,
    /// An upstream took it.
    Sent,
    /// It failed for good; a report was made.
    Bounced,
    /// It outlived the queue; a report was made.
    Expired,
    /// The blacklist dropped it.
    Dropped,
    /// It is in the local mailbox.
    Captured,
}

impl RecipientState {
    /// Its name in output.
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

/// A recipient of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// Its place in the envelope, from 0.
    pub index: u32,
    /// The forward-path.
    pub address: Address,
    /// Attempts so far.
    pub attempts: u32,
    /// Those of them that failed for the message's own sake, not by the upstream's trouble.
    pub failures: u32,
    /// The last reply, empty when there was none.
    pub last_reply: String,
    /// The reports that the client asked for.
    pub request: RecipientRequest,
}

/// A message under a lease: what an attempt needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Its key.
    pub id: MessageId,
    /// Its name.
    pub queue_id: QueueId,
    /// Submitted or a report.
    pub kind: MessageKind,
    /// The upstream whose queue it stands in.
    pub route: String,
    /// When it was accepted, on the time line.
    pub accepted: Moment,
    /// When it was accepted by the wall clock, in milliseconds since 1970.
    pub accepted_wall: i64,
    /// `accepted` less what the route had waited for limits until then: its age counts from here.
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
    /// The test mode in which it was accepted.
    pub test: Option<TestTreatment>,
    /// Whether the sender has been warned of the delay.
    pub warned: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// The recipients of this attempt: of those that wait, the ones that were tried least often. The others of the
    /// envelope are settled, or wait for another transaction.
    pub recipients: Vec<QueuedRecipient>,
    /// How many other recipients are still waiting.
    pub others_waiting: u32,
    /// How many of those were tried no more often than the recipients of this attempt, and so are to go at once.
    pub others_at_once: u32,
    /// Octets.
    pub size: u64,
    /// The content with our Received header.
    pub content: Content,
}

/// What an attempt does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It goes to its recipients.
    Sent,
    /// One copy goes to the test address, whoever it was for.
    OneCopy,
    /// It goes into the local mailbox.
    Captured,
}

impl QueuedMessage {
    /// What an attempt does with it, by the test mode in which it was accepted.
    #[must_use]
    pub fn treatment(&self) -> Treatment {
        match self.test.as_ref().map(|test| test.action) {
            Some(TestAction::Redirect) => Treatment::OneCopy,
            Some(TestAction::Capture) => Treatment::Captured,
            // One that was held and is sent after all has been released, and then it is no test any more.
            Some(TestAction::Hold) | None => Treatment::Sent,
        }
    }

    /// The recipients that the provider will count for this attempt.
    #[must_use]
    pub fn permit(&self) -> u32 {
        match self.treatment() {
            Treatment::Sent => self.recipients.len() as u32,
            Treatment::OneCopy => 1,
            Treatment::Captured => 0,
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
