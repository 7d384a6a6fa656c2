//! Writes switches of people into the configuration file, which whoever reads it owns alone: one after the other, between
//! reloads.

use std::path::Path;

use super::core::Core;
use super::front::Front;
use super::reload::Reloader;
use crate::config::{Config, ConfigSource, FileChange, LoadedConfig, TestMode, TextDigest};
use crate::control::{KeptIn, SwitchError};
use crate::folder::{self, Replacement};

/// What became of the file.
enum FileOutcome {
    /// It says so now, and nothing in it was wrong.
    Says(Box<LoadedConfig>),
    /// It can't be written, or what it says does not count: in words.
    Unwritable(String),
}

impl Reloader {
    /// Does what a person has switched: in the file, and in force.
    ///
    /// # Errors
    /// When the file is another than the one in force, the change would make it a faulty one, or it can't be put in force.
    pub(super) async fn switch(
        &mut self,
        change: FileChange,
        core: &mut Core,
        front: &mut Front,
    ) -> Result<KeptIn, SwitchError> {
        let config = core.context.config.clone();
        let change = completed(change, core)?;
        let outcome = if says_so(&change, &config) && !self.is_kept(&change) {
            None
        } else {
            Some(self.write(change.clone()).await?)
        };
        let (kept, is_to_reload) = match outcome {
            None => (KeptIn::File, false),
            Some(FileOutcome::Says(loaded)) => {
                // Else the reload would take what it finds there for a person's edit, and say so.
                core.test_mode.saw(&loaded.config.test_mode).await?;
                (KeptIn::File, true)
            }
            Some(FileOutcome::Unwritable(why)) => {
                self.keep(&change, &config, &why, core).await?;
                (KeptIn::Store { why }, !matches!(change, FileChange::TestMode { .. }))
            }
        };
        if let FileChange::TestMode { enabled, action, address } = change {
            core.test_mode.set(enabled, action, address).await?;
        }
        if is_to_reload {
            let done = self.reload(core, front).await;
            done.map_err(|reason| SwitchError::NotInForce { reason, kept: kept.clone() })?;
        }
        core.kept_switches = self.kept_switches();
        front.show(core);
        Ok(kept)
    }

    /// Whether a switch is kept in the store that this one is about.
    fn is_kept(&self, change: &FileChange) -> bool {
        match change {
            FileChange::DefaultUpstream(name) => self.kept.default_by_command(name).is_some(),
            FileChange::UpstreamEnabled { name, .. } => self.kept.enabled_by_command(name).is_some(),
            FileChange::TestMode { .. } => false,
        }
    }

    /// Keeps in the store what the file could not take.
    async fn keep(
        &mut self,
        change: &FileChange,
        config: &Config,
        why: &str,
        core: &Core,
    ) -> Result<(), SwitchError> {
        let kept = self.kept.with(change, config, why);
        kept.save(&*core.context.store).await?;
        self.kept = kept;
        tracing::warn!(
            event = "config_not_written",
            reason = why,
            effect =
                "the switch is kept in the store, and stands before the file until that says something else"
        );
        Ok(())
    }

    /// Writes a change into the file, if there is one, that is the one in force, and stays in order with it.
    async fn write(&mut self, change: FileChange) -> Result<FileOutcome, SwitchError> {
        let (Some(path), Some(digest)) = (self.path.clone(), self.digest) else {
            return Ok(FileOutcome::Unwritable("there is no configuration file".to_owned()));
        };
        let source = self.source.clone();
        let written = tokio::task::spawn_blocking(move || write(&source, &path, digest, &change));
        written.await.map_err(|error| SwitchError::Refused(error.to_string()))?
    }
}

/// Blocks on the file system.
fn write(
    source: &ConfigSource,
    path: &Path,
    digest: TextDigest,
    change: &FileChange,
) -> Result<FileOutcome, SwitchError> {
    if let Some(variable) = change.keys().into_iter().find_map(|key| source.override_of(key)) {
        return Ok(FileOutcome::Unwritable(format!("{variable} of the environment stands before the file")));
    }
    let (full, text) = match source.text(path) {
        Ok(found) => found,
        Err(reason) => return Ok(FileOutcome::Unwritable(reason)),
    };
    let differs = || SwitchError::Differs(path.to_owned());
    if TextDigest::of(text.as_bytes()) != digest {
        return Err(differs());
    }
    let changed = match change.applied_to(&text) {
        Ok(changed) => changed,
        Err(reason) => return Ok(FileOutcome::Unwritable(format!("{}: {reason}", path.display()))),
    };
    let loaded = source.judge(path, &changed).map_err(|faults| SwitchError::Faults(faults.to_string()))?;
    if changed == text {
        return Ok(FileOutcome::Says(Box::new(loaded)));
    }
    match folder::replace_file(&full, text.as_bytes(), changed.as_bytes()) {
        Ok(Replacement::Done) => {
            let keys = change.keys().join(",");
            tracing::info!(event = "config_written", config = path.display().to_string(), changed = keys);
            Ok(FileOutcome::Says(Box::new(loaded)))
        }
        Ok(Replacement::Differs) => Err(differs()),
        Err(error) => Ok(FileOutcome::Unwritable(format!("{} can't be written ({error})", path.display()))),
    }
}

/// A change with all that the file must say for it to be whole.
fn completed(change: FileChange, core: &Core) -> Result<FileChange, SwitchError> {
    let FileChange::TestMode { enabled, action, address } = change else { return Ok(change) };
    let TestMode { action: action_there, address: address_there, .. } = &core.context.config.test_mode;
    let wanted = core.test_mode.with(enabled, action, address)?;
    Ok(FileChange::TestMode {
        enabled,
        action: (wanted.action != *action_there).then_some(wanted.action),
        address: wanted.address.filter(|address| Some(address) != address_there.as_ref()),
    })
}

/// Whether the configuration in force says that already.
fn says_so(change: &FileChange, config: &Config) -> bool {
    match change {
        FileChange::DefaultUpstream(name) => {
            config.upstreams.iter().any(|one| one.name == *name && one.default)
        }
        FileChange::UpstreamEnabled { name, enabled } => {
            config.upstreams.iter().any(|one| one.name == *name && one.enabled == *enabled)
        }
        FileChange::TestMode { enabled, action: None, address: None } => config.test_mode.enabled == *enabled,
        FileChange::TestMode { .. } => false,
    }
}
