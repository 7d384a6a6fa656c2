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
    /// There has been a queue, and it is gone.
    #[error(
        "{path} {state}, and there has been a queue ({signs}): nothing was touched. Put it back, from a backup or from where it \
         was moved to, with queue.db-wal if there is one; or to begin with an empty queue, move queue.db-wal, content and lock \
         to another folder"
    )]
    QueueLost {
        /// Where it should be.
        path: PathBuf,
        /// `is missing`, `is empty`
        state: &'static str,
        /// What tells that there has been one.
        signs: String,
    },
    /// A file of the store is not what was written.
    #[error(
        "{path} is damaged: {reason}; nothing was changed. Restore it from a backup, without the queue.db-wal that is there now; \
         or go on with what can be read: mailsluice store salvage"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Another instance uses the same folder.
    #[error("{0} is in use by another mailsluice; stop that one first, or give this one another data_dir")]
    InUse(PathBuf),
    /// There is no store to look at.
    #[error("{0} has no queue.db: no relay has run with this data_dir")]
    None(PathBuf),
    /// The store was written by an older version, and whoever only looks does not bring it up to date.
    #[error(
        "the store has schema version {found}, this program {known}: start the relay once, which brings it up to date"
    )]
    Older {
        /// In the store.
        found: i64,
        /// In this program.
        known: i64,
    },
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
            damaged => match damaged.path() {
                Some(path) => Self::File { path: path.to_owned(), source: io::Error::other(damaged) },
                None => Self::Database(format!("a content is damaged: {damaged}")),
            },
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
