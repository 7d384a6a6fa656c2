//! What is said on the connections of an upstream.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::rfc3339;
use crate::time::Timeline;
use crate::upstream::Watched;

/// What happens while somebody listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TraceEvent {
    /// A line of a dialogue.
    Line(TraceLine),
    /// Lines that came faster than they were read.
    Missed {
        /// How many.
        lines: u64,
    },
}

/// A line of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceLine {
    /// When it was said.
    pub at: String,
    /// On which of the upstream's connections.
    pub connection: u64,
    /// By whose login; empty for an upstream without a login.
    pub account: String,
    /// `client` (Mailsluice), `server` (the upstream), or `none` for what happens beside the words.
    pub speaker: String,
    /// What was said.
    pub text: String,
}

impl TraceEvent {
    /// What a watcher has got, as the interface shows it.
    #[must_use]
    pub fn new(watched: Watched, timeline: &Timeline) -> Self {
        let line = match watched {
            Watched::Line(line) => line,
            Watched::Missed(lines) => return Self::Missed { lines },
        };
        let ago = Instant::now().saturating_duration_since(line.at);
        let at = timeline.wall().checked_sub(ago).unwrap_or_else(|_| timeline.wall());
        Self::Line(TraceLine {
            at: rfc3339(at),
            connection: line.connection,
            account: line.account.to_string(),
            speaker: line.speaker.name().to_owned(),
            text: line.text,
        })
    }
}
