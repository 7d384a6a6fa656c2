//! What the queue's parts tell each other: who is to wake up, how a lane is, when to try again.
//!
//! Level 3. The queue itself is in the store; a *lane* is the part of it that one upstream serves.

mod board;
pub mod direct;
mod retry;
mod wake;

pub use board::{Board, LaneState, UpstreamStatus};
pub use retry::{backoff, jitter};
pub use wake::Wake;
