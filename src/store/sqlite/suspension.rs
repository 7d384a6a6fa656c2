//! What keeps an upstream or a login from sending beyond a restart.

use rusqlite::{Connection, Row};

use crate::store::{NewSuspension, Suspension, SuspensionKind};
use crate::time::Moment;

const KINDS: [SuspensionKind; 3] =
    [SuspensionKind::Paused, SuspensionKind::Stopped, SuspensionKind::Disabled];

/// How all logins of an upstream are written.
const ALL: &str = "*";

/// Those that are not over.
pub(super) fn all(db: &Connection, now: Moment) -> rusqlite::Result<Vec<Suspension>> {
    let mut select = db.prepare(
        "SELECT upstream, account, kind, until, reason FROM standing WHERE until IS NULL OR until > ?1",
    )?;
    select.query_map([now.0], suspension)?.collect()
}

fn suspension(row: &Row<'_>) -> rusqlite::Result<Suspension> {
    Ok(Suspension {
        upstream: row.get(0)?,
        account: Some(row.get(1)?).filter(|account| account != ALL),
        kind: KINDS[row.get::<_, u8>(2)?.min(2) as usize],
        until: row.get::<_, Option<i64>>(3)?.map(Moment),
        reason: row.get(4)?,
    })
}

pub(super) fn set(db: &Connection, new: &NewSuspension, now: Moment) -> rusqlite::Result<Suspension> {
    let suspension = Suspension {
        upstream: new.upstream.clone(),
        account: new.account.clone(),
        kind: new.kind,
        until: new.lasts.map(|lasts| now.after(lasts)),
        reason: new.reason.clone(),
    };
    let sql = "INSERT INTO standing (upstream, account, kind, until, reason) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT DO UPDATE SET until = ?4, reason = ?5";
    let account = suspension.account.as_deref().unwrap_or(ALL);
    let until = suspension.until.map(|until| until.0);
    db.prepare_cached(sql)?.execute((
        &suspension.upstream,
        account,
        suspension.kind as i64,
        until,
        &suspension.reason,
    ))?;
    Ok(suspension)
}

pub(super) fn clear(
    db: &Connection,
    upstream: Option<&str>,
    kinds: &[SuspensionKind],
) -> rusqlite::Result<()> {
    for &kind in kinds {
        db.prepare_cached("DELETE FROM standing WHERE kind = ?1 AND (?2 IS NULL OR upstream = ?2)")?
            .execute((kind as i64, upstream))?;
    }
    Ok(())
}

/// Removes those that are over.
pub(super) fn prune(db: &Connection, now: Moment) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM standing WHERE until <= ?1")?.execute([now.0]).map(|_| ())
}
