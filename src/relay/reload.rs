//! Puts a configuration that was read again in force, all of it or nothing.

use std::path::PathBuf;
use std::sync::Arc;

use super::changes;
use super::core::Core;
use super::file_watch::FileWatch;
use super::front::Front;
use super::service_manager::ServiceManager;
use crate::config::{Config, ConfigSource, LoadedConfig, TextDigest};
use crate::control::{ConfigRequest, socket};
use crate::policy::kept_switches::KeptSwitches;
use crate::report::log;
use crate::store::{StoreError, Switches};

/// What a reload needs beside the relay itself.
pub(super) struct Reloader {
    pub(super) source: Arc<ConfigSource>,
    /// The file, as it was named.
    pub(super) path: Option<PathBuf>,
    /// Of the file's text that is in force.
    pub(super) digest: Option<TextDigest>,
    /// Switches that the file could not take.
    pub(super) kept: KeptSwitches,
    log: log::Control,
    manager: ServiceManager,
    /// Sees when the file changes.
    pub(super) watch: FileWatch,
}

impl Reloader {
    /// For what was read first.
    pub(super) async fn new(
        loaded: &LoadedConfig,
        source: ConfigSource,
        log: log::Control,
        manager: ServiceManager,
    ) -> Self {
        let watch = FileWatch::new(loaded.path.clone(), loaded.files.clone()).await;
        let (path, digest) = (loaded.path.clone(), loaded.digest);
        Self { source: Arc::new(source), path, digest, kept: KeptSwitches::default(), log, manager, watch }
    }

    /// Puts the switches that a person has set before what the file says.
    pub(super) async fn restore_switches(
        &mut self,
        store: &dyn Switches,
        config: Config,
    ) -> Result<Config, StoreError> {
        let (kept, config) = KeptSwitches::load(store).await?.put_before(config);
        self.kept = kept;
        Ok(config)
    }

    /// The switches that the file could not take.
    pub(super) fn kept_switches(&self) -> Arc<KeptSwitches> {
        Arc::new(self.kept.clone())
    }

    /// Does what is asked, and answers.
    pub(super) async fn answer(&mut self, request: ConfigRequest, core: &mut Core, front: &mut Front) {
        match request {
            ConfigRequest::Reload(answer) => drop(answer.send(self.reload(core, front).await)),
            ConfigRequest::Switch(change, answer) => {
                drop(answer.send(self.switch(change, core, front).await));
            }
        }
    }

    /// Reads the configuration again and puts it in force. Returns what has changed, or all faults.
    pub(super) async fn reload(&mut self, core: &mut Core, front: &mut Front) -> Result<Vec<String>, String> {
        self.manager.reloading();
        let done = self.try_reload(core, front).await;
        self.manager.ready();
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
        let source = self.source.clone();
        let loaded =
            tokio::task::spawn_blocking(move || source.load()).await.map_err(|error| error.to_string())?;
        let loaded = loaded.map_err(|faults| faults.to_string())?;
        self.watch.follow(loaded.files).await;
        let before = core.context.config.clone();
        let (kept, config) = self.kept.put_before(loaded.config);
        let config = Arc::new(config);
        if let Some(fault) = changes::needs_restart(&before, &config) {
            return Err(fault.to_owned());
        }
        for warning in &loaded.warnings {
            tracing::warn!(event = "config", reason = %warning);
        }
        // What can fail comes first, and first of all what leaves no trace when it does; what follows can't.
        let ready = core.prepare(config.clone()).map_err(|error| error.to_string())?;
        let prepared = front.prepare(&config).await.map_err(|error| error.to_string())?;
        if config.control_group != before.control_group {
            let group = config.control_group.as_ref();
            socket::admit(&before.data_dir, group).map_err(|error| error.to_string())?;
        }
        if kept != self.kept {
            kept.save(&*core.context.store).await.map_err(|error| error.to_string())?;
        }
        core.reload(ready).await.map_err(|error| error.to_string())?;
        (self.kept, self.digest) = (kept, loaded.digest);
        core.kept_switches = self.kept_switches();
        front.follow(core, prepared).await;
        self.log.set(config.log);
        Ok(changes::between(&before, &config))
    }
}
