//! What the reading of one configuration has found, and what it looks at.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::fault::{Finding, SourcePlace};
use crate::config::files::{self, FileText};
use crate::config::known_keys::{KnownKeys, SectionPath};
use crate::config::machine::Machine;
use crate::config::tree::Table;

/// What all sections of one configuration share.
pub(in crate::config) struct ReadContext<'a> {
    /// The surroundings.
    pub(in crate::config) machine: &'a Machine,
    /// What relative paths are relative to. Absolute.
    pub(in crate::config) folder: PathBuf,
    /// The files that were looked for in vain; empty when there is one.
    pub(in crate::config) tried: Vec<PathBuf>,
    /// Whether other users of the machine can read the file.
    pub(in crate::config) file_is_open: bool,
    pub(in crate::config) faults: RefCell<Vec<Finding>>,
    pub(in crate::config) warnings: RefCell<Vec<Finding>>,
    /// Stands in for a section that is not there.
    nothing: Table,
    /// The keys of each section that has been read.
    pub(in crate::config) known: RefCell<KnownKeys>,
    /// The keys that nobody has asked for.
    pub(in crate::config) unknown: RefCell<Vec<UnknownKey>>,
    /// The keys that must be there and are not. Some of them may be among the unknown ones.
    pub(in crate::config) missing: RefCell<Vec<MissingKey>>,
    /// The files that were read since the configuration names them.
    pub(in crate::config) files: RefCell<BTreeSet<PathBuf>>,
}

/// A key that no section knows where it stands.
pub(in crate::config) struct UnknownKey {
    pub(in crate::config) place: SourcePlace,
    pub(in crate::config) section: SectionPath,
    /// Where the section is.
    pub(in crate::config) section_place: SourcePlace,
    pub(in crate::config) key: String,
}

/// A key that must be there.
pub(in crate::config) struct MissingKey {
    /// Where its section is.
    pub(in crate::config) section_place: SourcePlace,
    pub(in crate::config) finding: Finding,
}

impl<'a> ReadContext<'a> {
    pub(in crate::config) fn new(machine: &'a Machine, folder: PathBuf, file_is_open: bool) -> Self {
        let (faults, warnings, nothing) = Default::default();
        let (known, unknown, missing) = Default::default();
        let (tried, files) = Default::default();
        Self {
            machine,
            folder,
            tried,
            file_is_open,
            faults,
            warnings,
            nothing,
            known,
            unknown,
            missing,
            files,
        }
    }

    /// Reads a file that the configuration names, of at most `most` octets.
    ///
    /// # Errors
    /// As [`files::read`].
    pub(in crate::config) fn read_file(&self, path: &Path, most: u64) -> Result<FileText, String> {
        self.files.borrow_mut().insert(path.to_owned());
        files::read(path, most)
    }

    /// The octets of such a file.
    ///
    /// # Errors
    /// As [`files::octets`].
    pub(in crate::config) fn read_octets(&self, path: &Path, most: u64) -> Result<Vec<u8>, String> {
        self.files.borrow_mut().insert(path.to_owned());
        files::octets(path, most).map(|(octets, _)| octets)
    }

    /// Stands in for a section that is not there.
    pub(super) fn nothing(&self) -> &Table {
        &self.nothing
    }
}
