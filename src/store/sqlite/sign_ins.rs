//! What people's sign-ins gave.

use async_trait::async_trait;
use rusqlite::{Connection, Row};

use super::store::SqliteStore;
use crate::store::{GrantChange, NewGrant, SignInStore, StoreError, StoredGrant, StoredToken};
use crate::time::Moment;

#[async_trait]
impl SignInStore for SqliteStore {
    async fn grants(&self) -> Result<Vec<StoredGrant>, StoreError> {
        self.read(all).await
    }

    async fn save_grant(&self, grant: NewGrant) -> Result<StoredGrant, StoreError> {
        self.write(move |db| save(db, &grant, db.now())).await
    }
}

fn all(db: &Connection) -> rusqlite::Result<Vec<StoredGrant>> {
    let mut select =
        db.prepare("SELECT name, client, account, token, granted, renewed FROM sign_in ORDER BY name")?;
    select.query_map([], grant)?.collect()
}

fn grant(row: &Row<'_>) -> rusqlite::Result<StoredGrant> {
    Ok(StoredGrant {
        sign_in: row.get(0)?,
        client: row.get(1)?,
        account: row.get(2)?,
        token: StoredToken(row.get(3)?),
        granted: Moment(row.get(4)?),
        renewed: Moment(row.get(5)?),
    })
}

fn save(db: &Connection, new: &NewGrant, now: Moment) -> rusqlite::Result<StoredGrant> {
    let NewGrant { sign_in, client, token: StoredToken(token), change } = new;
    let of_change = match change {
        GrantChange::SignedIn { .. } => "account = ?3, granted = ?5, renewed = ?5",
        GrantChange::Renewed => "renewed = ?5",
        GrantChange::Rewritten => "renewed = renewed",
    };
    let account = match change {
        GrantChange::SignedIn { account } => account.as_deref(),
        GrantChange::Renewed | GrantChange::Rewritten => None,
    };
    let sql = format!(
        "INSERT INTO sign_in (name, client, account, token, granted, renewed) VALUES (?1, ?2, ?3, ?4, ?5, ?5) \
         ON CONFLICT DO UPDATE SET client = ?2, token = ?4, {of_change} \
         RETURNING name, client, account, token, granted, renewed"
    );
    db.prepare_cached(&sql)?.query_row((sign_in, client, account, token, now.0), grant)
}
