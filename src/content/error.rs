//! Why a content can't be read.

use std::io;
use std::path::{Path, PathBuf};

use super::checksum::Checksum;

/// Why a content can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// A part of it is missing, or all: it must not pass for the message.
    #[error("it has {found} octets of {len}")]
    Cut {
        /// The file, where it is in one.
        path: Option<PathBuf>,
        /// Octets that are there.
        found: u64,
        /// Octets that were stored.
        len: u64,
    },
    /// As long as it was, but not the same: something has changed octets of it.
    #[error("its octets have changed: the checksum is {found:08x}, and was {stored:08x}")]
    Altered {
        /// The file, where it is in one.
        path: Option<PathBuf>,
        /// Of what is there.
        found: u32,
        /// Of what was stored.
        stored: u32,
    },
    /// The file can't be read.
    #[error("{source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl ContentError {
    /// The file, where it is in one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Cut { path, .. } | Self::Altered { path, .. } => path.as_deref(),
            Self::Unreadable { path, .. } => Some(path),
        }
    }

    /// Whether the content is not what was stored, and will not be by itself.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Cut { .. } | Self::Altered { .. } => true,
        }
    }

    /// Looks whether octets are all that were stored, and the same.
    pub(super) fn unless_same(
        (found, checksum): (u64, impl FnOnce() -> Checksum),
        (len, stored): (u64, Option<Checksum>),
        path: Option<&Path>,
    ) -> Result<(), Self> {
        let path = || path.map(Path::to_owned);
        if found != len {
            return Err(Self::Cut { path: path(), found, len });
        }
        match stored.map(|stored| (stored, checksum())) {
            Some((Checksum(stored), Checksum(found))) if stored != found => {
                Err(Self::Altered { path: path(), found, stored })
            }
            _ => Ok(()),
        }
    }
}
