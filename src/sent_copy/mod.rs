//! Copies of what was sent go into Sent folders ([`imap`](crate::imap)): after the delivery, beside the mail, never in its
//! way.
//!
//! A copy is made by the settlement that delivers, and waits in the store. Each account that has a Sent folder has a *copier*:
//! one task with one connection. What fails is tried again at growing pauses; what has waited for too long is given up.

mod copier;
mod copiers;
mod folder;

pub use copiers::{Copiers, expire};
