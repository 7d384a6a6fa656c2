//! A store that came out of a backup or of damaged files.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wall_ms;
use crate::store::{Restored, StoreOrigin};

/// A store that came out of a backup or of damaged files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoredJson {
    /// `backup salvage`
    pub origin: StoreOrigin,
    /// When the backup was taken, or the store saved.
    pub made: String,
    /// When it was started first after that: from then on its limits count as used.
    pub begun: String,
    /// Messages that were held then.
    pub messages: u64,
    /// Those of them that are still held.
    pub held: u64,
    /// Recipients that could not be saved.
    pub lost: u64,
    /// Whether its limits counted as used from then on.
    pub limits_used: bool,
}

impl RestoredJson {
    /// The store as the interface shows it.
    #[must_use]
    pub fn new(restored: &Restored) -> Self {
        Self {
            origin: restored.origin,
            made: wall_ms(restored.made_wall),
            begun: wall_ms(restored.begun_wall),
            messages: restored.messages,
            held: restored.held,
            lost: restored.lost,
            limits_used: restored.limits_used,
        }
    }
}
