//! What keeps an upstream or a login from sending beyond a restart.

use rusqlite::{Connection, Row};

use crate::store::{NewSuspension, Suspension, SuspensionKind};
use crate::time::Moment;

const KINDS: [SuspensionKind; 4] =
    [SuspensionKind::Paused, SuspensionKind::Stopped, SuspensionKind::Disabled, SuspensionKind::Login];

/// How all logins of an upstream are written.
const ALL: &str = "*";

/// Those that are not over. A refused login stays one beyond its next probe.
pub(super) fn all(db: &Connection, now: Moment) -> rusqlite::Result<Vec<Suspension>> {
    let mut select = db.prepare(
        "SELECT upstream, account, kind, until, reason, login FROM standing \
         WHERE until IS NULL OR until > ?1 OR kind = 3",
    )?;
    select.query_map([now.0], suspension)?.collect()
}

fn suspension(row: &Row<'_>) -> rusqlite::Result<Suspension> {
    Ok(Suspension {
        upstream: row.get(0)?,
        account: Some(row.get(1)?).filter(|account| account != ALL),
        kind: KINDS[usize::from(row.get::<_, u8>(2)?).min(KINDS.len() - 1)],
        until: row.get::<_, Option<i64>>(3)?.map(Moment),
        reason: row.get(4)?,
        login: row.get(5)?,
    })
}

/// Writes one down, unless a longer pause is in force. Tells the one that is.
pub(super) fn set(db: &Connection, new: &NewSuspension, now: Moment) -> rusqlite::Result<Suspension> {
    let sql = "INSERT INTO standing (upstream, account, kind, until, reason, login) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
               ON CONFLICT DO UPDATE SET until = ?4, reason = ?5, login = ?6 \
               WHERE kind > 0 OR ?4 IS NULL OR until <= ?4";
    let (upstream, account) = (new.upstream.as_str(), new.account.as_deref().unwrap_or(ALL));
    let (kind, until) = (new.kind as i64, new.lasts.map(|lasts| now.after(lasts).0));
    db.prepare_cached(sql)?.execute((upstream, account, kind, until, &new.reason, &new.login))?;
    let sql = "SELECT upstream, account, kind, until, reason, login FROM standing \
               WHERE upstream = ?1 AND account = ?2 AND kind = ?3";
    db.prepare_cached(sql)?.query_row((upstream, account, kind), suspension)
}

pub(super) fn clear(
    db: &Connection,
    upstream: Option<&str>,
    account: Option<&str>,
    kinds: &[SuspensionKind],
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM standing WHERE kind = ?1 AND (?2 IS NULL OR upstream = ?2) AND (?3 IS NULL OR account = ?3)";
    for &kind in kinds {
        db.prepare_cached(sql)?.execute((kind as i64, upstream, account))?;
    }
    Ok(())
}

/// Removes those that are over.
pub(super) fn prune(db: &Connection, now: Moment) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM standing WHERE until <= ?1 AND kind < 3")?.execute([now.0]).map(|_| ())
}
