//! What is used of the limits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rfc3339;
use crate::limits::{LimitLine, Scope};
use crate::time::Timeline;

/// What is used of a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Used {
    /// Counted in the window.
    pub used: u64,
    /// The ceiling; null is none.
    pub limit: Option<u64>,
}

/// A window of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitJson {
    /// The upstream.
    pub upstream: String,
    /// The account; `*` for all of the upstream, or of the group.
    pub account: String,
    /// The limit group that these are the limits of; null: they are the upstream's own.
    pub limit_group: Option<String>,
    /// `minute hour day week`, or a length such as `5m`
    pub window: String,
    /// Messages.
    pub messages: Used,
    /// Recipients.
    pub recipients: Used,
    /// Octets of content.
    pub octets: Used,
    /// When something may go again; null when it may now.
    pub next_free: Option<String>,
    /// What else holds the account back: a pause by the provider's word, or a pace that its answers have taught.
    pub reason: Option<String>,
}

/// Which limits to reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitReset {
    /// The upstream.
    pub upstream: String,
    /// Which windows; all when there are none.
    #[serde(default)]
    pub windows: Vec<String>,
}

impl LimitJson {
    /// A line of an upstream's limits, as the interface shows it.
    #[must_use]
    pub fn new(upstream: &str, line: LimitLine, timeline: &Timeline) -> Self {
        let limit_group = match &line.scope {
            Scope::Group(group) => Some(group.name.to_string()),
            Scope::Account(_) | Scope::Upstream(_) => None,
        };
        Self {
            upstream: upstream.to_owned(),
            account: line.scope.account().to_owned(),
            limit_group,
            window: line.window.to_string(),
            messages: Used { used: line.messages_used, limit: line.messages_limit.map(u64::from) },
            recipients: Used { used: line.recipients_used, limit: line.recipients_limit.map(u64::from) },
            octets: Used { used: line.octets_used, limit: line.octets_limit },
            next_free: line.next_free.map(|moment| rfc3339(timeline.wall_at(moment))),
            reason: line.reason,
        }
    }
}
