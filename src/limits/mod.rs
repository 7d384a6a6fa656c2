//! May it go now, and if not, until when? Windows, pace, batch and calendar as arithmetic.
//!
//! Nothing here reads a clock, a table or a socket. Whoever keeps the books (a store) asks [`room`] before a transaction
//! begins, with the [`Ceilings`] in force and the [`Counts`] so far, for each [`Scope`] that the transaction counts in; a
//! [`Ledger`] keeps the counts of all scopes. A transaction counts while it runs, and leaves each window that window's
//! length after it *ended*: so whenever the provider counted it, it counts here at least as long.

mod amount;
mod calendar;
mod ceilings;
mod counts;
mod even_pace;
mod forecast;
mod learned;
mod ledger;
mod line;
mod room;
mod scope;
mod slots;
mod wait;

pub use amount::{Amount, Load};
pub use ceilings::Ceilings;
pub use counts::{Counts, ScopeUsage, UsageRow};
pub use forecast::{Availability, Capacity, Forecast};
pub use learned::{LearnedPace, Slowdown};
pub use ledger::Ledger;
pub use line::LimitLine;
pub use room::{ScopeLimits, room, room_for_more};
pub use scope::{AccountKey, GroupKey, SHARED, Scope};
pub use wait::{Cause, Wait};

#[cfg(test)]
mod tests;
