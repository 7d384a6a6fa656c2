//! How each lane is at present, for people, for `waiting_for` and for estimates.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::LaneName;
use crate::time::Moment;

/// What a lane, an account or an upstream is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneState {
    /// What is due is sent.
    Up,
    /// All connections are in use by others.
    Busy {
        /// By whom, in words.
        reason: String,
    },
    /// The upstream can't be used; the next probe is made then.
    Down {
        /// What happened, in words.
        reason: String,
        /// When the next probe is made; `None` while one is under way.
        until: Option<Moment>,
    },
    /// A limit is reached.
    Limited {
        /// Which one, in words.
        reason: String,
        /// When there is room again; `None` when a running transaction must end first.
        until: Option<Moment>,
    },
    /// There is no token to log in with.
    SignIn {
        /// Why, in words.
        reason: String,
        /// When another is asked for; `None` when a person must see to it.
        until: Option<Moment>,
        /// What a person does about it.
        action: Option<String>,
    },
    /// Switched off: by the configuration, by a person, or since it has failed too often.
    Disabled {
        /// Why.
        reason: String,
        /// When it is tried again; `None` when a person must see to it.
        until: Option<Moment>,
    },
}

/// How a lane is, as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// The lane.
    pub lane: LaneName,
    /// What it does.
    pub state: LaneState,
    /// The upstream that stands in for its own: its mail goes by that one at present.
    pub via: Option<String>,
}

/// What all lanes have said of themselves.
#[derive(Debug, Default)]
pub struct LaneStatuses {
    lanes: Mutex<BTreeMap<LaneName, LaneStatus>>,
}

impl LaneState {
    /// All [names](Self::name) of states.
    pub const NAMES: [&'static str; 5] = ["up", "down", "limited", "sign_in", "disabled"];

    /// `up`, `down`, `limited`, `sign_in` or `disabled`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            // Whoever waits for a connection will have one soon: the upstream itself is well.
            Self::Up | Self::Busy { .. } => "up",
            Self::Down { .. } => "down",
            Self::Limited { .. } => "limited",
            Self::SignIn { .. } => "sign_in",
            Self::Disabled { .. } => "disabled",
        }
    }

    /// Why, in words; empty when it sends.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Up => "",
            Self::Busy { reason }
            | Self::Down { reason, .. }
            | Self::Limited { reason, .. }
            | Self::SignIn { reason, .. }
            | Self::Disabled { reason, .. } => reason,
        }
    }

    /// Whether a person should see to it, though it may be tried again by itself, too.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        matches!(self, Self::Disabled { .. } | Self::SignIn { until: None, action: Some(_), .. })
    }

    /// What a person does about it, where that is known; `None` is what lets any upstream send again.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        match self {
            Self::SignIn { action, .. } => action.as_deref(),
            _ => None,
        }
    }

    /// Until when, where that is known.
    #[must_use]
    pub fn until(&self) -> Option<Moment> {
        match self {
            Self::Up | Self::Busy { .. } => None,
            Self::Down { until, .. }
            | Self::Limited { until, .. }
            | Self::SignIn { until, .. }
            | Self::Disabled { until, .. } => *until,
        }
    }
}

impl LaneStatuses {
    /// Notes how a lane is.
    pub fn set(&self, lane: &LaneName, state: LaneState) {
        self.put(LaneStatus { lane: lane.clone(), state, via: None });
    }

    /// Notes why a lane's own upstream can't send, and which one stands in for it.
    pub fn set_via(&self, lane: &LaneName, state: LaneState, via: &str) {
        self.put(LaneStatus { lane: lane.clone(), state, via: Some(via.to_owned()) });
    }

    /// How a lane is; `None` when it has not said so yet.
    #[must_use]
    pub fn of(&self, lane: &LaneName) -> Option<LaneStatus> {
        self.lock().get(lane).cloned()
    }

    /// Forgets a lane that has ended.
    pub fn remove(&self, lane: &LaneName) {
        self.lock().remove(lane);
    }

    /// All lanes by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<LaneStatus> {
        self.lock().values().cloned().collect()
    }

    fn put(&self, status: LaneStatus) {
        self.lock().insert(status.lane.clone(), status);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LaneName, LaneStatus>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
