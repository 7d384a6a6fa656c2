//! Time: the clock that is handed in, and the relay's own time line.
//!
//! Nothing else in the crate asks the machine for the time.

mod clock;
mod timeline;

pub use clock::{Clock, SystemClock};
pub use timeline::{Anchor, Moment, Timeline};
