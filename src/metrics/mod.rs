//! What is counted while mail goes, and the text by which a scraper such as Prometheus reads it.
//!
//! [`Metrics`] is handed to whoever has something to count: that costs an addition to a number in memory, and no entry is made for
//! it that the configuration does not name. [`FAMILIES`] says what is exported under which name and labels; [`Exposition`] writes
//! it. What is only read when somebody asks, as the queue is, is gathered where it is known, by `control`.

mod counter;
mod exposition;
pub mod families;
mod figures;
mod histogram;
mod outcome;
mod writes;

pub use counter::Counter;
pub use exposition::{Exposition, SampleValue, Samples, TextFormat};
pub use families::{FAMILIES, MetricFamily, MetricKind, family};
pub use figures::{CountedSession, Metrics};
pub use histogram::Histogram;
pub use outcome::{CountedLogin, CountedOutcome, FailureClass, TimedPhase};
pub use writes::WriteMeter;
