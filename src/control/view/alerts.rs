//! Tests of the ways by which alerts go.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::alert::ChannelTrial;

/// What became of a test alert by one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertTrialJson {
    /// `mail webhook command`
    pub channel: String,
    /// Whether it was taken. Mail that is in the queue is; what becomes of it later, the log tells.
    pub ok: bool,
    /// What became of it, or why it failed, in words.
    pub outcome: String,
}

impl AlertTrialJson {
    /// A trial as the interface shows it.
    #[must_use]
    pub fn new(trial: ChannelTrial) -> Self {
        let ok = trial.outcome.is_ok();
        let outcome = trial.outcome.unwrap_or_else(|reason| reason);
        Self { channel: trial.channel.name().to_owned(), ok, outcome }
    }
}
