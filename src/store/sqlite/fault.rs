//! What SQLite reports, in our words.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::StoreError;

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
pub(super) fn database(error: rusqlite::Error) -> StoreError {
    StoreError::Database(error.to_string())
}

/// Says of a failure at the start which file it is about. What can't be read as what it should be is damaged; a disk that does not
/// give it out, or is full, is not.
pub(super) fn at_start(path: &Path) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |error| {
        let is_damaged = error.sqlite_error_code().is_none_or(|code| {
            // "Unknown" is what a statement gets whose tables are not there.
            use ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown};
            matches!(code, DatabaseCorrupt | NotADatabase | TypeMismatch | Unknown)
        });
        if is_damaged {
            return StoreError::Damaged { path: path.clone(), reason: error.to_string() };
        }
        StoreError::Database(format!("{}: {error}", path.display()))
    }
}
