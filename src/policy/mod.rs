//! What is decided about a message before it is taken: may this client relay, may this user write to the recipient, is the recipient blacklisted, is it a test?
//!
//! A file per step.

pub mod admission;
pub mod blacklist;
mod bucket;
pub mod estimate;
pub mod kept_switches;
pub mod lockout;
pub mod pacing;
pub mod recipient;
pub mod relay;
pub mod rules;
pub mod sender;
mod strikes;
pub mod test_mode;
pub mod tokens;
pub mod users;

/// Clients, names and the like that each count of them remembers at most.
const MAX_KEYS: usize = 16_384;
