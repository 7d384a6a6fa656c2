//! What was gathered for a scraper serves others that come in the same second: however many there are, it is gathered once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::view::{SignInJson, UpstreamJson};
use crate::config::Config;
use crate::store::{QueueFigures, WaitingCopies};

/// How long what was gathered is good.
const RECENT: Duration = Duration::from_secs(1);

/// How the relay is, as far as that is not counted while mail goes.
#[derive(Debug)]
pub(super) struct RelayState {
    /// The upstreams, as `status` shows them.
    pub(super) upstreams: Vec<UpstreamJson>,
    /// The sign-ins, as `status` shows them.
    pub(super) sign_ins: Vec<SignInJson>,
    /// The queue; `None` when the store can't be read.
    pub(super) queue: Option<QueueFigures>,
    /// Copies that wait for Sent folders; `None` when the store can't be read.
    pub(super) copies: Option<Vec<WaitingCopies>>,
    /// Why the store accepts nothing, or can't be read.
    pub(super) store_fault: Option<String>,
    /// What a person must see to.
    pub(super) needs_a_person: Vec<String>,
    /// Whether mail can be taken and sent.
    pub(super) is_ready: bool,
}

/// What was gathered last, and who gathers.
#[derive(Debug, Clone, Default)]
pub(super) struct Scrapes(Arc<Mutex<Option<Scrape>>>);

/// What was gathered, when, and by which configuration.
#[derive(Debug)]
struct Scrape {
    at: Instant,
    config: Arc<Config>,
    found: Arc<RelayState>,
}

impl Scrapes {
    /// What was gathered within the last second by the configuration in force, or else what `gathering` comes to. Who comes
    /// meanwhile waits for that.
    pub(super) async fn recent(
        &self,
        config: &Arc<Config>,
        gathering: impl Future<Output = RelayState>,
    ) -> Arc<RelayState> {
        let mut last = self.0.lock().await;
        if let Some(Scrape { at, config: by, found }) = &*last
            && at.elapsed() < RECENT
            && Arc::ptr_eq(by, config)
        {
            return found.clone();
        }
        let found = Arc::new(gathering.await);
        *last = Some(Scrape { at: Instant::now(), config: config.clone(), found: found.clone() });
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn state() -> RelayState {
        RelayState {
            upstreams: Vec::new(),
            sign_ins: Vec::new(),
            queue: None,
            copies: None,
            store_fault: None,
            needs_a_person: Vec::new(),
            is_ready: true,
        }
    }

    fn config() -> Arc<Config> {
        let text = "[[upstream]]\nname = \"a\"\nhost = \"h\"\n";
        Arc::new(Config::from_toml(text, std::path::Path::new("/")).unwrap().config)
    }

    #[tokio::test(start_paused = true)]
    async fn many_scrapers_gather_once() {
        let (scrapes, gathered) = (Scrapes::default(), AtomicUsize::new(0));
        let (before, after) = (config(), config());
        let gathering = || async {
            gathered.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(3)).await;
            state()
        };
        let recent = |config| scrapes.recent(config, gathering());
        let (first, second) = tokio::join!(recent(&before), recent(&before));
        assert!(Arc::ptr_eq(&first, &second));
        // A reload is seen at once.
        assert!(!Arc::ptr_eq(&first, &recent(&after).await));
        // Who goes away in the midst of it leaves it to the next.
        tokio::time::advance(RECENT).await;
        assert!(tokio::time::timeout(RECENT, recent(&after)).await.is_err());
        recent(&after).await;
        assert_eq!(gathered.load(Ordering::Relaxed), 4);
    }
}
