//! The mail itself: addresses, the envelope, the content and its header section.
//!
//! Knows no protocol, no configuration and no store.

mod address;
mod envelope;
pub mod header;
mod label;
pub mod message_id;
mod queue_id;
pub mod received;
mod request;

pub use address::{Address, AddressError, ReversePath};
pub use envelope::{Body, Envelope};
pub use label::{MessageLabel, decoded_subject};
pub use queue_id::{QueueId, QueueIdError};
pub use request::{EnvelopeId, MessageRequest, Notify, OriginalRecipient, RecipientRequest, Return};
