//! Time: the clock that is handed in, the relay's own time line, and how long things hold.
//!
//! Nothing else in the crate asks the machine for the time.

mod clock;
mod timeline;
mod validity;

pub use clock::{Clock, SystemClock};
pub use timeline::{Anchor, Moment, Timeline};
pub use validity::Validity;
