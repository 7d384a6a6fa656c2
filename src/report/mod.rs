//! What the outside learns: the log.

pub mod log;
