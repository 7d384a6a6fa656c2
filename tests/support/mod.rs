//! What the tests share.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test crate uses another part of it")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that can't be set up has failed")]

pub mod control;
pub mod direct_client;
pub mod graph;
pub mod lines;
pub mod office365;
pub mod pacer;
pub mod simulation;
pub mod switches;
pub mod tokens;
pub mod upstream;
