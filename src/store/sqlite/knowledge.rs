//! What the writer knows of tables that are empty for the most part, so that nobody looks for what is not there.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

/// Whether there is anything in these tables.
pub(super) struct Knowledge {
    /// On the blacklist, as of the last commit.
    has_blacklist: Arc<AtomicBool>,
    /// Whether this transaction changes the blacklist.
    changes_blacklist: Cell<bool>,
    /// Whether there may be a mailbox of which a failure is known.
    may_have_failures: Cell<bool>,
}

impl Knowledge {
    /// Looks.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            has_blacklist: Arc::new(AtomicBool::new(has_blacklist(db)?)),
            changes_blacklist: Cell::new(false),
            may_have_failures: Cell::new(has_failures(db)?),
        })
    }

    /// Looks again.
    pub(super) fn read_again(&self, db: &Connection) -> rusqlite::Result<()> {
        self.has_blacklist.store(has_blacklist(db)?, Ordering::Release);
        self.may_have_failures.set(has_failures(db)?);
        Ok(())
    }

    /// Whether anything is on the blacklist, as of the last commit.
    pub(super) fn has_blacklist(&self) -> Arc<AtomicBool> {
        self.has_blacklist.clone()
    }

    /// Whether anything may be on the blacklist, as this transaction sees it.
    pub(super) fn may_be_listed(&self) -> bool {
        self.changes_blacklist.get() || self.has_blacklist.load(Ordering::Acquire)
    }

    /// The blacklist is changed by this write.
    pub(super) fn changes_blacklist(&self) {
        self.changes_blacklist.set(true);
    }

    /// Whether there may be a mailbox of which a failure is known.
    pub(super) fn may_have_failures(&self) -> bool {
        self.may_have_failures.get()
    }

    /// A failure of a mailbox is noted by this write.
    pub(super) fn has_failures(&self) {
        self.may_have_failures.set(true);
    }

    /// The transaction has been committed.
    pub(super) fn committed(&self, db: &Connection) {
        if self.changes_blacklist.take() {
            // When it can't be read, there may be entries: then they are looked for.
            self.has_blacklist.store(has_blacklist(db).unwrap_or(true), Ordering::Release);
        }
    }
}

fn has_blacklist(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM blacklist)")?.query_row([], |row| row.get(0))
}

fn has_failures(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM mailbox_failure)")?.query_row([], |row| row.get(0))
}
