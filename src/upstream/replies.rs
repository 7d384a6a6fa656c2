//! What the refusals of upstreams mean, and what is to be done: a table, the first row that fits decides.
//!
//! Providers use codes in ways of their own: a 5yz is not always permanent, a 4yz not always harmless. So a row looks
//! at the stage, the basic code, the enhanced status code and the text together. Rows of single providers go before
//! those that know what programs like Postfix and Exim say about us, and these before the general ones
//! (RFC 5321 4.2.1), which take whatever is left.

mod cause;
mod general;
mod graph;
mod hosters;
mod microsoft;
mod others;
mod row;
mod stated;

pub use cause::cause_of;
pub use row::{AppliesTo, Codes, Provider, ReplyAction, Row, Senders, Slow, StatusPattern};
pub use stated::stated_wait;

use super::error::Stage;
use crate::smtp::Reply;

/// All rows, in the order in which they are asked.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    graph::ROWS.iter().chain(microsoft::ROWS).chain(others::ROWS).chain(hosters::ROWS).chain(general::ROWS)
}

/// Whether a refusal asks an unknown sender to come again later, and says so.
#[must_use]
pub fn is_greylisting(reply: &Reply) -> bool {
    let text = reply.lower_text();
    text.contains("greylist") || text.contains("graylist")
}

/// What a refusal at this stage means.
#[must_use]
pub fn row_for(stage: Stage, reply: &Reply) -> &'static Row {
    let text = reply.lower_text();
    rows().find(|row| row.fits(stage, reply, &text)).unwrap_or(&general::LAST)
}

#[cfg(test)]
mod tests;
