//! The content of a message: octets in memory, or in a synced file, which is the store's own affair.

mod body;
mod checksum;
mod error;
mod file;
mod split;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use body::{BodyPiece, BodyReader, ContentBody, READ_BLOCK};
pub(crate) use checksum::{Checksum, RunningChecksum};
pub use error::ContentError;
pub(crate) use file::{ContentEntry, ContentFile, PART, entries};
pub use split::{LONGEST_HEAD, SplitContent};

use body::{Held, first, part};

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

#[derive(Clone)]
enum Octets {
    Memory(Arc<Held>),
    File(Arc<ContentFile>),
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
        match &self.place {
            Octets::Memory(held) => {
                self.verify(&held.octets)?;
                Ok(held.octets.clone())
            }
            Octets::File(_) => self.read_file().await,
        }
    }

    /// Takes it apart, with the body in memory.
    ///
    /// # Errors
    /// When it can't be read, or is not what it was when it was stored.
    pub async fn load(&self) -> Result<SplitContent, ContentError> {
        match &self.place {
            Octets::Memory(held) => {
                self.verify(&held.octets)?;
                Ok(SplitContent::held(held.clone()))
            }
            Octets::File(_) => Ok(SplitContent::memory(self.read_file().await?)),
        }
    }

    /// Takes it apart, with the body where it lies. All of it is looked at. `None` when it is in a file and its header section
    /// longer than [`LONGEST_HEAD`].
    ///
    /// # Errors
    /// When it can't be read, or is not what it was when it was stored.
    pub async fn split(&self) -> Result<Option<SplitContent>, ContentError> {
        let Some(path) = self.path().map(Path::to_owned) else { return self.load().await.map(Some) };
        let (len, checksum, file) = (self.len, self.checksum, path.clone());
        let task = tokio::task::spawn_blocking(move || SplitContent::look_through(&file, len, checksum));
        task.await.map_err(|error| ContentError::Unreadable { path, source: io::Error::other(error) })?
    }

    async fn read_file(&self) -> Result<Vec<u8>, ContentError> {
        // What is longer shows itself by one octet more.
        let most = usize::try_from(self.len.saturating_add(1)).unwrap_or(usize::MAX);
        let octets = self.examine(move |file| first(&file, most)).await?;
        self.verify(&octets)?;
        Ok(octets)
    }

    /// Whether these are all of its octets, as they were stored.
    fn verify(&self, octets: &[u8]) -> Result<(), ContentError> {
        let found = (octets.len() as u64, || Checksum::of(octets));
        ContentError::unless_same(found, (self.len, self.checksum), self.path())
    }

    /// Reads the first so many octets, or all where there are fewer; all are looked at whether they have changed.
    ///
    /// # Errors
    /// When its file can't be read, or all of it was read and has changed.
    pub async fn beginning(&self, most: u64) -> Result<Vec<u8>, ContentError> {
        let most = usize::try_from(most.min(self.len.saturating_add(1))).unwrap_or(usize::MAX);
        let octets = match &self.place {
            Octets::Memory(held) => held.octets[..held.octets.len().min(most)].to_vec(),
            Octets::File(_) => self.examine(move |file| first(&file, most)).await?,
        };
        if octets.len() as u64 == self.len {
            self.verify(&octets)?;
        }
        Ok(octets)
    }

    /// So many octets of its file, or what there is of them, from this one on. They are not looked at whether they have changed.
    ///
    /// # Errors
    /// When it has no file, or that can't be read.
    pub async fn block(&self, from: u64, most: usize) -> Result<Vec<u8>, ContentError> {
        self.examine(move |file| part(&file, from, most)).await
    }

    /// Looks whether another content, which was made of this one, is what this was when it was stored.
    ///
    /// # Errors
    /// When this one was cut or altered before it was read.
    pub fn ensure_same(&self, copy: &Self) -> Result<(), ContentError> {
        let found = (copy.len, || copy.checksum().unwrap_or_else(|| Checksum::of(&[])));
        ContentError::unless_same(found, (self.len, self.checksum), self.path())
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
            file.leave();
        }
    }

    /// The store has not taken it after all: removes the file at once, whoever else may still refer to it.
    pub(crate) async fn discard(&self) {
        if let Octets::File(file) = &self.place {
            file.remove().await;
        }
    }

    fn path(&self) -> Option<&Path> {
        match &self.place {
            Octets::Memory(_) => None,
            Octets::File(file) => Some(file.path()),
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
