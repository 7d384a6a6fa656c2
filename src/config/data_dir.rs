//! The data folder alone, for commands that only talk to the relay: they need nothing else of the configuration, and are
//! to work when its secrets are not at hand or its file is broken.

use std::path::{Path, PathBuf};

use super::fault::Faults;
use super::load::{self, ConfigFile};
use super::machine::Machine;
use super::overrides::{self, PREFIX};
use super::reader::{ReadContext, Section};
use super::sections::top;
use super::tree::{self, Table};

const WRITE_FOLDER: &str =
    "name the relay's folder by --data-dir or MAILSLUICE__DATA_DIR, or another file by --config";

/// Where the relay keeps its data, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    /// The folder. Absolute.
    pub path: PathBuf,
    /// The configuration files that were looked for in vain, when neither file nor anybody else names the folder.
    pub tried: Vec<PathBuf>,
}

impl DataDir {
    /// The folder that [`Config::load`](super::Config::load) would find, whatever else is wrong with the configuration:
    /// by [`Machine::data_dir`], else by `MAILSLUICE__DATA_DIR`, else by that one key of the file, else its usual place.
    ///
    /// # Errors
    /// When the file must be asked and can't be read, or its key is faulty.
    pub fn find(path: Option<&Path>, machine: &Machine) -> Result<Self, Faults> {
        let variable = format!("{PREFIX}DATA_DIR");
        let own = machine.environment.get_key_value(&variable);
        let is_named = machine.data_dir.is_some() || own.is_some();
        let (file, tried) = match load::find(path, machine) {
            ConfigFile::At(file) => (Some(file), Vec::new()),
            ConfigFile::Nowhere(tried) => (None, if is_named { Vec::new() } else { tried }),
        };
        let mut tree = match &file {
            Some(file) if !is_named => {
                tree::parse_readable(&String::from_utf8_lossy(&load::octets(file, machine, WRITE_FOLDER)?.0))
            }
            _ => Table::default(),
        };
        let environment = own.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        overrides::apply(&mut tree, &environment);
        let full = file.as_ref().map(|file| machine.working_folder.join(file));
        let folder = full.as_deref().and_then(Path::parent).unwrap_or(&machine.working_folder);
        let context = ReadContext::new(machine, folder.to_owned(), false);
        let path = top::data_dir(&mut Section::root(&context, &tree));
        let name = file.map(|file| file.display().to_string());
        let faults = context.faults.take();
        if faults.is_empty() {
            return Ok(Self { path, tried });
        }
        Err(load::faults(&faults, &[], name.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn machine(folder: &Path, variables: &[(&str, &str)]) -> Machine {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let usual_files = vec!["etc/m.toml".into()];
        Machine { environment: variables.iter().map(own).collect(), usual_files, ..Machine::bare(folder) }
    }

    #[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
    fn write(folder: &Path, text: &str) {
        std::fs::create_dir_all(folder.join("etc")).unwrap();
        std::fs::write(folder.join("etc/m.toml"), text).unwrap();
    }

    #[test]
    fn whatever_is_wrong_with_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let own = |path: &str| folder.path().join(path);
        let there = machine(folder.path(), &[]);
        for (file, want) in [
            ("data_dir = \"x\"\n[[upstream]]\npassword = { env = \"NOT_SET\" }\n", "etc/x"),
            ("data_dir = \"../y\"\nhostname = \n[log\nlevel = \"loud\"\n", "y"),
            ("hostname = relay\ndata_dir = \"z\"\n", "etc/z"),
            ("password = { file = \"/gone\" }\n", "etc/data"),
        ] {
            write(folder.path(), file);
            let found = DataDir::find(None, &there).unwrap();
            assert_eq!((found.path, found.tried.len()), (own(want), 0), "{file}");
            assert!(Config::load(None, &there).is_err(), "{file}");
        }
        write(folder.path(), "data_dir = 7\n");
        let fault = DataDir::find(None, &there).unwrap_err().to_string();
        assert!(fault.starts_with("etc/m.toml:1:12: data_dir: is a whole number"), "{fault}");
    }

    #[test]
    fn the_nearest_word_counts() {
        let folder = tempfile::tempdir().unwrap();
        let own = |path: &str| folder.path().join(path);
        let variable = [("MAILSLUICE__DATA_DIR", "by-variable")];
        let bare = DataDir::find(None, &machine(folder.path(), &[])).unwrap();
        assert_eq!(bare, DataDir { path: own("data"), tried: vec![own("etc/m.toml")] });
        let found = |machine: &Machine| DataDir::find(None, machine).unwrap().path;
        assert_eq!(found(&machine(folder.path(), &variable)), own("by-variable"));
        write(folder.path(), "data_dir = \"by-file\"\n");
        assert_eq!(found(&machine(folder.path(), &variable)), own("etc/by-variable"));
        let flag = Machine { data_dir: Some("flag".into()), ..machine(folder.path(), &variable) };
        assert_eq!(found(&flag), own("flag"));
        let gone = Some(Path::new("gone.toml"));
        assert_eq!(DataDir::find(gone, &flag).unwrap().path, own("flag"));
        let fault = DataDir::find(gone, &machine(folder.path(), &[])).unwrap_err().to_string();
        assert!(fault.ends_with(WRITE_FOLDER), "{fault}");
    }
}
