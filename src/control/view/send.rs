//! A test mail, from the queue to the outcome of each recipient.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::message::MessageJson;
use super::{rfc3339, some_text};
use crate::deliver::RecipientNews;
use crate::lane::LaneStatus;
use crate::store::RecipientState;
use crate::time::Timeline;

/// By which upstream a mail would go, and as whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SendPlan {
    /// Who sends it: the reverse-path, and the address in From.
    pub from: String,
    /// The upstream.
    pub upstream: String,
    /// The relay's name.
    pub hostname: String,
    /// The largest message that is taken, in octets.
    pub max_size: u64,
}

/// What happens to a mail that was handed in, until its outcome is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SendEvent {
    /// It is in the queue.
    Queued(QueuedJson),
    /// How it stands there, when that has changed.
    Waiting(WaitingJson),
    /// What has become of a recipient.
    Recipient(OutcomeJson),
    /// No more is told.
    Ended {
        /// Why.
        end: SendEnd,
    },
}

/// A mail that was taken into the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuedJson {
    /// Its name.
    pub queue_id: String,
    /// The reverse-path.
    pub from: String,
    /// The upstream.
    pub upstream: String,
    /// When it will probably go, when it will wait for more than a minute.
    pub eta: Option<String>,
    /// What test mode does with it.
    pub test_mode: Option<String>,
    /// Where it goes in its recipients' place.
    pub test_address: Option<String>,
}

/// How a mail stands in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingJson {
    /// `ready deferred held sending`
    pub state: String,
    /// `retry limit disabled sign_in release schedule connection`
    pub waiting_for: Option<String>,
    /// What is in the way, in words.
    pub reason: Option<String>,
    /// Until when, as far as is known.
    pub until: Option<String>,
}

/// What has become of a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeJson {
    /// The forward-path.
    pub address: String,
    /// `sent bounced expired dropped captured`, or `deferred` for one that is tried again.
    pub state: String,
    /// The reply, or what happened in words.
    pub reply: Option<String>,
    /// When it is tried again.
    pub next: Option<String>,
}

/// Why no more is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendEnd {
    /// All recipients have their outcome.
    Settled,
    /// A person must release it.
    Held,
    /// It waits on; nobody wanted to know for longer.
    Waiting,
    /// It left the queue in another way: a person has deleted it.
    Gone,
}

impl WaitingJson {
    /// Of a message in the queue, given how its lane is.
    #[must_use]
    pub fn new(message: &MessageJson, lane: Option<&LaneStatus>) -> Self {
        let waits = message.waiting_for.is_some();
        let of_lane = |name: &&str| ["limit", "disabled", "sign_in", "connection"].contains(name);
        let reason = message.waiting_for.as_deref().filter(of_lane).and(lane);
        Self {
            state: message.state.clone(),
            waiting_for: message.waiting_for.clone(),
            reason: reason.and_then(|lane| some_text(lane.state.reason())),
            until: message.next_attempt.clone().filter(|_| waits),
        }
    }
}

impl OutcomeJson {
    /// What the news say.
    #[must_use]
    pub fn new(news: &RecipientNews, timeline: &Timeline) -> Self {
        let waits = news.state == RecipientState::Waiting;
        let next = news.again_in.filter(|_| waits).map(|rest| timeline.now().after(rest));
        Self {
            address: news.address.clone(),
            state: if waits { "deferred" } else { news.state.name() }.to_owned(),
            reply: some_text(&news.reply),
            next: next.map(|next| rfc3339(timeline.wall_at(next))),
        }
    }
}
