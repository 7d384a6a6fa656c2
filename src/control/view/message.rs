//! Messages in the queue.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::waits::{WaitJson, WaitSources};
use super::{rfc3339, some_text, wall_ms};
use crate::lane::{LaneState, LaneStatus};
use crate::mail::{MessageLabel, QueueId};
use crate::policy::test_mode::action_name;
use crate::store::{MessageState, RecipientState, Summary, SummaryRecipient};
use crate::time::{Moment, Timeline};

/// A recipient of a message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecipientJson {
    /// The forward-path.
    pub address: String,
    /// `waiting sending sent bounced expired dropped captured`, of a message that has left also `deleted`
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The last reply; null when there was none.
    pub reply: Option<String>,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageJson {
    /// Its name.
    pub queue_id: String,
    /// `ready deferred held sending`, and `left` where one is shown that has left
    pub state: String,
    /// The reverse-path; empty for a report.
    pub from: String,
    /// All recipients.
    pub to: Vec<RecipientJson>,
    /// Octets.
    pub size: u64,
    /// The user who logged in.
    pub user: Option<String>,
    /// The client's IP address.
    pub client: String,
    /// The upstream that it will probably take.
    pub upstream: String,
    /// When it was accepted.
    pub accepted_at: String,
    /// When it goes next, as far as is known.
    pub next_attempt: Option<String>,
    /// When it will probably go; null when it is held, its upstream is disabled, or nobody knows.
    pub eta: Option<String>,
    /// `retry limit disabled sign_in release schedule connection`
    pub waiting_for: Option<String>,
    /// What test mode does with it.
    pub test_mode: Option<String>,
}

/// A message with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageDetail {
    /// What a list shows.
    #[serde(flatten)]
    pub message: MessageJson,
    /// Its Message-ID, with angle brackets.
    pub message_id: Option<String>,
    /// Its subject, decoded.
    pub subject: Option<String>,
    /// The address that routing goes by.
    pub sender: String,
    /// Attempts so far.
    pub attempts: u32,
    /// What the client called itself.
    pub helo: String,
    /// The listener that it came in by.
    pub listener: String,
    /// Where a redirected message goes.
    pub test_address: Option<String>,
    /// Why its upstream takes nothing at present.
    pub upstream_reason: Option<String>,
    /// The upstream that it takes instead at present.
    pub fallback: Option<String>,
    /// The rules that have matched.
    #[serde(default)]
    pub rules: Vec<String>,
    /// What they have decided, in words.
    #[serde(default)]
    pub ruled: Vec<String>,
    /// All that it waits for, and whose affair that is.
    pub waits: Vec<WaitJson>,
    /// When it has left: then its state is `left`, and of the rest only what the history keeps is told.
    #[serde(default)]
    pub left_at: Option<String>,
}

/// What became of a command to one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Its name.
    pub queue_id: String,
    /// What became of it.
    pub outcome: DoneOutcome,
    /// What it still waits for, though it is due.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitJson>,
}

impl Done {
    /// What became of a message that waits for nothing any more.
    #[must_use]
    pub fn new(queue_id: &QueueId, outcome: DoneOutcome) -> Self {
        Self { queue_id: queue_id.to_string(), outcome, waits: Vec::new() }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoneOutcome {
    /// Tried again now.
    Due,
    /// Kept until it is released.
    Held,
    /// On its way.
    Released,
    /// Gone for good.
    Deleted,
    /// It was being sent, and while that was waited for it was settled for all recipients.
    Gone,
}

/// What became of a command to many messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// Messages that are due now.
    pub messages: u64,
    /// The upstreams for which mail waits.
    #[serde(default)]
    pub upstreams: Vec<String>,
}

impl MessageJson {
    /// What a list shows of a message, given how its upstream is.
    #[must_use]
    pub fn new(
        summary: &Summary,
        lane: Option<&LaneStatus>,
        eta: Option<Moment>,
        timeline: &Timeline,
    ) -> Self {
        let now = timeline.now();
        let (waiting_for, next) = waiting(summary, lane, now);
        Self {
            queue_id: summary.queue_id.to_string(),
            state: summary.state.name().to_owned(),
            from: summary.reverse_path.clone(),
            to: summary.recipients.iter().map(RecipientJson::from).collect(),
            size: summary.size,
            user: summary.client.user.clone(),
            client: summary.client.address.clone(),
            upstream: summary.lane.upstream().to_owned(),
            accepted_at: wall_ms(summary.accepted_wall),
            next_attempt: next.map(|moment| rfc3339(timeline.wall_at(moment))),
            eta: eta.map(|moment| rfc3339(timeline.wall_at(moment))),
            waiting_for: waiting_for.map(str::to_owned),
            test_mode: summary.decisions.test.as_ref().map(|test| action_name(test.action).to_owned()),
        }
    }
}

/// What a message waits for, and until when as far as is known.
fn waiting(
    summary: &Summary,
    lane: Option<&LaneStatus>,
    now: Moment,
) -> (Option<&'static str>, Option<Moment>) {
    let state = summary.state;
    match state {
        MessageState::Held => return (Some("release"), None),
        MessageState::Sending => return (None, None),
        MessageState::Ready | MessageState::Deferred => {}
    }
    if summary.is_scheduled(now) {
        return (Some("schedule"), Some(summary.due));
    }
    // While another upstream stands in, it is not held up by its own.
    let own = lane.filter(|lane| lane.via.is_none()).map_or(&LaneState::Up, |lane| &lane.state);
    let until = own.until();
    let later = until.map(|until| until.max(summary.due));
    // While the limit opens before the message is due, the limit does not hold it up.
    let due_behind_limit = summary.due > until.unwrap_or(now).max(now);
    match own {
        // A probe takes one message, and nobody knows which.
        LaneState::Disabled { .. } => (Some("disabled"), None),
        LaneState::SignIn { .. } => (Some("sign_in"), until),
        LaneState::Down { .. } => (Some("connection"), later.or(Some(summary.due))),
        LaneState::Limited { .. } if !due_behind_limit => (Some("limit"), later),
        LaneState::Busy { .. } if summary.due <= now => (Some("connection"), Some(summary.due)),
        _ if state == MessageState::Deferred => (Some("retry"), Some(summary.due)),
        _ => (None, Some(summary.due)),
    }
}

impl MessageDetail {
    /// All that is known about a message.
    #[must_use]
    pub fn new(sources: &WaitSources<'_>, label: &MessageLabel, eta: Option<Moment>) -> Self {
        let &WaitSources { summary, lane, timeline, .. } = sources;
        Self {
            message: MessageJson::new(summary, lane, eta, timeline),
            message_id: label.message_id.clone(),
            subject: label.subject(),
            sender: summary.sender.clone(),
            attempts: summary.attempts,
            helo: summary.client.helo.clone(),
            listener: summary.client.listener.clone(),
            test_address: summary
                .decisions
                .test
                .as_ref()
                .and_then(|t| t.address.as_ref())
                .map(ToString::to_string),
            upstream_reason: lane.and_then(|lane| some_text(lane.state.reason())),
            fallback: lane.and_then(|lane| lane.via.clone()),
            rules: summary.decisions.ruled.rules.clone(),
            ruled: summary.decisions.in_words(),
            waits: sources.waits(),
            left_at: None,
        }
    }
}

impl From<&SummaryRecipient> for RecipientJson {
    fn from(recipient: &SummaryRecipient) -> Self {
        Self {
            address: recipient.address.clone(),
            state: RecipientState::name(recipient.state).to_owned(),
            attempts: recipient.attempts,
            reply: some_text(&recipient.reply),
        }
    }
}
