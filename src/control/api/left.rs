//! A message that has left, as the history has it.

use crate::control::view::MessageDetail;
use crate::mail::QueueId;
use crate::store::{HistoryEntry, HistorySearch, HistoryStore, StoreError};

/// Entries that are asked for at a time.
const PAGE: u32 = 10_000;

/// All entries of a message, the newest first.
pub(super) async fn entries<S: HistoryStore + ?Sized>(
    store: &S,
    id: &QueueId,
) -> Result<Vec<HistoryEntry>, StoreError> {
    let mut search = HistorySearch { queue_id: Some(id.clone()), limit: PAGE, ..HistorySearch::default() };
    let mut all = Vec::new();
    loop {
        let page = store.history(search.clone()).await?;
        all.extend(page.entries);
        match page.next {
            Some(next) => search.before = Some(next),
            None => return Ok(all),
        }
    }
}

/// What is known of a message that has left; `None` when nothing is.
pub(super) async fn detail<S: HistoryStore + ?Sized>(
    store: &S,
    id: &QueueId,
) -> Result<Option<MessageDetail>, StoreError> {
    Ok(MessageDetail::left(&entries(store, id).await?))
}

/// That nobody knows such a message.
pub(super) fn unknown(id: &QueueId) -> String {
    format!("{id} is neither in the queue nor in the history: `mailsluice history` shows what has left")
}
