//! What was counted in the windows of the limits.

use std::time::Duration;

use rusqlite::{Connection, Row};

use super::books::OpenBooks;
use super::settings;
use crate::config::Window;
use crate::limits::{AccountKey, Amount, Scope, ScopeUsage, UsageRow};
use crate::store::PermitId;
use crate::time::Moment;

/// An open permit: `id, messages, recipients, octets`.
struct PermitRow {
    id: PermitId,
    amount: Amount,
}

/// The switch that says in which windows without a name everything is counted, too.
const WINDOWS: &str = "windows";

/// A window as the table has it: those with names by their place, all others by their length in milliseconds, which is at
/// least 1,000.
fn code(window: Window) -> i64 {
    let named = Window::NAMED.iter().position(|named| *named == window);
    named.map_or_else(|| window.length().as_millis() as i64, |place| place as i64)
}

fn window(code: i64) -> Option<Window> {
    let named = usize::try_from(code).ok().and_then(|place| Window::NAMED.get(place).copied());
    named.or_else(|| Window::of(Duration::from_millis(code.max(0).unsigned_abs())))
}

/// The windows without a name in which everything is counted.
pub(super) fn windows(db: &Connection) -> rusqlite::Result<Vec<Window>> {
    let text = settings::switch(db, WINDOWS)?.unwrap_or_default();
    Ok(text.split(' ').filter_map(Window::from_name).collect())
}

/// In these windows without a name everything is counted from now on. What others have counted is let go.
pub(super) fn set_windows(db: &Connection, windows: &[Window]) -> rusqlite::Result<()> {
    for gone in self::windows(db)?.into_iter().filter(|window| !windows.contains(window)) {
        db.prepare_cached("DELETE FROM usage WHERE window = ?1")?.execute([code(gone)])?;
    }
    let names: Vec<String> = windows.iter().map(ToString::to_string).collect();
    settings::set_switch(db, WINDOWS, &names.join(" "))
}

/// A window that was not counted begins with what is known from the next longer one with a name, else from another of `counted`,
/// else from the longest: as if each slot of that had been sent at its end.
pub(super) fn begin_window(
    db: &Connection,
    new: Window,
    counted: &[Window],
    now: Moment,
) -> rusqlite::Result<()> {
    let named = Window::NAMED.into_iter().find(|window| *window > new);
    let longer = counted.iter().copied().filter(|window| *window > new).min();
    let longest = counted.iter().copied().max().map_or(Window::WEEK, |longest| longest.max(Window::WEEK));
    let source = named.or(longer).unwrap_or(longest);
    let mut select = db.prepare(
        "SELECT upstream, account, slot, messages, recipients, octets FROM usage WHERE window = ?1 AND slot >= ?2",
    )?;
    let oldest = source.slot(Moment(now.0 - new.length().as_millis() as i64)) - 1;
    let read = |row: &Row<'_>| Ok((account(row, 0)?, row.get::<_, i64>(2)?, amount(row, 3)?));
    for row in select.query_map((code(source), oldest), read)? {
        let (account, slot, amount) = row?;
        add_to_slot(db, &account, &amount, (new, new.slot_of(source, slot, now)))?;
    }
    Ok(())
}

/// Where a transaction counts that has ended then: in every window that has a name, and in these.
pub(super) fn slots(ended: Moment, others: &[Window]) -> impl Iterator<Item = (Window, i64)> {
    Window::NAMED.iter().chain(others).map(move |&window| (window, window.slot(ended)))
}

/// Adds to what an account has sent in a slot of a window.
pub(super) fn add_to_slot(
    db: &Connection,
    account: &AccountKey,
    counted: &Amount,
    (window, slot): (Window, i64),
) -> rusqlite::Result<()> {
    let mut upsert = db.prepare_cached(
        "INSERT INTO usage (upstream, account, window, slot, messages, recipients, octets) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE \
         SET messages = messages + ?5, recipients = recipients + ?6, octets = octets + ?7",
    )?;
    upsert
        .execute((
            &*account.upstream,
            &*account.account,
            code(window),
            slot,
            counted.messages,
            counted.recipients,
            counted.octets as i64,
        ))
        .map(drop)
}

