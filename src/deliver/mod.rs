//! The way out: lanes take what is due and may go, attempts hand it over, and what became of it is logged, stored, and
//! reported to the sender.
//!
//! A [`Lanes`] has a task for each lane. It asks its accounts for the right to send, the store for messages, and starts an
//! attempt for each. [`DirectService`] does the same for clients that wait.

mod asking;
mod attempt;
mod attempted;
mod attempts;
mod content;
mod context;
mod delivery_log;
mod direct;
mod in_hand;
mod lane;
mod lane_log;
mod lane_settings;
mod lanes;
mod mailboxes;
mod noted_tasks;
mod other_lane;
mod outcomes;
mod overdue;
mod pause;
mod reports;
mod sent_copy;
mod settle;
mod suspects;
mod sweep;
mod unfit;

pub use context::{Context, Phase};
pub use direct::{DirectService, Exchanges};
pub use lanes::Lanes;
pub use outcomes::{OutcomeWatch, OutcomeWatchers, RecipientNews};
