//! The content of a message: octets in memory, or in a synced file, which is the store's own affair.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::AsyncReadExt;

use crate::mail::QueueId;
use crate::memory::MemoryGrant;

/// The content of a message, with our Received field. Clones are the same content.
///
/// One that came by an [`Upload`](crate::store::Upload) owns its file until the store answers for it: dropped before, it
/// leaves nothing behind. One that the store hands out only refers to the file.
#[derive(Clone)]
pub struct Content {
    len: u64,
    /// That of the octets as they were stored. `None`: they never left our memory, or an older version stored them.
    checksum: Option<Checksum>,
    place: Octets,
}

/// What is noted of a message whose content is not what was taken.
pub(crate) const DAMAGED: &str = "the stored content is damaged";

/// The extension of a file that is not complete yet.
pub(crate) const PART: &str = "part";

/// A content in the folder of the contents.
pub(crate) struct ContentEntry {
    pub(crate) path: PathBuf,
    pub(crate) queue_id: QueueId,
    pub(crate) is_complete: bool,
}

/// A checksum of octets (CRC-32): it finds what a disk or its cables have changed unasked, not what somebody forges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checksum(pub(crate) u32);

/// The checksum of octets that come in blocks.
#[derive(Clone, Default)]
pub(crate) struct RunningChecksum(crc32fast::Hasher);

#[derive(Clone)]
enum Octets {
    Memory(Arc<Held>),
    File(Arc<ContentFile>),
}

/// Octets, and what they take of a budget.
struct Held {
    octets: Vec<u8>,
    _grant: Option<MemoryGrant>,
}

/// A file, removed when this is dropped unless somebody else answers for it.
pub(crate) struct ContentFile {
    path: PathBuf,
    is_ours: AtomicBool,
}

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

impl Content {
    /// Octets in memory.
    #[must_use]
    pub fn memory(octets: Vec<u8>) -> Self {
        Self::held(octets, None)
    }

    /// Octets in memory that is part of a budget; it is given back with them.
    #[must_use]
    pub fn granted(octets: Vec<u8>, grant: MemoryGrant) -> Self {
        Self::held(octets, Some(grant))
    }

    fn held(octets: Vec<u8>, grant: Option<MemoryGrant>) -> Self {
        let len = octets.len() as u64;
        Self { len, checksum: None, place: Octets::Memory(Arc::new(Held { octets, _grant: grant })) }
    }

    /// Octets as they were found, of which so many with this checksum were stored.
    pub(crate) fn found(octets: Vec<u8>, len: u64, checksum: Option<Checksum>) -> Self {
        Self { len, checksum, ..Self::memory(octets) }
    }

    /// A file of so many octets with this checksum.
    pub(crate) fn file(file: ContentFile, len: u64, checksum: Option<Checksum>) -> Self {
        Self { len, checksum, place: Octets::File(Arc::new(file)) }
    }

    /// What to store as its checksum.
    pub(crate) fn checksum(&self) -> Option<Checksum> {
        self.checksum.or_else(|| self.octets().map(Checksum::of))
    }