/// All that counts for a scope, by whatever spelling of the login it was counted. What a permit without a message counts as is
/// known by those who hold it; of others, the table says how much they may come to.
pub(super) fn of_scope(db: &Connection, scope: &Scope, books: &OpenBooks) -> rusqlite::Result<ScopeUsage> {
    let mut usage = ScopeUsage { windows: books.windows().to_vec(), ..ScopeUsage::default() };
    match scope {
        Scope::Account(key) => read(db, (&key.upstream, Some(&key.account)), books, &mut usage)?,
        Scope::Upstream(upstream) => read(db, (upstream, None), books, &mut usage)?,
        Scope::Group(group) => {
            for upstream in &group.upstreams {
                read(db, (upstream, None), books, &mut usage)?;
            }
            usage.rows.sort_by_key(|row| (row.window, row.slot));
        }
    }
    Ok(usage)
}

/// Adds what counts for an upstream, or for one of its accounts; of each window the oldest slot first.
fn read(
    db: &Connection,
    (upstream, account): (&str, Option<&str>),
    books: &OpenBooks,
    usage: &mut ScopeUsage,
) -> rusqlite::Result<()> {
    let mut ended = db.prepare_cached(if account.is_none() { ENDED } else { ENDED_OF_ACCOUNT })?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, amount(row, 2)?));
    let mut add = |row: rusqlite::Result<(i64, i64, Amount)>| {
        let (code, slot, amount) = row?;
        usage.rows.extend(window(code).map(|window| UsageRow { window, slot, amount }));
        Ok::<_, rusqlite::Error>(())
    };
    match account {
        None => ended.query_map([upstream], row)?.try_for_each(&mut add)?,
        Some(account) => ended.query_map((upstream, account), row)?.try_for_each(&mut add)?,
    }
    let mut leases = db.prepare_cached(
        "SELECT message, messages, recipients, octets FROM lease \
         WHERE messages > 0 AND upstream = ?1 AND (?2 IS NULL OR address_key(account) = address_key(?2))",
    )?;
    for row in leases.query_map((upstream, account), permit_row)? {
        usage.under_way.push(row?.amount);
    }
    let mut permits = db.prepare_cached(
        "SELECT id, 1, recipients, octets FROM permit WHERE upstream = ?1 AND (?2 IS NULL OR address_key(account) = address_key(?2))",
    )?;
    for row in permits.query_map((upstream, account), permit_row)? {
        let row = row?;
        usage.under_way.push(books.permits.get(&row.id).map_or(row.amount, |permit| permit.taken));
    }
    Ok(())
}

const ENDED: &str = "SELECT window, slot, sum(messages), sum(recipients), sum(octets) FROM usage \
    WHERE upstream = ?1 GROUP BY window, slot ORDER BY window, slot";
const ENDED_OF_ACCOUNT: &str = "SELECT window, slot, sum(messages), sum(recipients), sum(octets) FROM usage \
    WHERE upstream = ?1 AND address_key(account) = address_key(?2) GROUP BY window, slot ORDER BY window, slot";

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
pub(super) fn add_unknown(db: &Connection, now: Moment, others: &[Window]) -> rusqlite::Result<()> {
    let mut select = db.prepare(
        "SELECT upstream, account, messages, recipients, octets FROM lease WHERE messages > 0 \
         UNION ALL SELECT upstream, account, 1, recipients, octets FROM permit",
    )?;
    let permits = select.query_map([], |row| Ok((account(row, 0)?, amount(row, 2)?)))?;
    for permit in permits {
        let (account, amount) = permit?;
        slots(now, others).try_for_each(|slot| add_to_slot(db, &account, &amount, slot))?;
    }
    Ok(())
}

/// Reads the columns `upstream` and `account`, which follow each other.
pub(super) fn account(row: &Row<'_>, column: usize) -> rusqlite::Result<AccountKey> {
    Ok(AccountKey::new(row.get_ref(column)?.as_str()?, row.get_ref(column + 1)?.as_str()?))
}

/// Forgets what was counted for an upstream in these windows, or in all when there are none.
pub(super) fn reset(db: &Connection, upstream: &str, windows: &[Window]) -> rusqlite::Result<()> {
    if windows.is_empty() {
        db.prepare_cached("DELETE FROM usage WHERE upstream = ?1")?.execute([upstream])?;
    }
    for &window in windows {
        db.prepare_cached("DELETE FROM usage WHERE upstream = ?1 AND window = ?2")?
            .execute((upstream, code(window)))?;
    }
    Ok(())
}

/// Removes what has left its window.
pub(super) fn prune(db: &Connection, now: Moment, others: &[Window]) -> rusqlite::Result<()> {
    for &window in Window::NAMED.iter().chain(others) {
        db.prepare_cached("DELETE FROM usage WHERE window = ?1 AND slot < ?2")?
            .execute((code(window), window.first_kept(now)))?;
    }
    Ok(())
}
