//! What the writer knows of tables that are empty for the most part, or asked about every recipient, so that nobody looks for what
//! is not there.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use rusqlite::Connection;

use super::listed_patterns::{ListedPatterns, PatternHash};

/// What is in these tables.
pub(super) struct Knowledge {
    /// What may be on the blacklist: at least what is, as of the last commit and as this transaction sees it.
    listed: Arc<ListedPatterns>,
    /// What this transaction has done to the blacklist.
    listing: RefCell<Vec<ListChange>>,
    /// Whether there may be a mailbox of which a failure is known.
    may_have_failures: Cell<bool>,
}

/// A change to the blacklist that is not committed yet.
#[derive(Debug, Clone, Copy)]
enum ListChange {
    /// An entry that has been made, and is known already.
    Made(PatternHash),
    /// An entry that has been removed, and is known until that is committed.
    Removed(PatternHash),
}

impl Knowledge {
    /// Looks.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            listed: Arc::new(ListedPatterns::read(db)?),
            listing: RefCell::default(),
            may_have_failures: Cell::new(has_failures(db)?),
        })
    }

    /// Looks again.
    pub(super) fn read_again(&self, db: &Connection) -> rusqlite::Result<()> {
        self.listed.read_again(db)?;
        self.may_have_failures.set(has_failures(db)?);
        Ok(())
    }

    /// What may be on the blacklist.
    pub(super) fn listed(&self) -> &Arc<ListedPatterns> {
        &self.listed
    }

    /// This write makes an entry of the blacklist that was not there before.
    pub(super) fn lists(&self, pattern: &str) {
        let hash = self.listed.hash(pattern);
        self.listed.insert(hash);
        self.listing.borrow_mut().push(ListChange::Made(hash));
    }

    /// This write removes an entry of the blacklist.
    pub(super) fn unlists(&self, pattern: &str) {
        self.listing.borrow_mut().push(ListChange::Removed(self.listed.hash(pattern)));
    }

    /// Whether there may be a mailbox of which a failure is known.
    pub(super) fn may_have_failures(&self) -> bool {
        self.may_have_failures.get()
    }

    /// A failure of a mailbox is noted by this write.
    pub(super) fn has_failures(&self) {
        self.may_have_failures.set(true);
    }

    /// How much was done to the blacklist so far.
    pub(super) fn mark(&self) -> usize {
        self.listing.borrow().len()
    }

    /// What was done since the mark has been rolled back.
    pub(super) fn undone(&self, mark: usize) {
        for change in self.listing.borrow_mut().drain(mark..) {
            if let ListChange::Made(hash) = change {
                self.listed.remove(hash);
            }
        }
    }

    /// The transaction has been committed.
    pub(super) fn committed(&self) {
        for change in self.listing.borrow_mut().drain(..) {
            if let ListChange::Removed(hash) = change {
                self.listed.remove(hash);
            }
        }
    }
}

fn has_failures(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM mailbox_failure)")?.query_row([], |row| row.get(0))
}
