//! What the writer knows of the history: what is kept of it, and which row comes next.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::store::HistoryRules;

/// How long entries are kept until somebody says otherwise.
const USUAL: Duration = Duration::from_hours(30 * 24);

/// The rules in force. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct HistoryInForce(Arc<Mutex<RulesNow>>);

#[derive(Debug, Clone, Copy)]
struct RulesNow {
    rules: HistoryRules,
    /// Whether the disk has too little room for contents that are only kept.
    is_short: bool,
}

impl Default for HistoryInForce {
    fn default() -> Self {
        let rules = HistoryRules { entries: Some(USUAL), contents: None, free_disk: 0 };
        Self(Arc::new(Mutex::new(RulesNow { rules, is_short: false })))
    }
}

impl HistoryInForce {
    pub(super) fn set(&self, rules: HistoryRules) {
        self.with(|now| now.rules = rules);
    }

    pub(super) fn rules(&self) -> HistoryRules {
        self.with(|now| now.rules)
    }

    /// Whether the disk has too little room; whether that is news.
    pub(super) fn note_disk(&self, is_short: bool) -> bool {
        self.with(|now| std::mem::replace(&mut now.is_short, is_short) != is_short)
    }

    fn keeps_contents(&self) -> bool {
        self.with(|now| now.rules.contents.is_some() && !now.is_short)
    }

    fn with<T>(&self, work: impl FnOnce(&mut RulesNow) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The history as the writer sees it.
pub(super) struct HistoryBook {
    in_force: HistoryInForce,
    /// Behind all rows and all runs of the index. One whose transaction was undone stays unused.
    next: Cell<i64>,
}

impl HistoryBook {
    /// Looks where the history ends.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT max((SELECT coalesce(max(id), 0) FROM history), (SELECT coalesce(max(last), 0) FROM history_run))";
        let last: i64 = db.query_row(sql, [], |row| row.get(0))?;
        Ok(Self { in_force: HistoryInForce::default(), next: Cell::new(last + 1) })
    }

    pub(super) fn in_force(&self) -> HistoryInForce {
        self.in_force.clone()
    }

    /// The next row; `None` when nothing is noted.
    pub(super) fn next_row(&self) -> Option<i64> {
        self.in_force.rules().entries?;
        let next = self.next.get();
        self.next.set(next + 1);
        Some(next)
    }

    /// Whether contents are kept.
    pub(super) fn keeps_contents(&self) -> bool {
        self.in_force.keeps_contents()
    }
}
