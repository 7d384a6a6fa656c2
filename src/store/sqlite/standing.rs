//! What keeps an upstream or a login from sending beyond a restart.

use rusqlite::Connection;

use crate::store::{Standing, StandingKind};
use crate::time::Moment;

const KINDS: [StandingKind; 3] = [StandingKind::Paused, StandingKind::Stopped, StandingKind::Disabled];

pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Standing>> {
    let mut select = db.prepare("SELECT upstream, account, kind, until, reason FROM standing")?;
    let rows = select.query_map([], |row| {
        Ok(Standing {
            upstream: row.get(0)?,
            account: Some(row.get(1)?).filter(|account| account != ALL),
            kind: KINDS[row.get::<_, u8>(2)?.min(2) as usize],
            until: row.get::<_, Option<i64>>(3)?.map(Moment),
            reason: row.get(4)?,
        })
    })?;
    rows.collect()
}

/// How all logins of an upstream are written.
const ALL: &str = "*";

pub(super) fn set(db: &Connection, standing: &Standing) -> rusqlite::Result<()> {
    let sql = "INSERT INTO standing (upstream, account, kind, until, reason) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT DO UPDATE SET until = ?4, reason = ?5";
    let account = standing.account.as_deref().unwrap_or(ALL);
    let until = standing.until.map(|until| until.0);
    db.prepare_cached(sql)?
        .execute((&standing.upstream, account, standing.kind as i64, until, &standing.reason))
        .map(|_| ())
}

pub(super) fn clear(db: &Connection, upstream: Option<&str>, kinds: &[StandingKind]) -> rusqlite::Result<()> {
    for &kind in kinds {
        db.prepare_cached("DELETE FROM standing WHERE kind = ?1 AND (?2 IS NULL OR upstream = ?2)")?
            .execute((kind as i64, upstream))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::store::sqlite::{SqliteStore, Threading};
    use crate::store::{Standing, StandingKind, Store};
    use crate::time::Moment;

    #[tokio::test]
    async fn lasts_over_a_restart_and_is_cleared_by_kind() {
        let dir = tempfile::tempdir().unwrap();
        let standing = |account: Option<&str>, kind, until| Standing {
            upstream: "u".into(),
            account: account.map(str::to_owned),
            kind,
            until,
            reason: "why".into(),
        };
        let paused = standing(None, StandingKind::Paused, Some(Moment(9)));
        let stopped = standing(Some("a"), StandingKind::Stopped, None);
        let open = || SqliteStore::open(dir.path(), 10, Threading::Caller).unwrap();
        let store = open();
        store.set_standing(standing(None, StandingKind::Paused, Some(Moment(5)))).await.unwrap();
        store.set_standing(paused.clone()).await.unwrap();
        store.set_standing(stopped.clone()).await.unwrap();
        drop(store);
        let store = open();
        assert_eq!(store.standings().await.unwrap(), [paused.clone(), stopped]);
        store.clear_standings(Some("other".into()), vec![StandingKind::Stopped]).await.unwrap();
        assert_eq!(store.standings().await.unwrap().len(), 2);
        store.clear_standings(None, vec![StandingKind::Stopped]).await.unwrap();
        assert_eq!(store.standings().await.unwrap(), [paused]);
    }
}
