//! What became of mail that has left.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::message::{MessageDetail, MessageJson, RecipientJson};
use super::{some_text, wall_ms};
use crate::mail::AddressKey;
use crate::policy::test_mode::action_name;
use crate::store::HistoryEntry;

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryJson {
    /// The message.
    pub queue_id: String,
    /// Its Message-ID, with angle brackets.
    pub message_id: Option<String>,
    /// Its subject; null where subjects are not kept, and for a viewer.
    pub subject: Option<String>,
    /// The reverse-path; empty for a report.
    pub from: String,
    /// The recipient: in test mode the one that it was for.
    pub to: String,
    /// `sent bounced expired dropped captured deleted`
    pub state: String,
    /// The upstream; null where none was tried.
    pub upstream: Option<String>,
    /// The last reply, or what happened in words; cut when it is long.
    pub reply: Option<String>,
    /// When it has ended.
    pub at: String,
    /// What test mode did with it: then it was sent to the test address at most, and never to this recipient.
    pub test_mode: Option<String>,
}

/// Whose mail is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    /// An address, in any spelling.
    pub address: String,
}

/// What was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForgottenJson {
    /// Of which address.
    pub address: String,
    /// Entries of it as a recipient, or with it as the reverse-path.
    pub entries: u64,
    /// Contents of that mail, which were kept for resending.
    pub contents: u64,
}

/// To whom a message is sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resend {
    /// Addresses; empty: all recipients that the message had, but for those that the blacklist dropped.
    #[serde(default)]
    pub to: Vec<String>,
}

/// A message that is sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resent {
    /// The name that it has now.
    pub queue_id: String,
    /// The name that it had.
    pub original: String,
    /// Whom it is for.
    pub to: Vec<String>,
    /// Those of them that get nothing, since they are on the blacklist.
    pub dropped: Vec<String>,
    /// The upstream by which it goes.
    pub upstream: String,
    /// When it will probably go, when it will wait for more than a minute.
    pub eta: Option<String>,
    /// Whether it waits until a person releases it.
    pub held: bool,
    /// What test mode does with it.
    pub test_mode: Option<String>,
    /// Where it goes in its recipients' place.
    pub test_address: Option<String>,
}

impl HistoryJson {
    /// An entry as it is shown; of the subject only where that may be seen.
    #[must_use]
    pub fn new(entry: HistoryEntry, with_subject: bool) -> Self {
        Self {
            queue_id: entry.queue_id.to_string(),
            message_id: entry.label.message_id,
            subject: entry.label.subject.filter(|_| with_subject),
            from: entry.from,
            to: entry.to,
            state: entry.end.name().to_owned(),
            upstream: some_text(&entry.upstream),
            reply: some_text(&entry.reply),
            at: wall_ms(entry.at_wall),
            test_mode: entry.test.map(|action| action_name(action).to_owned()),
        }
    }
}

impl MessageDetail {
    /// What the history tells of a message that has left, from all its entries, the newest first; `None` when there are none.
    #[must_use]
    pub fn left(entries: &[HistoryEntry]) -> Option<Self> {
        let newest = entries.first()?;
        let recipient = |entry: &HistoryEntry| RecipientJson {
            address: entry.to.clone(),
            state: entry.end.name().to_owned(),
            attempts: entry.attempts,
            reply: some_text(&entry.reply),
        };
        let message = MessageJson {
            queue_id: newest.queue_id.to_string(),
            state: "left".to_owned(),
            from: newest.from.clone(),
            to: entries.iter().rev().map(recipient).collect(),
            size: newest.size,
            user: None,
            client: String::new(),
            upstream: newest.upstream.clone(),
            accepted_at: wall_ms(newest.accepted_wall),
            next_attempt: None,
            eta: None,
            waiting_for: None,
            test_mode: newest.test.map(|action| action_name(action).to_owned()),
        };
        Some(Self {
            message,
            message_id: newest.label.message_id.clone(),
            subject: newest.label.subject.clone(),
            sender: AddressKey::of_text(&newest.from).into(),
            attempts: entries.iter().map(|entry| entry.attempts).max().unwrap_or_default(),
            helo: String::new(),
            listener: String::new(),
            test_address: None,
            upstream_reason: None,
            fallback: None,
            rules: Vec::new(),
            ruled: Vec::new(),
            waits: Vec::new(),
            left_at: Some(wall_ms(newest.at_wall)),
        })
    }
}
