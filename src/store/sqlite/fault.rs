//! What SQLite reports, in our words.

use crate::store::StoreError;

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
pub(super) fn database(error: rusqlite::Error) -> StoreError {
    StoreError::Database(error.to_string())
}
