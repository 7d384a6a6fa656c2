//! What people ask the store for.

use async_trait::async_trait;

use super::listing;
use super::store::SqliteStore;
use super::writing::Writing;
use super::{blacklist, blacklist_search, change, mailboxes};
use crate::mail::QueueId;
use crate::store::{
    Admin, BlacklistEntry, BlacklistFilter, BlacklistPage, Content, Decisions, HeldPortion, HeldWalk,
    ImportedEntry, LaneName, Learned, LearnedMailbox, ListFilter, ListingEnd, MessageId, MessageRelease,
    NewBlacklistEntry, QueueFigures, StoreError, Summary, TestModeCounts, Totals, pattern_key,
};

/// Messages that are made due in one transaction.
const PORTION: u32 = 1_000;

impl SqliteStore {
    async fn stored(&self, queue_id: QueueId) -> Result<Option<Content>, StoreError> {
        let content_dir = self.content_dir.clone();
        self.read(move |db| listing::content(db, &queue_id, &content_dir)).await
    }
}

#[async_trait]
impl Admin for SqliteStore {
    async fn list(&self, filter: ListFilter) -> Result<Vec<Summary>, StoreError> {
        self.read(move |db| listing::list(db, &filter)).await
    }

    async fn show(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError> {
        self.read(move |db| listing::show(db, &queue_id)).await
    }

    async fn content(&self, queue_id: QueueId) -> Result<Option<Vec<u8>>, StoreError> {
        match self.stored(queue_id).await? {
            Some(content) => Ok(Some(content.read().await?)),
            None => Ok(None),
        }
    }

    async fn beginning(&self, queue_id: QueueId, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        match self.stored(queue_id).await? {
            Some(content) => Ok(Some(content.beginning(most).await?)),
            None => Ok(None),
        }
    }

    async fn retry(&self, queue_id: QueueId) -> Result<Option<LaneName>, StoreError> {
        self.when_settled(move |db| change::retry(db, &queue_id)).await
    }

    async fn retry_all(&self) -> Result<u64, StoreError> {
        let up_to = self.read(change::newest).await?;
        let (mut due, mut after) = (0, MessageId(i64::MIN));
        loop {
            let retry = move |db: &Writing| change::retry_portion(db, (after, up_to), PORTION);
            let portion = self.write(retry).await?;
            due += portion.due;
            match portion.next {
                Some(next) => after = next,
                None => return Ok(due),
            }
        }
    }

    async fn hold(&self, queue_id: QueueId) -> Result<bool, StoreError> {
        self.when_settled(move |db| change::hold(db, &queue_id)).await
    }

    async fn release(&self, queue_id: QueueId, decisions: Decisions) -> Result<Option<LaneName>, StoreError> {
        self.write(move |db| change::release(db, &queue_id, &decisions)).await
    }

    async fn held(&self, walk: HeldWalk) -> Result<HeldPortion, StoreError> {
        self.read(move |db| listing::held(db, &walk)).await
    }

    async fn release_known(
        &self,
        releases: Vec<MessageRelease>,
    ) -> Result<Vec<Option<LaneName>>, StoreError> {
        self.write(move |db| change::release_known(db, &releases)).await
    }

    async fn delete(&self, queue_id: QueueId) -> Result<Option<Summary>, StoreError> {
        let deleted = self.when_settled(move |db| change::delete(db, &queue_id)).await?;
        let Some(change::Deleted { summary, file }) = deleted else {
            return Ok(None);
        };
        self.note_settled(1);
        self.remove_files(file).await;
        Ok(Some(summary))
    }

    async fn queue_figures(&self) -> Result<QueueFigures, StoreError> {
        let loads = self.loads.clone();
        self.read(move |db| listing::figures(db, &loads)).await
    }

    async fn test_mode_counts(&self) -> Result<TestModeCounts, StoreError> {
        self.read(listing::test_mode_counts).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.read(listing::totals).await
    }

    async fn blacklist_page(&self, filter: BlacklistFilter) -> Result<BlacklistPage, StoreError> {
        let now = self.timeline.now();
        self.read(move |db| blacklist_search::page(db, &filter, now)).await
    }

    async fn blacklist_first(&self, patterns: Vec<String>) -> Result<Option<BlacklistEntry>, StoreError> {
        let now = self.timeline.now();
        self.read(move |db| blacklist::first(db, &patterns, now)).await
    }

    async fn blacklist_add(&self, entry: NewBlacklistEntry) -> Result<BlacklistEntry, StoreError> {
        self.write(move |db| blacklist::add(db, &entry)).await
    }

    async fn blacklist_import(&self, entries: Vec<ImportedEntry>) -> Result<Vec<ListingEnd>, StoreError> {
        self.write(move |db| entries.iter().map(|entry| blacklist::import(db, entry)).collect()).await
    }

    async fn blacklist_learn(&self, mailboxes: Vec<LearnedMailbox>) -> Result<Vec<Learned>, StoreError> {
        self.write(move |db| mailboxes.iter().map(|mailbox| blacklist::learn(db, mailbox)).collect()).await
    }

    async fn blacklist_remove(&self, pattern: String) -> Result<bool, StoreError> {
        let remove = move |db: &Writing| {
            mailboxes::forget(db, &pattern_key(&pattern))?;
            blacklist::remove(db, &pattern)
        };
        self.write(remove).await
    }
}
