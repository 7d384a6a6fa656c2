//! Mailsluice, a local SMTP relay: it takes mail from programs that only speak plain SMTP, makes it durable, and sends
//! it on through the right provider account, signed, throttled and retried.
//!
//! The modules in the order of a message's journey:
//!
//! | Module | What happens to the mail | Next |
//! |---|---|---|
//! | [`listen`] | a client connects and is admitted | [`session`] |
//! | [`session`] | the SMTP dialogue; the content arrives | [`policy`] |
//! | [`policy`] | may this client relay, is the recipient blacklisted, is it a test? | [`store`] |
//! | [`store`] | the message is made durable; only then the client reads 250 | [`queue`] |
//! | [`queue`] | what is due, for which upstream? | [`route`] |
//! | [`route`] | which upstream serves this sender? | [`throttle`] |
//! | [`throttle`] | may it go now, and if not, when? | [`transform`] |
//! | [`transform`] | test redirect, conversion, DKIM | [`deliver`] |
//! | [`deliver`] | the transaction with the upstream, and what its answers teach | [`report`] |
//! | [`report`] | the log line, the DSN | |
//!
//! Imports go down only: [`mail`] and [`time`], then [`smtp`] and [`config`], then [`store`], and so on up to [`relay`],
//! which wires it all together. `tests/layering.rs` holds the code to it.

pub mod cli;
pub mod config;
pub mod control;
pub mod deliver;
pub mod listen;
pub mod mail;
pub mod policy;
pub mod queue;
pub mod relay;
pub mod report;
pub mod route;
pub mod session;
pub mod smtp;
pub mod store;
pub mod throttle;
pub mod time;
pub mod transform;
pub mod upstream;
