//! What somebody sends who means harm, with exact bytes: through a real session, and to the upstream behind it.
//!
//! Each group names the guard that it watches; with the guard taken out, the group fails.

#![allow(dead_code, reason = "parts of what tests share are for others")]
#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

#[path = "support/memory_store.rs"]
mod memory_store;
#[path = "support/paper.rs"]
mod paper;
mod support;
#[path = "support/tls.rs"]
mod tls;
#[path = "support/world.rs"]
mod world;

#[path = "hostile/addresses.rs"]
mod addresses;
#[path = "hostile/chunks.rs"]
mod chunks;
#[path = "hostile/client.rs"]
mod client;
#[path = "hostile/deaf.rs"]
mod deaf;
#[path = "hostile/door.rs"]
mod door;
#[path = "hostile/envelope.rs"]
mod envelope;
#[path = "hostile/isolation.rs"]
mod isolation;
#[path = "hostile/lines.rs"]
mod lines;
#[path = "hostile/load.rs"]
mod load;
#[path = "hostile/memory.rs"]
mod memory;
#[path = "hostile/odd_mail.rs"]
mod odd_mail;
#[path = "hostile/path.rs"]
mod path;
#[path = "hostile/refused.rs"]
mod refused;
#[path = "hostile/requests.rs"]
mod requests;
#[path = "hostile/smuggling.rs"]
mod smuggling;
#[path = "hostile/starttls.rs"]
mod starttls;
#[path = "hostile/talker.rs"]
mod talker;
#[path = "hostile/thousand.rs"]
mod thousand;
