//! The words that the relay and its store share.

mod blacklist;
mod claim;
mod decisions;
mod error;
mod lane_name;
mod listing;
mod message;
mod permit;
mod ruled;
mod sign_in;
mod suspension;

pub use blacklist::*;
pub use claim::*;
pub use decisions::*;
pub use error::*;
pub use lane_name::*;
pub use listing::*;
pub use message::*;
pub use permit::*;
pub use ruled::Ruled;
pub use sign_in::*;
pub use suspension::*;
