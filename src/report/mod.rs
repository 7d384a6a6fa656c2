//! What the outside learns: the log, and the reports to senders.
//!
//! Level 3.

pub mod dsn;
pub mod log;
