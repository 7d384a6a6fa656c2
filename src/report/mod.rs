//! What the outside learns: the log, and the reports to senders.

pub mod dsn;
pub mod log;
