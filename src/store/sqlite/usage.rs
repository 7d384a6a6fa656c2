//! What was counted in the windows of the limits.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use super::books::OpenPermit;
use crate::config::Window;
use crate::limits::{AccountKey, Amount, Scope, ScopeUsage, UsageRow};
use crate::store::PermitId;
use crate::time::Moment;

/// An open permit: `id, messages, recipients, octets`.
struct PermitRow {
    id: PermitId,
    amount: Amount,
}

/// Counts an ended transaction into every window.
pub(super) fn add(
    db: &Connection,
    account: &AccountKey,
    counted: &Amount,
    ended: Moment,
) -> rusqlite::Result<()> {
    let mut upsert = db.prepare_cached(
        "INSERT INTO usage (upstream, account, window, slot, messages, recipients, octets) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE \
         SET messages = messages + ?5, recipients = recipients + ?6, octets = octets + ?7",
    )?;
    for window in Window::ALL {
        upsert.execute((
            &*account.upstream,
            &*account.account,
            window as i64,
            window.slot(ended),
            counted.messages,
            counted.recipients,
            counted.octets as i64,
        ))?;
    }
    Ok(())
}

/// All that counts for a scope, by whatever spelling of the login it was counted. What a permit without a message counts as is known by those who hold it; of others, the
/// table says how much they may come to.
pub(super) fn of_scope(
    db: &Connection,
    scope: &Scope,
    permits: &HashMap<PermitId, OpenPermit>,
) -> rusqlite::Result<ScopeUsage> {
    let (upstream, account) = match scope {
        Scope::Account(key) => (&*key.upstream, Some(&*key.account)),
        Scope::Upstream(upstream) => (&**upstream, None),
    };
    let rows = ended(db, upstream, account)?;
    let mut leases = db.prepare_cached(
        "SELECT message, messages, recipients, octets FROM lease \
         WHERE messages > 0 AND upstream = ?1 AND (?2 IS NULL OR address_key(account) = address_key(?2))",
    )?;
    let leases = leases.query_map((upstream, account), permit_row)?;
    let mut under_way = leases.map(|row| row.map(|row| row.amount)).collect::<rusqlite::Result<Vec<_>>>()?;
    let mut select = db.prepare_cached(
        "SELECT id, 1, recipients, octets FROM permit WHERE upstream = ?1 AND (?2 IS NULL OR address_key(account) = address_key(?2))",
    )?;
    for row in select.query_map((upstream, account), permit_row)? {
        let row = row?;
        under_way.push(permits.get(&row.id).map_or(row.amount, |permit| permit.taken));
    }
    Ok(ScopeUsage { rows, under_way })
}

/// What has ended, of each window the oldest slot first: of an account, or of all accounts of an upstream.
fn ended(db: &Connection, upstream: &str, account: Option<&str>) -> rusqlite::Result<Vec<UsageRow>> {
    let Some(account) = account else {
        let mut select = db.prepare_cached(
            "SELECT window, slot, sum(messages), sum(recipients), sum(octets) FROM usage \
             WHERE upstream = ?1 GROUP BY window, slot ORDER BY window, slot",
        )?;
        return select.query_map([upstream], usage_row)?.collect();
    };
    let mut select = db.prepare_cached(
        "SELECT window, slot, sum(messages), sum(recipients), sum(octets) FROM usage \
         WHERE upstream = ?1 AND address_key(account) = address_key(?2) GROUP BY window, slot ORDER BY window, slot",
    )?;
    select.query_map((upstream, account), usage_row)?.collect()
}

fn usage_row(row: &Row<'_>) -> rusqlite::Result<UsageRow> {
    Ok(UsageRow {
        window: Window::ALL[row.get::<_, u8>(0)?.min(3) as usize],
        slot: row.get(1)?,
        amount: amount(row, 2)?,
    })
}

fn permit_row(row: &Row<'_>) -> rusqlite::Result<PermitRow> {
    Ok(PermitRow { id: PermitId(row.get(0)?), amount: amount(row, 1)? })
}

/// Reads the columns `messages`, `recipients` and `octets`, which follow each other.
pub(super) fn amount(row: &Row<'_>, column: usize) -> rusqlite::Result<Amount> {
    Ok(Amount {
        messages: row.get(column)?,
        recipients: row.get(column + 1)?,
        octets: row.get::<_, i64>(column + 2)?.unsigned_abs(),
    })
}

/// Counts the permits of a dead predecessor. What the provider counted of them is not known: all of it counts, as ended
/// now.
pub(super) fn add_unknown(db: &Connection, now: Moment) -> rusqlite::Result<()> {
    let mut select = db.prepare(
        "SELECT upstream, account, messages, recipients, octets FROM lease WHERE messages > 0 \
         UNION ALL SELECT upstream, account, 1, recipients, octets FROM permit",
    )?;
    let permits = select.query_map([], |row| Ok((account(row, 0)?, amount(row, 2)?)))?;
    for permit in permits {
        let (account, amount) = permit?;
        add(db, &account, &amount, now)?;
    }
    Ok(())
}

/// Reads the columns `upstream` and `account`, which follow each other.
pub(super) fn account(row: &Row<'_>, column: usize) -> rusqlite::Result<AccountKey> {
    Ok(AccountKey::new(row.get_ref(column)?.as_str()?, row.get_ref(column + 1)?.as_str()?))
}

pub(super) fn reset(db: &Connection, upstream: &str, windows: &[Window]) -> rusqlite::Result<()> {
    for &window in windows {
        db.prepare_cached("DELETE FROM usage WHERE upstream = ?1 AND window = ?2")?
            .execute((upstream, window as i64))?;
    }
    Ok(())
}

/// Removes what has left its window.
pub(super) fn prune(db: &Connection, now: Moment) -> rusqlite::Result<()> {
    for window in Window::ALL {
        // A slot leaves one length after its end, 600 slots; or where windows follow the calendar, whose days may have 25
        // hours, a little later.
        let oldest = window.slot(now) - 650;
        db.prepare_cached("DELETE FROM usage WHERE window = ?1 AND slot < ?2")?
            .execute((window as i64, oldest))?;
    }
    Ok(())
}
