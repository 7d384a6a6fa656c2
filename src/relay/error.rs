//! Why the relay does not start, or does not go on.

use crate::control::{ConsoleError, SocketError};
use crate::listen::ListenError;
use crate::store::StoreError;
use crate::transform::TransformerError;

/// Why the relay does not start, or has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key to sign mail with can't be used.
    #[error(transparent)]
    Transformer(#[from] TransformerError),
    /// A listener's address can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The control socket can't be made.
    #[error(transparent)]
    Control(#[from] SocketError),
    /// The console's address can't be had.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// A part has ended that must not end. It is our fault; a restart recovers what it was doing.
    #[error("a fault in the program: {0}; please report it with the log")]
    Fault(String),
    /// Whoever told it to stop did not want to wait. What was under way is taken up at the next start.
    #[error("stopped at once by a second {0}; what was under way is taken up at the next start")]
    StoppedAtOnce(&'static str),
    /// The system does not let us hear signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}
