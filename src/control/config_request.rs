//! What is asked of whoever reads and writes the configuration.

use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot};

use crate::config::FileChange;
use crate::policy::test_mode::TestModeError;
use crate::store::StoreError;

/// The way to whoever reads and writes the configuration.
pub type ConfigRequests = mpsc::Sender<ConfigRequest>;

/// What is asked of whoever reads and writes the configuration.
#[derive(Debug)]
pub enum ConfigRequest {
    /// Read it again. The answer is what has changed, or all faults, one per line.
    Reload(oneshot::Sender<Result<Vec<String>, String>>),
    /// Switch something, in the file too.
    Switch(FileChange, oneshot::Sender<Result<KeptIn, SwitchError>>),
}

/// What makes a switch last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptIn {
    /// The configuration says so.
    File,
    /// The configuration could not be changed; the store has it.
    Store {
        /// Why, in words.
        why: String,
    },
}

/// Why something was not switched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError {
    /// Somebody has edited the file: what they have written is not overwritten.
    #[error(
        "{} is no longer the file that the relay has read: nothing was changed. To put it in force: mailsluice reload",
        _0.display()
    )]
    Differs(PathBuf),
    /// The configuration would have faults with it, one per line.
    #[error("the configuration would have faults, so nothing was changed: {0}")]
    Faults(String),
    /// The switch makes no sense.
    #[error("{0}")]
    Refused(String),
    /// It is noted, but a part of the configuration can't be put in force.
    #[error(
        "the switch is noted in {}, but the configuration could not be put in force: {reason}",
        match kept { KeptIn::File => "the configuration file", KeptIn::Store { .. } => "the store" }
    )]
    NotInForce {
        /// What makes it last.
        kept: KeptIn,
        /// All faults, one per line.
        reason: String,
    },
    /// Test mode can't be so.
    #[error(transparent)]
    TestMode(#[from] TestModeError),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}
