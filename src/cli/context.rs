//! What all commands have in common.

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::{ApiAnswer, Client};
use super::failure::Failure;
use super::output;
use super::when::When;
use crate::config::{Config, Faults, LoadedConfig, Machine};
use crate::control::socket;

/// The global flags.
#[derive(Debug)]
pub(super) struct CliContext {
    /// `--config`
    pub(super) config: Option<PathBuf>,
    /// `--json`
    pub(super) json: bool,
}

impl CliContext {
    /// Reads the configuration, in the surroundings of this process.
    pub(super) fn load(&self) -> Result<LoadedConfig, Faults> {
        Config::load(self.config.as_deref(), &Machine::here())
    }

    /// The way to the running relay.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let loaded = self.load()?;
        Ok(Client::new(socket::path_in(&loaded.config.data_dir)))
    }

    /// Prints a reply of the relay: as it came, or as a person wants to see it.
    pub(super) fn print<T>(
        &self,
        reply: &ApiAnswer<T>,
        render: impl FnOnce(&T, &When) -> String,
    ) -> Result<(), Failure>
    where
        T: DeserializeOwned,
    {
        if self.json { output::json(&reply.raw) } else { output::text(&render(&reply.value, &When::now())) }
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
