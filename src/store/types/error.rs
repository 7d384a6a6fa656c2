//! Why the store could not do it.

use std::io;
use std::path::PathBuf;

use crate::content::ContentError;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A sync or a write failed: nothing is believed until a checkpoint has succeeded.
    #[error("the store's disk failed: {0}; mail is refused with 451 until a checkpoint succeeds")]
    Broken(String),
    /// The commit itself failed: it may have reached the disk, and then a start after a crash finds it. Else as
    /// [`Broken`](Self::Broken).
    #[error(
        "the store's disk failed at the end of a commit: {0}; mail is refused with 451 until a checkpoint succeeds"
    )]
    InDoubt(String),
    /// The data base reported an error.
    #[error("the store failed: {0}")]
    Database(String),
    /// A file of the store could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another instance uses the same folder.
    #[error("{0} is in use by another mailsluice; stop that one first, or give this one another data_dir")]
    InUse(PathBuf),
    /// The store was written by a newer version.
    #[error("the store has schema version {found}, this program knows up to {known}; use a newer mailsluice")]
    Newer {
        /// In the store.
        found: i64,
        /// In this program.
        known: i64,
    },
    /// The lease or permit is not the caller's any more: it was settled already, or voided by a start. Nothing was
    /// changed.
    #[error("the lease or permit has ended already: nothing was changed")]
    Fenced,
    /// The store's own thread has ended: the relay is stopping.
    #[error("the store is closed")]
    Closed,
}

impl From<ContentError> for StoreError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Unreadable { path, source } => Self::File { path, source },
            ContentError::Cut { path: Some(ref path), .. } => {
                Self::File { path: path.clone(), source: io::Error::other(error) }
            }
            ContentError::Cut { path: None, .. } => Self::Database(format!("a content is cut: {error}")),
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The configured ceiling was reached.
    #[error("the queue is full: {messages} messages of {limit}")]
    Full {
        /// In the queue.
        messages: u64,
        /// `[queue] max_messages`
        limit: u64,
    },
    /// The store could not make it durable.
    #[error("cannot store the message")]
    Store(#[from] StoreError),
}
