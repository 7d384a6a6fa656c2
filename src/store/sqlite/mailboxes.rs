//! Mailboxes that do not exist, as replies say: when they come on the blacklist, and when the domain is in trouble instead.

use rusqlite::{Connection, OptionalExtension};

use super::blacklist;
use super::rows::millis;
use super::writing::Writing;
use crate::store::{
    BlacklistEntry, FAILURES_APART, FAILURES_WITHIN, MailboxFailure, MailboxFindings, TROUBLE_WITHIN,
    TroubledDomain, domain_key, is_in_trouble, pattern_key,
};
use crate::time::Moment;

/// In what deliveries to a domain are counted, in milliseconds.
const SLOT: i64 = 3_600_000;

/// What one failure has come to.
enum FailureEnd {
    Counted,
    Listed(BlacklistEntry),
    /// No evidence; so many recipients of the domain have failed, of so many.
    Trouble(u64, u64),
}

/// Notes failures, and lists the mailboxes that have had enough of them.
pub(super) fn failed(db: &Writing, failures: &[MailboxFailure]) -> rusqlite::Result<MailboxFindings> {
    db.knowledge.has_failures();
    let mut findings = MailboxFindings::default();
    for failure in failures {
        let address = pattern_key(&failure.address);
        match one_failed(db, failure, &address)? {
            FailureEnd::Counted => {}
            FailureEnd::Listed(entry) => findings.listed.push(entry),
            FailureEnd::Trouble(failed, recipients) => {
                let domain = domain_key(&address);
                findings.listed.retain(|entry| domain_key(&entry.pattern) != domain);
                let told = withdraw(db, domain)?;
                findings.troubled.extend(told.map(|withdrawn| TroubledDomain {
                    domain: domain.to_owned(),
                    failed,
                    recipients,
                    withdrawn,
                }));
            }
        }
    }
    Ok(findings)
}

fn one_failed(db: &Writing, failure: &MailboxFailure, address: &str) -> rusqlite::Result<FailureEnd> {
    let (now, domain) = (db.now(), domain_key(address));
    db.write_sums()?;
    note(db, address, domain, now)?;
    let failed = "SELECT count(DISTINCT address) FROM mailbox_failure WHERE domain = ?1 AND last > ?2";
    let failed: u64 = count(db, failed, domain, ago(now, TROUBLE_WITHIN))?;
    let sent = "SELECT coalesce(sum(recipients), 0) FROM domain_delivery WHERE domain = ?1 AND slot >= ?2";
    let recipients = failed + count(db, sent, domain, ago(now, TROUBLE_WITHIN) / SLOT)?;
    if is_in_trouble(failed, recipients) {
        return Ok(FailureEnd::Trouble(failed, recipients));
    }
    let counted = "SELECT count(*) FROM mailbox_failure WHERE address = ?1 AND at > ?2 AND NOT void";
    if count(db, counted, address, ago(now, FAILURES_WITHIN))? < u64::from(failure.rule.after) {
        return Ok(FailureEnd::Counted);
    }
    // After the entry has expired it begins anew.
    db.prepare_cached("UPDATE mailbox_failure SET void = 1 WHERE address = ?1")?.execute([address])?;
    let entry = blacklist::add_bounced(db, failure, address)?;
    Ok(entry.map_or(FailureEnd::Counted, FailureEnd::Listed))
}

/// Notes one failure: it counts when the last one that counted is long enough ago.
fn note(db: &Connection, address: &str, domain: &str, now: Moment) -> rusqlite::Result<()> {
    let again = "UPDATE mailbox_failure SET last = ?2 WHERE address = ?1 AND at > ?3";
    if db.prepare_cached(again)?.execute((address, now.0, ago(now, FAILURES_APART)))? > 0 {
        return Ok(());
    }
    let insert = "INSERT INTO mailbox_failure (address, at, domain, last) VALUES (?1, ?2, ?3, ?2)";
    db.prepare_cached(insert)?.execute((address, now.0, domain)).map(drop)
}

/// So many recipients of a domain fail that it is its server's trouble: none of today's failures counts, and the entries that
/// they have made are taken back. How many; `None` when this trouble was told before.
fn withdraw(db: &Writing, domain: &str) -> rusqlite::Result<Option<u64>> {
    let (now, today) = (db.now(), ago(db.now(), TROUBLE_WITHIN));
    let withdrawn = blacklist::withdraw(db, domain, today)?;
    let sql = "UPDATE mailbox_failure SET void = 1 WHERE domain = ?1 AND last > ?2 AND NOT void";
    db.prepare_cached(sql)?.execute((domain, today))?;
    let sql = "SELECT 1 FROM domain_trouble WHERE domain = ?1 AND last > ?2";
    let is_known = db.prepare_cached(sql)?.query_row((domain, today), |_| Ok(())).optional()?.is_some();
    let sql = "INSERT OR REPLACE INTO domain_trouble (domain, last) VALUES (?1, ?2)";
    db.prepare_cached(sql)?.execute((domain, now.0))?;
    Ok((!is_known).then_some(withdrawn))
}

/// A mailbox has taken mail: what was held against it is forgotten, and its domain is well.
pub(super) fn reached(db: &Writing, address: &str) -> rusqlite::Result<()> {
    let address = pattern_key(address);
    db.reached(domain_key(&address).to_owned(), db.now().0 / SLOT);
    if db.knowledge.may_have_failures() { forget(db, &address) } else { Ok(()) }
}

/// Forgets what was held against a mailbox.
pub(super) fn forget(db: &Connection, address: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM mailbox_failure WHERE address = ?1")?.execute([address]).map(drop)
}

/// Forgets what counts no more.
pub(super) fn prune(db: &Connection, now: Moment) -> rusqlite::Result<()> {
    let today = ago(now, TROUBLE_WITHIN);
    for (sql, before) in [
        ("DELETE FROM mailbox_failure WHERE last <= ?1", ago(now, FAILURES_WITHIN)),
        ("DELETE FROM domain_delivery WHERE slot < ?1", today / SLOT),
        ("DELETE FROM domain_trouble WHERE last <= ?1", today),
    ] {
        db.prepare_cached(sql)?.execute([before])?;
    }
    Ok(())
}

fn count(db: &Connection, sql: &str, of: &str, after: i64) -> rusqlite::Result<u64> {
    db.prepare_cached(sql)?.query_row((of, after), |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

fn ago(now: Moment, duration: std::time::Duration) -> i64 {
    now.0.saturating_sub(millis(duration))
}
