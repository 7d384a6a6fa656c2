//! The protocol, both ways: commands, replies, the data stream. No I/O, no clock.
//!
//! Level 1: knows `mail` only.

mod reply;

pub use reply::Reply;