    /// Octets of it.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "none is: it has our Received field")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The octets, where they are in memory.
    #[must_use]
    pub fn octets(&self) -> Option<&[u8]> {
        match &self.place {
            Octets::Memory(held) => Some(&held.octets),
            Octets::File(_) => None,
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// When it can't be read, or is not what it was when it was stored.
    pub async fn read(&self) -> Result<Vec<u8>, ContentError> {
        let octets = match &self.place {
            Octets::Memory(held) => held.octets.clone(),
            Octets::File(file) => tokio::fs::read(&file.path).await.map_err(|source| file.fault(source))?,
        };
        self.verify(&octets)?;
        Ok(octets)
    }

    /// Whether these are all of its octets, as they were stored.
    fn verify(&self, octets: &[u8]) -> Result<(), ContentError> {
        let (path, found) = (|| self.path().map(Path::to_owned), octets.len() as u64);
        if found != self.len {
            return Err(ContentError::Cut { path: path(), found, len: self.len });
        }
        match self.checksum.map(|stored| (stored, Checksum::of(octets))) {
            Some((Checksum(stored), Checksum(found))) if stored != found => {
                Err(ContentError::Altered { path: path(), found, stored })
            }
            _ => Ok(()),
        }
    }

    /// Reads the first so many octets, or all where there are fewer; all are looked at whether they have changed.
    ///
    /// # Errors
    /// When its file can't be read, or all of it was read and has changed.
    pub async fn beginning(&self, most: u64) -> Result<Vec<u8>, ContentError> {
        let octets = match &self.place {
            Octets::Memory(held) => {
                let end = held.octets.len().min(usize::try_from(most).unwrap_or(usize::MAX));
                held.octets[..end].to_vec()
            }
            Octets::File(file) => file.beginning(most).await?,
        };
        if octets.len() as u64 == self.len {
            self.verify(&octets)?;
        }
        Ok(octets)
    }

    /// Looks at its file, on a thread where that disturbs nobody.
    ///
    /// # Errors
    /// When it has no file, or that can't be read.
    pub async fn examine<T: Send + 'static>(
        &self,
        look: impl FnOnce(std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ContentError> {
        let path = self.path().map(Path::to_owned).unwrap_or_default();
        let file = path.clone();
        let looked = tokio::task::spawn_blocking(move || look(std::fs::File::open(file)?)).await;
        let looked = looked.map_err(io::Error::other).flatten();
        looked.map_err(|source| ContentError::Unreadable { path, source })
    }

    /// The store answers for the file from now on: dropping the content does not remove it. For stores.
    pub fn keep(&self) {
        if let Octets::File(file) = &self.place {
            file.is_ours.store(false, Ordering::Release);
        }
    }

    /// The store has not taken it after all: removes the file at once, whoever else may still refer to it.
    pub(crate) async fn discard(&self) {
        if let Octets::File(file) = &self.place {
            file.is_ours.store(false, Ordering::Release);
            file.log_removal(tokio::fs::remove_file(&file.path).await);
        }
    }

    fn path(&self) -> Option<&Path> {
        match &self.place {
            Octets::Memory(_) => None,
            Octets::File(file) => Some(&file.path),
        }
    }
}

/// The contents in a folder, by the names of their files; whatever else lies there is none.
pub(crate) fn entries(folder: &Path) -> impl Iterator<Item = ContentEntry> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|file| {
        let path = file.path();
        let is_complete = match path.extension() {
            None => true,
            Some(extension) if extension == PART => false,
            Some(_) => return None,
        };
        let queue_id = QueueId::parse(path.file_stem()?.to_str()?).ok()?;
        Some(ContentEntry { path, queue_id, is_complete })
    })
}

impl Checksum {
    /// That of these octets.
    pub(crate) fn of(octets: &[u8]) -> Self {
        Self(crc32fast::hash(octets))
    }
}

impl RunningChecksum {
    /// Goes on with these octets.
    pub(crate) fn add(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// That of all octets.
    pub(crate) fn end(self) -> Checksum {
        Checksum(self.0.finalize())
    }
}

impl ContentFile {
    /// A file that is removed when this is dropped.
    pub(crate) fn ours(path: PathBuf) -> Self {
        Self { path, is_ours: AtomicBool::new(true) }
    }

    /// A file that the store answers for.
    pub(crate) fn stored(path: PathBuf) -> Self {
        Self { path, is_ours: AtomicBool::new(false) }
    }

    /// The folder that it is in.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.path.parent()
    }

    /// Gives the file another name, which nothing else has yet.
    pub(crate) fn rename(&mut self, path: PathBuf) -> io::Result<()> {
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        std::fs::rename(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    async fn beginning(&self, most: u64) -> Result<Vec<u8>, ContentError> {
        let mut octets = Vec::new();
        let read = async {
            let mut start = tokio::fs::File::open(&self.path).await?.take(most);
            start.read_to_end(&mut octets).await
        };
        read.await.map_err(|source| self.fault(source))?;
        Ok(octets)
    }

    fn log_removal(&self, removed: io::Result<()>) {
        if let Err(error) = removed {
            tracing::warn!(event = "content_not_removed", path = %self.path.display(), reason = %error);
        }
    }

    fn fault(&self, source: io::Error) -> ContentError {
        ContentError::Unreadable { path: self.path.clone(), source }
    }
}

impl Drop for ContentFile {
    fn drop(&mut self) {
        if *self.is_ours.get_mut() {
            self.log_removal(std::fs::remove_file(&self.path));
        }
    }
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
}

/// Never with the octets, which are nobody's business but the recipients'.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("len", &self.len).field("path", &self.path()).finish_non_exhaustive()
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        (self.len, self.path(), self.octets()) == (other.len, other.path(), other.octets())
    }
}

impl Eq for Content {}
