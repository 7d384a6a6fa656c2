//! The words that the relay and its store share.

mod attempt;
mod direct;
mod error;
mod listing;
mod message;
mod place;

pub use attempt::*;
pub use direct::*;
pub use error::*;
pub use listing::*;
pub use message::*;
pub use place::*;
