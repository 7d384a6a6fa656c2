//! The words that the relay and its store share.

mod attempt;
mod error;
mod listing;
mod message;
mod place;

pub use attempt::*;
pub use error::*;
pub use listing::*;
pub use message::*;
pub use place::*;
