//! Puts a configuration that was read again in force, all of it or nothing.

use std::sync::Arc;

use super::changes;
use super::core::Core;
use super::file_watch::FileWatch;
use super::front::Front;
use crate::config::{Faults, LoadedConfig};
use crate::control::socket;
use crate::report::log;

/// Reads the configuration again.
pub type Reread = Box<dyn Fn() -> Result<LoadedConfig, Faults> + Send + Sync>;

/// What a reload needs beside the relay itself.
pub(super) struct Reloader {
    reread: Arc<Reread>,
    log: log::Control,
    /// Sees when the file changes.
    pub(super) watch: FileWatch,
}

impl Reloader {
    /// For what was read first.
    pub(super) async fn new(loaded: &LoadedConfig, reread: Reread, log: log::Control) -> Self {
        let watch = FileWatch::new(loaded.path.clone(), loaded.files.clone()).await;
        Self { reread: Arc::new(reread), log, watch }
    }

    /// Reads the configuration again and puts it in force. Returns what has changed, or all faults.
    pub(super) async fn reload(&mut self, core: &mut Core, front: &mut Front) -> Result<Vec<String>, String> {
        let done = self.try_reload(core, front).await;
        match &done {
            Ok(changed) if changed.is_empty() => {
                tracing::info!(event = "config_reloaded", reason = "nothing has changed");
            }
            Ok(changed) => tracing::info!(event = "config_reloaded", changed = changed.join(", ")),
            Err(faults) => faults.lines().for_each(|fault| {
                tracing::error!(
                    event = "config_not_reloaded",
                    reason = fault,
                    action = "mend the file; the old configuration stays in force"
                );
            }),
        }
        done
    }

    async fn try_reload(&mut self, core: &mut Core, front: &mut Front) -> Result<Vec<String>, String> {
        self.watch.note_read().await;
        let reread = self.reread.clone();
        let loaded =
            tokio::task::spawn_blocking(move || reread()).await.map_err(|error| error.to_string())?;
        let loaded = loaded.map_err(|faults| faults.to_string())?;
        self.watch.follow(loaded.files).await;
        let before = core.context.config.clone();
        let config = Arc::new(loaded.config);
        if let Some(fault) = changes::needs_restart(&before, &config) {
            return Err(fault.to_owned());
        }
        for warning in &loaded.warnings {
            tracing::warn!(event = "config", reason = %warning);
        }
        // What can fail comes first; what follows can't.
        let prepared = front.prepare(&config).await.map_err(|error| error.to_string())?;
        if config.control_group != before.control_group {
            let group = config.control_group.as_ref();
            socket::admit(&before.data_dir, group).map_err(|error| error.to_string())?;
        }
        core.reload(config.clone()).await.map_err(|error| error.to_string())?;
        front.follow(core, prepared).await;
        self.log.set(config.log);
        Ok(changes::between(&before, &config))
    }
}
