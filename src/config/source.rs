//! Where a configuration came from, for reading it again.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Config, Faults, LoadedConfig, Machine, files, load, overrides};

/// Where a configuration came from: its file, if it has one, and the surroundings of the process.
pub struct ConfigSource {
    file: Option<PathBuf>,
    machine: Box<dyn Fn() -> Machine + Send + Sync>,
}

/// The surroundings may hold secrets.
impl fmt::Debug for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigSource").field("file", &self.file).finish_non_exhaustive()
    }
}

impl ConfigSource {
    /// A file, or the one that [`Config::load`] finds, and the surroundings, which are looked at each time.
    #[must_use]
    pub fn new(file: Option<PathBuf>, machine: impl Fn() -> Machine + Send + Sync + 'static) -> Self {
        Self { file, machine: Box::new(machine) }
    }

    /// Reads the configuration. Blocks on the file system.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<LoadedConfig, Faults> {
        Config::load(self.file.as_deref(), &(self.machine)())
    }

    /// Reads a text as if it stood in the file at `path`, exactly as [`load`](Self::load) would. Blocks on the file system.
    ///
    /// # Errors
    /// All faults at once.
    pub fn judge(&self, path: &Path, text: &str) -> Result<LoadedConfig, Faults> {
        Config::judge(path, text, &(self.machine)())
    }

    /// The text of the file at `path`, and where that is. Blocks on the file system.
    ///
    /// # Errors
    /// In words, when it can't be read, is no plain file, is too long or is not UTF-8.
    pub fn text(&self, path: &Path) -> Result<(PathBuf, String), String> {
        let path = (self.machine)().working_folder.join(path);
        let text = files::read(&path, load::LONGEST)?.text;
        Ok((path, text))
    }

    /// The variable of the environment that stands before what the file says of a key.
    #[must_use]
    pub fn override_of(&self, key: &str) -> Option<String> {
        let variable = overrides::variable(key);
        (self.machine)().environment.contains_key(&variable).then_some(variable)
    }
}
