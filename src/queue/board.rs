//! How each upstream is at present, for people and for `waiting_for`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::time::Moment;

/// What a lane is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneState {
    /// It sends what is due.
    Up,
    /// The upstream can't be used; the next probe is made then.
    Down {
        /// What happened, in words.
        reason: String,
        /// When the next probe is made.
        until: Moment,
    },
    /// A limit is reached.
    Limited {
        /// Which one, in words.
        reason: String,
        /// When there is room again; `None` when a running transaction must end first.
        until: Option<Moment>,
    },
    /// It is switched off: by the configuration, by a person, or since it has failed too often.
    Disabled {
        /// Why.
        reason: String,
        /// When it is tried again; `None` when a person must see to it.
        until: Option<Moment>,
    },
}

/// One upstream on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// `up`, `down`, `limited` or `disabled`.
    pub state: &'static str,
    /// Why, in words; empty when up.
    pub reason: String,
    /// Until when, where that is known.
    pub until: Option<Moment>,
}

/// The board on which lanes write how they are.
#[derive(Debug, Default)]
pub struct Board {
    lanes: Mutex<BTreeMap<String, LaneState>>,
}

impl Board {
    /// Notes how a lane is.
    pub fn set(&self, name: &str, state: LaneState) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.insert(name.to_owned(), state);
    }

    /// Takes everything off: other lanes are about to begin.
    pub fn clear(&self) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All lanes by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<UpstreamStatus> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().map(|(name, state)| UpstreamStatus::new(name.clone(), state)).collect()
    }
}

impl UpstreamStatus {
    fn new(name: String, state: &LaneState) -> Self {
        let (state, reason, until) = match state {
            LaneState::Up => ("up", String::new(), None),
            LaneState::Down { reason, until } => ("down", reason.clone(), Some(*until)),
            LaneState::Limited { reason, until } => ("limited", reason.clone(), *until),
            LaneState::Disabled { reason, until } => ("disabled", reason.clone(), *until),
        };
        Self { name, state, reason, until }
    }
}
