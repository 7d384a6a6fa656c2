//! Sums that many writes of a transaction add to, and that are written once for all of them.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::usage;
use crate::config::Window;
use crate::limits::{AccountKey, Amount};

/// Something that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sum {
    /// Recipients in a total of this name.
    Total(&'static str, u64),
    /// What an account has sent, in a slot of a window.
    Usage(AccountKey, (Window, i64), Amount),
    /// Recipients of a domain that mail has reached, in a slot.
    Reached(String, i64, u64),
}

/// What a transaction has counted.
#[derive(Debug, Default)]
pub(super) struct Sums {
    counted: Vec<Sum>,
    /// How many of them are in the tables.
    written: usize,
}

/// How far a transaction had counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SumsMark {
    counted: usize,
    written: usize,
}

impl Sums {
    /// Recipients come into a total.
    pub(super) fn total(&mut self, name: &'static str, recipients: u64) {
        if recipients > 0 {
            self.counted.push(Sum::Total(name, recipients));
        }
    }

    /// An account has sent something, which counts in a slot of a window.
    pub(super) fn usage(&mut self, account: &AccountKey, slot: (Window, i64), amount: Amount) {
        self.counted.push(Sum::Usage(account.clone(), slot, amount));
    }

    /// Mail has reached recipients of a domain.
    pub(super) fn reached(&mut self, domain: String, slot: i64, recipients: u64) {
        self.counted.push(Sum::Reached(domain, slot, recipients));
    }

    pub(super) fn mark(&self) -> SumsMark {
        SumsMark { counted: self.counted.len(), written: self.written }
    }

    /// What was counted since has been rolled back; what was written since is in the tables no more.
    pub(super) fn undone(&mut self, mark: SumsMark) {
        self.counted.truncate(mark.counted);
        self.written = self.written.min(mark.written);
    }

    /// Brings the tables up to date: whoever reads one of these sums must ask for it before, and so must the end of the
    /// transaction.
    pub(super) fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut totals: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut used: BTreeMap<(&AccountKey, (Window, i64)), Amount> = BTreeMap::new();
        let mut reached: BTreeMap<(&str, i64), u64> = BTreeMap::new();
        for sum in &self.counted[self.written..] {
            match sum {
                Sum::Total(name, recipients) => *totals.entry(name).or_default() += recipients,
                Sum::Usage(account, slot, amount) => {
                    *used.entry((account, *slot)).or_insert(Amount::NONE) += *amount;
                }
                Sum::Reached(domain, slot, recipients) => {
                    *reached.entry((domain, *slot)).or_default() += recipients;
                }
            }
        }
        if !totals.is_empty() {
            let mut update = db.prepare_cached("UPDATE total SET count = count + ?2 WHERE name = ?1")?;
            for (name, recipients) in totals {
                update.execute((name, recipients as i64))?;
            }
        }
        for ((account, slot), amount) in used {
            usage::add_to_slot(db, account, &amount, slot)?;
        }
        for ((domain, slot), recipients) in reached {
            let mut upsert = db.prepare_cached(
                "INSERT INTO domain_delivery (domain, slot, recipients) VALUES (?1, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET recipients = recipients + ?3",
            )?;
            upsert.execute((domain, slot, recipients as i64))?;
        }
        self.written = self.counted.len();
        Ok(())
    }

    /// The transaction is over.
    pub(super) fn clear(&mut self) {
        self.counted.clear();
        self.written = 0;
    }
}
