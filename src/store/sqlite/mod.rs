//! The embedded store: SQLite in WAL mode with `synchronous=FULL`, one writer with group commit, readers beside it.
//!
//! Content up to a border lies in the data base, larger content in files under `DATA_DIR/content/`, named by queue id
//! and synced before their row commits. A lock on `DATA_DIR/lock` keeps a second instance out, and its text tells that a queue
//! has been made: one that is lost later is never begun anew.

mod abandon;
mod at_rest;
mod backup;
mod blacklist;
mod blacklist_search;
mod books;
mod change;
mod checkpoints;
mod claim;
mod contents;
mod ends;
mod enqueue;
mod examine;
mod fault;
mod files;
mod for_history;
mod for_lanes;
mod for_people;
mod for_sessions;
mod history_book;
mod history_index;
mod history_search;
mod job_queue;
mod kept_contents;
mod keys;
mod knowledge;
mod lease;
mod listed_patterns;
mod listing;
mod loads;
mod log_mover;
mod mailboxes;
mod overdue;
mod permits;
mod place;
mod places;
mod queue_place;
mod readers;
mod recover;
mod remove;
mod reroute;
mod restored;
mod row_numbers;
mod rows;
mod salvage;
mod schema;
mod sent_copies;
mod settings;
mod settle;
mod shrink;
mod sign_ins;
mod standing_asks;
mod store;
mod sums;
mod suspension;
mod taker;
mod turns;
mod usage;
mod walk;
mod writer;
mod writing;

pub use backup::{Backup, BackupError, BackupSum};
pub use examine::{StoreReport, check};
pub use salvage::{Salvaged, SalvagedTable, is_half_salvaged, salvage};
pub use store::SqliteStore;
pub use writer::Threading;

#[cfg(test)]
mod tests;
