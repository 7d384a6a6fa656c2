//! What the parts of the relay tell each other about lanes: who must wake up, how a lane is, when to try again.
//!
//! The queue itself is in the store. A *lane* is the part of it whose mail waits for the same thing: for an upstream, or
//! for the one account of it that is bound to a sender.

mod limit_waits;
mod retry;
mod status;
mod wakeups;

pub use limit_waits::{LimitWait, LimitWaits};
pub use retry::{backoff, jitter};
pub use status::{LaneState, LaneStatus, LaneStatuses};
pub use wakeups::{Served, Wakeups};
