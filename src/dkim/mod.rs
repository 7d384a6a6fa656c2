//! Keys of DKIM (RFC 6376, and RFC 8463 for Ed25519): made, read, put into DNS records, and compared with what is published.
//!
//! [`Published`] is what the DNS has; [`judge`] computes what is wrong with it. `transform::dkim` signs.

mod generate;
mod judgement;
mod lookup;
mod own_key;
mod public_key;
mod record;
mod record_fault;

pub use generate::{GenerationError, NewKey, RsaLength, generate};
pub use judgement::{FindingLevel, KeyFinding, Published, judge};
pub use own_key::{KeyTerm, OwnKey, Standing, terms};
pub use public_key::{DkimKeyType, DkimPublicKey};
pub use record::KeyRecord;
pub use record_fault::RecordFault;
