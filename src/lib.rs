//! Mailsluice, a local SMTP relay: it takes mail from programs that only speak plain SMTP, makes it durable, and sends
//! it on through the right provider account, signed, throttled and retried.
//!
//! The modules in the order of a message's journey:
//!
//! | Module | What happens to the mail | Next |
//! |---|---|---|
//! | [`listen`] | a client connects and is admitted | [`session`] |
//! | [`session`] | the SMTP dialogue; the content arrives | [`policy`] |
//! | [`policy`] | may this client relay, is the recipient blacklisted, is it a test? | [`route`] |
//! | [`route`] | which upstream serves this sender, in which lane does its mail wait? | [`store`] |
//! | [`store`] | the message is made durable; only then the client reads 250 | [`lane`] |
//! | [`lane`] | who must wake up | [`deliver`] |
//! | [`deliver`] | a lane at work: it takes what is due, tries it, settles it | [`account`] |
//! | [`account`] | who may send it, how fast, how well? | [`limits`] |
//! | [`limits`] | is there room, and if not, until when? The store's claim asks it | [`transform`] |
//! | [`transform`] | test redirect, conversion, DKIM | [`upstream`] |
//! | [`upstream`] | the transaction, and what its answers mean | [`report`] |
//! | [`report`] | the log line, the DSN | |
//!
//! [`returned`] reads reports of others that came by mail, for the blacklist. [`sent_copy`] puts copies of what was sent into Sent folders, by [`imap`].
//!
//! [`alert`] tells administrators what they must know.
//!
//! [`oauth`] keeps the tokens by which [`upstream`] logs in; both speak HTTP by [`web`]. With [`direct`] a client waits until the upstream has answered. [`control`], [`explain`] and [`cli`] show people how all of it is.
//!
//! Imports go down only: [`mail`], [`memory`], [`folder`] and [`time`], then [`config`] and [`content`], [`smtp`], [`limits`], [`store`],
//! and so on up to [`relay`], which wires it all together. `tests/layering.rs` holds the code to it. `ARCHITECTURE.md` has the
//! rooms, `docs/journey.md` the walk, and `docs/glossary.md` the words of the house.

pub mod account;
pub mod alert;
pub mod cli;
pub mod config;
pub mod content;
pub mod control;
pub mod deliver;
pub mod direct;
pub mod dkim;
pub mod dns;
pub mod doctor;
pub mod expiry;
pub mod explain;
pub mod folder;
pub mod imap;
pub mod lane;
pub mod limits;
pub mod listen;
pub mod mail;
pub mod memory;
pub mod metrics;
pub mod oauth;
pub mod policy;
pub mod relay;
pub mod report;
pub mod returned;
pub mod route;
pub mod sent_copy;
pub mod session;
pub mod smtp;
pub mod store;
pub mod time;
pub mod transform;
pub mod upstream;
pub mod web;
