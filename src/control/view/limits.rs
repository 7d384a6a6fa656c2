//! What is used of the limits.

use serde::{Deserialize, Serialize};

use super::rfc3339;
use crate::limits::LimitLine;
use crate::time::Timeline;

/// What is used of a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Counted in the window.
    pub used: u64,
    /// The ceiling; null is none.
    pub limit: Option<u32>,
}

/// A window of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitJson {
    /// The upstream.
    pub upstream: String,
    /// The account.
    pub account: String,
    /// `minute hour day week`
    pub window: String,
    /// Messages.
    pub messages: Used,
    /// Recipients.
    pub recipients: Used,
    /// When something may go again; null when it may now.
    pub next_free: Option<String>,
    /// What else holds the account back: a pause by the provider's word, or a pace that its answers have taught.
    pub reason: Option<String>,
}

/// Which limits to reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitReset {
    /// The upstream.
    pub upstream: String,
    /// Which windows; all when there are none.
    #[serde(default)]
    pub windows: Vec<String>,
}

impl LimitJson {
    /// A line of the throttle as the interface shows it.
    #[must_use]
    pub fn new(line: LimitLine, timeline: &Timeline) -> Self {
        Self {
            upstream: line.scope.upstream().to_owned(),
            account: line.scope.account().to_owned(),
            window: line.window.name().to_owned(),
            messages: Used { used: line.messages_used, limit: line.messages_limit },
            recipients: Used { used: line.recipients_used, limit: line.recipients_limit },
            next_free: line.next_free.map(|moment| rfc3339(timeline.wall_at(moment))),
            reason: line.reason,
        }
    }
}
