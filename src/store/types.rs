//! The words that the relay and its store share.

mod blacklist;
mod claim;
mod decisions;
mod decisions_error;
mod error;
mod history;
mod lane_name;
mod listing;
mod message;
mod permit;
mod priority;
mod restored;
mod ruled;
mod sent_copy;
mod sign_in;
mod standing;
mod stored_label;
mod suspension;

pub use blacklist::*;
pub use claim::*;
pub use decisions::*;
pub use decisions_error::DecisionsError;
pub use error::*;
pub use history::*;
pub use lane_name::*;
pub use listing::*;
pub use message::*;
pub use permit::*;
pub use priority::Priority;
pub use restored::*;
pub use ruled::Ruled;
pub use sent_copy::*;
pub use sign_in::*;
pub use standing::*;
pub use stored_label::StoredLabel;
pub use suspension::*;
