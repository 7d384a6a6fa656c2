//! The task that looks what stands, and has it told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::alerts::{Alerts, StoreFacts};
use super::book::TroubleBook;
use super::channels::Channels;
use super::notice::Notice;
use crate::store::StoreError;

/// How often to look where nobody says that something has changed: at the disk, the store, what ends, what waits.
const LOOK: Duration = Duration::from_secs(30);
/// How long a store is waited for that says nothing.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the book stands in the store.
const KEY: &str = "alerts";

/// What the task keeps.
struct Watch {
    alerts: Arc<Alerts>,
    channels: Channels,
    /// `None` until it has been read.
    book: Option<TroubleBook>,
    /// What of it is written down; `None` when that is not known.
    written: Option<String>,
}

impl Alerts {
    /// Looks what stands, whenever that may have changed, and has it told; for as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        let channels = Channels::start(&self);
        let mut watch = Watch { alerts: self, channels, book: None, written: None };
        loop {
            watch.look().await;
            let alerts = &watch.alerts;
            let now = alerts.services.timeline.now();
            let due = watch.book.as_ref().and_then(TroubleBook::next_look);
            // One that is due and waits for its turn is looked at with the rest.
            let pause = due.map(|due| due.since(now)).filter(|pause| !pause.is_zero());
            tokio::select! {
                () = tokio::time::sleep(pause.map_or(LOOK, |pause| pause.min(LOOK))) => {}
                () = alerts.services.wakeups.troubled() => {}
            }
        }
    }

    /// What the store says of itself.
    async fn store_facts(&self) -> StoreFacts {
        let store = &self.services.store;
        let read = async {
            let restored = store.restored_mail().await?;
            self.watch_quiet().await?;
            Ok::<_, StoreError>(restored)
        };
        let read = timeout(PATIENCE, read).await;
        let healthy = store.healthy().err().map(|error| error.to_string());
        match read {
            Ok(Ok(restored)) => StoreFacts { fault: healthy, restored },
            Ok(Err(error)) => StoreFacts { fault: healthy.or(Some(error.to_string())), restored: None },
            Err(_) => {
                let words = format!("the store has not answered for {} s", PATIENCE.as_secs());
                StoreFacts { fault: healthy.or(Some(words)), restored: None }
            }
        }
    }
}

impl Watch {
    async fn look(&mut self) {
        let facts = self.alerts.store_facts().await;
        if self.book.is_none() {
            self.read().await;
        }
        let Some(book) = &mut self.book else { return };
        let standing = self.alerts.standing(&facts);
        let timeline = &self.alerts.services.timeline;
        let news = book.look(&standing, timeline.now());
        // What was told must not be told again after a crash, so it is written down first.
        self.write().await;
        for one in news {
            let notice = Notice::new(one, &self.alerts.services.timeline);
            notice.log();
            self.channels.tell(&notice);
        }
    }

    /// Reads what a former process has told. While that can't be, nothing is.
    async fn read(&mut self) {
        let text = timeout(PATIENCE, self.alerts.services.store.switch(KEY)).await;
        if let Ok(Ok(text)) = text {
            let book = TroubleBook::from_text(text.as_deref().unwrap_or_default());
            self.written = text.or_else(|| Some(book.to_text()));
            self.book = Some(book);
        }
    }

    /// Writes down what has changed. Where the store fails, that is a trouble of its own, and it is tried again at the next look.
    async fn write(&mut self) {
        let Some(book) = &self.book else { return };
        let text = book.to_text();
        if self.written.as_ref() == Some(&text) {
            return;
        }
        let written = timeout(PATIENCE, self.alerts.services.store.set_switch(KEY, text.clone())).await;
        self.written = matches!(written, Ok(Ok(()))).then_some(text);
    }
}
