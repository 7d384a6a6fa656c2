//! What the tests share.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses another part of it")]

pub mod upstream;
