//! The way out: connections to upstreams, and the transactions over them.
//!
//! A [`Lane`] for each upstream takes what is due and may go, and starts an attempt for each message; the outcome is logged,
//! stored, and reported to the sender.

mod attempt;
mod carrier;
mod content;
mod context;
mod direct;
mod health;
mod lane;
mod lessons;
mod outcome;
mod pool;
mod reports;
mod signals;
mod tiers;
mod view;

pub use carrier::{Carrier, Fleet};
pub use context::{Context, Phase};
pub use direct::{Courier, Exchanges};
pub use lane::Lane;
pub use view::{AccountView, UpstreamView};
