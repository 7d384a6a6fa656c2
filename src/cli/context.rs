//! What all commands have in common.

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::at_rest::RelayAtRest;
use super::client::{ApiAnswer, Client};
use super::failure::Failure;
use super::output;
use super::viewer::Viewer;
use crate::config::{Config, ConfigSource, DataDir, Faults, LoadedConfig, Machine};
use crate::control::socket;

/// The global flags.
#[derive(Debug)]
pub(super) struct CliContext {
    /// `--config`
    pub(super) config: Option<PathBuf>,
    /// `--data-dir`
    pub(super) data_dir: Option<PathBuf>,
    /// `--json`
    pub(super) json: bool,
}

impl CliContext {
    /// Reads the configuration, in the surroundings of this process.
    pub(super) fn load(&self) -> Result<LoadedConfig, Faults> {
        Config::load(self.config.as_deref(), &self.machine())
    }

    /// Where what was loaded came from, for reading it again.
    pub(super) fn source(&self, loaded: &LoadedConfig) -> ConfigSource {
        let file = loaded.path.clone().or_else(|| self.config.clone());
        let data_dir = self.data_dir.clone();
        ConfigSource::new(file, move || Machine { data_dir: data_dir.clone(), ..Machine::here() })
    }

    /// The surroundings of this process, and what its flags say of them.
    pub(super) fn machine(&self) -> Machine {
        Machine { data_dir: self.data_dir.clone(), ..Machine::here() }
    }

    /// The way to the running relay. Nothing of the configuration is asked but where its data is.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let found = DataDir::find(self.config.as_deref(), &self.machine())?;
        let data_dir = self.data_dir.clone();
        let surroundings = move || Machine { data_dir: data_dir.clone(), ..Machine::here() };
        let source = ConfigSource::new(self.config.clone(), surroundings);
        let at_rest = RelayAtRest::new(source, found.path.clone());
        Ok(Client::new(socket::path_in(&found.path), found.tried, at_rest))
    }

    /// Prints a reply of the relay: as it came, or as a person wants to see it.
    pub(super) fn print<T>(
        &self,
        reply: &ApiAnswer<T>,
        render: impl FnOnce(&T, &Viewer) -> String,
    ) -> Result<(), Failure>
    where
        T: DeserializeOwned,
    {
        if self.json {
            return output::json(&reply.raw);
        }
        let viewer = Viewer::now();
        let mut text = render(&reply.value, &viewer);
        let zone = viewer.zone_line();
        if !zone.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        output::text(&(text + &zone))
    }

    /// Prints something of our own in either form.
    pub(super) fn print_value<T: Serialize>(&self, value: &T, text: &str) -> Result<(), Failure> {
        if self.json {
            let raw = serde_json::to_string(value).map_err(|error| Failure::Failed(error.into()))?;
            return output::json(&raw);
        }
        output::text(text)
    }
}
