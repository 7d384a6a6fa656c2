//! The keys of addresses as functions of SQL: for steps of the schema, and for what people look for.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::mail::AddressKey;
use crate::store::{LaneName, pattern_key};

/// Makes `address_key`, `pattern_key` and `lane_key` known to a connection. Each takes what was stored in any spelling.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    type Key = fn(&str) -> String;
    let address: Key = |address| AddressKey::of_text(address).into();
    let lane: Key = |lane| LaneName::parse(lane).by_key().to_string();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    for (name, key) in [("address_key", address), ("pattern_key", pattern_key), ("lane_key", lane)] {
        connection.create_scalar_function(name, 1, flags, move |row| Ok(key(row.get_raw(0).as_str()?)))?;
    }
    Ok(())
}
