//! The mail itself: addresses, the envelope, the content and its header section.
//!
//! Knows no protocol, no configuration and no store.

mod address;
pub mod address_list;
mod client_network;
mod completion;
pub mod destinations;
pub mod domain;
mod envelope;
pub mod header;
mod key;
mod label;
pub mod lexical;
pub mod message_id;
pub mod mime;
mod named_address;
mod queue_id;
pub mod received;
pub mod recipient_list;
mod request;
pub mod sealed;
pub mod tags;

pub use address::{Address, AddressError, ReversePath};
pub use client_network::ClientNetwork;
pub use completion::Completion;
pub use domain::{DomainKey, to_ascii};
pub use envelope::{Body, Envelope};
pub use key::AddressKey;
pub use label::{MessageLabel, decoded_text};
pub use named_address::{DisplayName, NamedAddress};
pub use queue_id::{QueueId, QueueIdError};
pub use request::{EnvelopeId, MessageRequest, Notify, OriginalRecipient, RecipientRequest, Return};
