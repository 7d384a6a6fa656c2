//! All lanes: one task each, kept over reloads.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::context::Context;
use super::lane::Lane;
use super::lane_settings::LaneSettings;
use crate::config::Upstream;
use crate::route;
use crate::store::LaneName;

type SettingsOf = watch::Sender<Option<Arc<LaneSettings>>>;

/// The lanes of all upstreams.
#[derive(Default)]
pub struct Lanes {
    settings: HashMap<LaneName, SettingsOf>,
    tasks: JoinSet<()>,
    /// A lane that was found to have failed by a fault of ours.
    failed: Option<JoinError>,
}

impl Lanes {
    /// Puts a configuration in force: lanes that are at work go on by it, new ones begin, and those that it does not have
    /// end when what they have under way has.
    pub fn configure(&mut self, context: &Arc<Context>, upstreams: &[Arc<Upstream>]) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.failed = self.failed.take().or(ended.err());
        }
        let mut before = std::mem::take(&mut self.settings);
        for upstream in upstreams {
            for bound in route::lanes(upstream) {
                let settings = Arc::new(LaneSettings::new(context, upstream, bound));
                let name = settings.name.clone();
                let sender = match before.remove(&name) {
                    Some(sender) => {
                        sender.send_replace(Some(settings));
                        sender
                    }
                    None => self.begin(settings),
                };
                self.settings.insert(name, sender);
            }
        }
        for sender in before.into_values() {
            drop(sender.send_replace(None));
        }
    }

    fn begin(&mut self, settings: Arc<LaneSettings>) -> SettingsOf {
        let (sender, receiver) = watch::channel(Some(settings.clone()));
        self.tasks.spawn(Lane::new(receiver, settings).run());
        sender
    }

    /// Waits for a lane to end; `None` when none is left. One that was not told to and panics is a fault of ours.
    pub async fn ended(&mut self) -> Option<Result<(), JoinError>> {
        match self.failed.take() {
            Some(error) => Some(Err(error)),
            None => self.tasks.join_next().await,
        }
    }
}
