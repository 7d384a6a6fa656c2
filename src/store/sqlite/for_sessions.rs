//! What sessions, estimates and the start of a relay ask the store for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::blacklist::ListedAt;
use super::store::SqliteStore;
use super::{
    blacklist, contents, enqueue, mailboxes, place, places, recover, restored, schema, settings, shrink,
    suspension,
};
use crate::limits::{Counts, Load, Scope};
use crate::mail::{Address, QueueId};
use crate::metrics::WriteMeter;
use crate::store::{
    BlacklistEntry, Content, CutOff, DoubtPauses, EnqueueError, Intake, LaneName, MessageId, NewMessage,
    Outlook, Recovered, Restored, StoreError, Switches, TakenAtOnce, Upkeep, Upload, UsedQuota,
};
use crate::time::Timeline;

#[async_trait]
impl Intake for SqliteStore {
    fn healthy(&self) -> Result<(), StoreError> {
        self.writer_health()
    }

    fn queue_length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }

    fn upload(&self, id: &QueueId) -> Upload {
        Upload::new(&self.content_dir, id)
    }

    async fn enqueue(&self, mut message: NewMessage) -> Result<Option<TakenAtOnce>, EnqueueError> {
        if message.recipients.kept() == 0 {
            message.content = Content::memory(Vec::new());
            return Ok(self.write(move |db| enqueue::enqueue(db, &message)).await?);
        }
        let before = self.length.fetch_add(1, Ordering::Relaxed);
        let limit = self.max_messages.load(Ordering::Relaxed);
        if before >= limit {
            self.length.fetch_sub(1, Ordering::Relaxed);
            return Err(EnqueueError::Full { messages: before, limit });
        }
        let content = message.content.clone();
        let result = self.write(move |db| enqueue::enqueue(db, &message)).await;
        if let Err(error) = &result {
            self.length.fetch_sub(1, Ordering::Relaxed);
            // In doubt it stays: the next start may find the message, and else sets its content aside.
            if !matches!(error, StoreError::InDoubt(_) | StoreError::Closed) {
                content.discard().await;
            }
        }
        Ok(result?)
    }

    async fn blacklisted(&self, addresses: &[Address]) -> Result<Vec<Option<BlacklistEntry>>, StoreError> {
        let patterns: Vec<Vec<String>> =
            addresses.iter().map(|address| self.listed.covering(address.as_str())).collect();
        if patterns.iter().all(Vec::is_empty) {
            return Ok(vec![None; addresses.len()]);
        }
        let now = self.timeline.now();
        self.read_here(|db| patterns.iter().map(|patterns| blacklist::first(db, patterns, now)).collect())
    }
}

#[async_trait]
impl Switches for SqliteStore {
    async fn switch(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        self.read(move |db| settings::switch(db, key)).await
    }

    async fn set_switch(&self, key: &'static str, value: String) -> Result<(), StoreError> {
        self.write(move |db| settings::set_switch(db, key, &value)).await
    }
}

#[async_trait]
impl Outlook for SqliteStore {
    fn lane_load(&self, lane: &LaneName) -> Load {
        self.loads.of(lane)
    }

    async fn ahead(&self, queue_id: QueueId) -> Result<Option<Load>, StoreError> {
        let now = self.timeline.now();
        self.read(move |db| place::ahead(db, &queue_id, now)).await
    }

    async fn places(&self, lane: LaneName, most: u32) -> Result<HashMap<MessageId, Load>, StoreError> {
        let now = self.timeline.now();
        self.read(move |db| places::places(db, &lane, now, most)).await
    }

    async fn usage(&self, scopes: Vec<Scope>) -> Result<Vec<Counts>, StoreError> {
        if let Some(counts) = self.books.snapshot(&scopes, true) {
            return Ok(counts);
        }
        let wanted = scopes.clone();
        let known = self.write(move |db| db.know(&wanted)).await;
        // While the store fails, what is known best will do.
        match (self.books.snapshot(&scopes, false), known) {
            (Some(counts), _) => Ok(counts),
            (None, known) => known.map(|()| vec![Counts::default(); scopes.len()]),
        }
    }
}

#[async_trait]
impl Upkeep for SqliteStore {
    fn write_meter(&self) -> Arc<WriteMeter> {
        self.meter()
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn set_max_messages(&self, most: u64) {
        self.max_messages.store(most, Ordering::Relaxed);
    }

    async fn cut_off(&self, pauses: DoubtPauses) -> Result<Vec<CutOff>, StoreError> {
        let (listed, now) = (self.listed.clone(), self.timeline.now());
        self.read(move |db| recover::cut_off(db, &pauses, ListedAt { listed: &listed, now })).await
    }

    async fn recover(&self, pauses: DoubtPauses) -> Result<Recovered, StoreError> {
        let mut recovered = self.write(move |db| recover::recover(db, &pauses)).await?;
        let content_dir = self.content_dir.clone();
        recovered.orphans = self.read(move |db| contents::sort_out(db, &content_dir)).await?;
        Ok(recovered)
    }

    async fn restored(&self, quotas: Vec<UsedQuota>) -> Result<Option<Restored>, StoreError> {
        if self.read(restored::look).await?.is_none() {
            return Ok(None);
        }
        self.write(move |db| restored::use_up(db, &quotas)).await
    }

    async fn restored_mail(&self) -> Result<Option<Restored>, StoreError> {
        // Hardly any store is one; its mail is counted on a thread that may take its time.
        if self.read_here(restored::is_marked)? { self.read(restored::look).await } else { Ok(None) }
    }

    async fn answers(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await
    }

    async fn note_clock(&self) -> Result<(), StoreError> {
        let anchor = self.timeline.anchor();
        self.write(move |db| settings::set_anchor(db, &anchor)).await
    }

    async fn release_space(&self) -> Result<(), StoreError> {
        if self.read_here(shrink::surplus)? > 0 {
            while self.write(shrink::release).await? {}
        } else if self.keeps_a_long_log_at_rest() {
            let cut = |db: &super::writing::Writing| {
                db.truncate_log();
                Ok(())
            };
            self.write(cut).await?;
        }
        Ok(())
    }

    async fn damage(&self) -> Result<Option<String>, StoreError> {
        if self.is_looked_at.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        self.read_while_awaited(schema::damage).await
    }

    async fn prune(&self) -> Result<(), StoreError> {
        let content_dir = self.content_dir.clone();
        let prune = move |db: &super::writing::Writing| {
            let now = db.now();
            contents::forget_gone(db, &content_dir, now)?;
            db.prune_usage()?;
            suspension::prune(db, now)?;
            mailboxes::prune(db, now)?;
            restored::prune(db)?;
            Ok(())
        };
        self.write(prune).await?;
        // The list may be long, and others want to write.
        while self.write(blacklist::prune).await? {}
        Ok(())
    }
}
