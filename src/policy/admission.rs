//! Can a message be taken at all now? Asked at MAIL, so that nobody sends content that can't be kept.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::config::{Config, Queue};
use crate::smtp::Reply;
use crate::store::Intake;
use crate::time::Moment;

/// How long a look at the disk is believed.
const DISK_CACHE: Duration = Duration::from_secs(1);

/// Why nothing is taken at present. It is our fault, or the operator's; the client comes back later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotNow {
    /// The store does not believe its own commits.
    #[error("the store does not accept mail at present: {0}")]
    Store(String),
    /// The queue holds as many messages as it may.
    #[error("the queue is full: {limit} messages")]
    QueueFull {
        /// `[queue] max_messages`
        limit: u64,
    },
    /// Less disk is free than `[queue] min_free_disk`.
    #[error("{path} has less free space than min_free_disk")]
    DiskFull {
        /// The data folder.
        path: PathBuf,
    },
}

impl NotNow {
    /// What the client is told; nothing of our inner life.
    #[must_use]
    pub fn reply(&self) -> Reply {
        match self {
            Self::Store(_) => Reply::new(451, (4, 3, 0), "mail cannot be stored at present, try again later"),
            Self::QueueFull { .. } => Reply::new(452, (4, 3, 1), "the queue is full, try again later"),
            Self::DiskFull { .. } => Reply::new(452, (4, 3, 1), "not enough disk space, try again later"),
        }
    }
}

/// Watches what a message needs: a healthy store, room in the queue, room on the disk.
#[derive(Debug)]
pub struct Admission {
    data_dir: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    min_free_disk: u64,
    max_messages: u64,
    /// When we last looked at the disk, and whether it had room.
    disk: Option<(Moment, bool)>,
    /// What the last answer was, without its figures: only a change is logged.
    refusal: Option<std::mem::Discriminant<NotNow>>,
}

impl Admission {
    /// Takes the ceilings from the configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let Queue { min_free_disk, max_messages, .. } = &config.queue;
        let seen =
            Seen { min_free_disk: min_free_disk.0, max_messages: *max_messages, disk: None, refusal: None };
        Self { data_dir: config.data_dir.clone(), seen: Mutex::new(seen) }
    }

    /// Puts the ceilings of another configuration in force.
    pub fn follow(&self, config: &Config) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.min_free_disk = config.queue.min_free_disk.0;
        seen.max_messages = config.queue.max_messages;
        seen.disk = None;
    }

    /// Whether a message can be taken now. A change is logged, once.
    ///
    /// # Errors
    /// Tells what is missing.
    pub fn check(&self, store: &dyn Intake, now: Moment) -> Result<(), NotNow> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.judge(store, &mut seen, now);
        let refusal = result.as_ref().err().map(std::mem::discriminant);
        if refusal != seen.refusal {
            match &result {
                Ok(()) => tracing::info!(event = "accepting_again"),
                Err(reason) => tracing::error!(event = "not_accepting", reason = %reason),
            }
            seen.refusal = refusal;
        }
        result
    }

    fn judge(&self, store: &dyn Intake, seen: &mut Seen, now: Moment) -> Result<(), NotNow> {
        store.healthy().map_err(|error| NotNow::Store(error.to_string()))?;
        if store.queue_length() >= seen.max_messages {
            return Err(NotNow::QueueFull { limit: seen.max_messages });
        }
        if seen.disk.is_none_or(|(at, _)| now < at || now >= at.after(DISK_CACHE)) {
            seen.disk = Some((now, self.disk_has_room(seen.min_free_disk)));
        }
        let has_room = seen.disk.is_some_and(|(_, has_room)| has_room);
        if has_room { Ok(()) } else { Err(NotNow::DiskFull { path: self.data_dir.clone() }) }
    }

    /// Where the disk can't be asked, the store will find out when it writes.
    fn disk_has_room(&self, least: u64) -> bool {
        rustix::fs::statvfs(&self.data_dir)
            .map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= least)
    }
}
