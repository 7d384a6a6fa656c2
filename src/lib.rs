//! Mailsluice, a local SMTP relay.

pub mod config;
pub mod mail;
pub mod smtp;
pub mod store;
pub mod time;
