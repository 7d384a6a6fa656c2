//! The asks that stand, as the writer and those who ask share them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{AskOnFile, LaneName};

/// The asks that stand, one for each lane at most.
#[derive(Debug, Clone, Default)]
pub(super) struct StandingAsks(Arc<Mutex<HashMap<LaneName, AskOnFile>>>);

impl StandingAsks {
    /// This one stands from now on, in place of an earlier one of its lane.
    pub(super) fn put(&self, ask: AskOnFile) {
        self.lock().insert(ask.ask().lane.clone(), ask);
    }

    /// The one of a lane.
    pub(super) fn of(&self, lane: &LaneName) -> Option<AskOnFile> {
        let mut asks = self.lock();
        let ask = asks.get(lane)?;
        if ask.is_over() {
            asks.remove(lane);
            return None;
        }
        Some(ask.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaneName, AskOnFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
