//! What the queue's parts tell each other.
//!
//! Level 3.

mod wake;

pub use wake::Wake;
