//! What people read about what became of their mail: reports to the sender.
//!
//! Level 3.

pub mod dsn;
