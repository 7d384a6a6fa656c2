//! What follows the header section of a content: octets in memory, or a part of a file that is read block by block.
//!
//! Whoever reads one in a file to its end has read what was there when it was looked through, or gets an error before the last
//! block: what has changed since never passes for the whole.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::checksum::{Checksum, RunningChecksum};
use super::error::ContentError;
use crate::memory::MemoryGrant;

/// Octets of a file that are read at once. Large, since each block comes from another thread.
pub const READ_BLOCK: usize = 256 << 10;

/// What follows the header section of a content. Clones are the same body.
#[derive(Clone)]
pub struct ContentBody(BodyPlace);

#[derive(Clone)]
enum BodyPlace {
    /// All behind so many octets.
    Memory(Arc<Held>, usize),
    File(Arc<FileBody>),
}

/// Octets, and what they take of a budget.
pub(super) struct Held {
    pub(super) octets: Vec<u8>,
    pub(super) _grant: Option<MemoryGrant>,
}

/// All behind so many octets of an open file, as it was when it was looked through; at least one.
pub(super) struct FileBody {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) checksum: Checksum,
    pub(super) is_ascii: bool,
}

/// Reads a body piece by piece, one in a file on threads where that disturbs nobody.
pub struct BodyReader(ReaderPlace);

enum ReaderPlace {
    Memory {
        held: Arc<Held>,
        at: usize,
    },
    File {
        /// `None` while it reads: whoever stops in the middle of that has no use for the rest.
        walk: Option<Box<BlockWalk>>,
        /// How much of the present block was given out.
        at: usize,
    },
}

/// Some octets of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPiece<'a> {
    /// The octets; of an empty body there are none.
    pub octets: &'a [u8],
    /// Whether nothing follows; then all was there, and the same.
    pub is_last: bool,
}

/// A way through the body in a file, from its beginning to its end.
struct BlockWalk {
    body: Arc<FileBody>,
    /// Octets that were read.
    read: u64,
    checksum: RunningChecksum,
    block: Vec<u8>,
}

impl ContentBody {
    /// What is behind so many octets.
    pub(super) fn held(held: Arc<Held>, start: usize) -> Self {
        Self(BodyPlace::Memory(held, start))
    }

    pub(super) fn file(body: FileBody) -> Self {
        if body.len == 0 { Self::default() } else { Self(BodyPlace::File(Arc::new(body))) }
    }

    /// Octets of it.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            BodyPlace::Memory(held, start) => (held.octets.len() - start) as u64,
            BodyPlace::File(body) => body.len,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The octets, where they are in memory.
    #[must_use]
    pub fn octets(&self) -> Option<&[u8]> {
        match &self.0 {
            BodyPlace::Memory(held, start) => Some(&held.octets[*start..]),
            BodyPlace::File(_) => None,
        }
    }

    /// The octets with those before them, where these are in memory and so many.
    pub(super) fn with_those_before(&self, count: usize) -> Option<&[u8]> {
        match &self.0 {
            BodyPlace::Memory(held, start) if *start == count => Some(&held.octets),
            BodyPlace::Memory(..) | BodyPlace::File(_) => None,
        }
    }

    /// Whether it is ASCII alone.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        match &self.0 {
            BodyPlace::Memory(held, start) => held.octets[*start..].is_ascii(),
            BodyPlace::File(body) => body.is_ascii,
        }
    }

    /// Whether another one has the same octets. Of two in files it is known when they are the same one.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (BodyPlace::File(one), BodyPlace::File(other)) => Arc::ptr_eq(one, other),
            (BodyPlace::Memory(one, start), BodyPlace::Memory(other, other_start)) => {
                Arc::ptr_eq(one, other) && start == other_start
                    || one.octets[*start..] == other.octets[*other_start..]
            }
            _ => false,
        }
    }

    /// Reads all of it on the calling thread: one in a file may wait for the disk.
    ///
    /// # Errors
    /// Whatever `take` fails with; and when it can't be read, or is not what it was.
    pub fn each_block<E: From<ContentError>>(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let body = match &self.0 {
            BodyPlace::Memory(held, start) => return take(&held.octets[*start..]),
            BodyPlace::File(body) => body,
        };
        let mut walk = BlockWalk::new(body.clone());
        while !walk.is_over() {
            walk.advance()?;
            take(&walk.block)?;
        }
        Ok(())
    }

    /// All octets: those in memory, or read into it.
    ///
    /// # Errors
    /// When they can't be read, or are not what they were.
    pub async fn load(&self) -> Result<Cow<'_, [u8]>, ContentError> {
        if let Some(octets) = self.octets() {
            return Ok(Cow::Borrowed(octets));
        }
        let (mut octets, mut reader) = (Vec::with_capacity(self.len() as usize), self.reader());
        loop {
            let piece = reader.next(READ_BLOCK).await?;
            octets.extend_from_slice(piece.octets);
            if piece.is_last {
                return Ok(Cow::Owned(octets));
            }
        }
    }

    /// Begins to read it.
    #[must_use]
    pub fn reader(&self) -> BodyReader {
        BodyReader(match &self.0 {
            BodyPlace::Memory(held, start) => ReaderPlace::Memory { held: held.clone(), at: *start },
            BodyPlace::File(body) => {
                ReaderPlace::File { walk: Some(BlockWalk::new(body.clone()).into()), at: 0 }
            }
        })
    }
}

/// An empty one.
impl Default for ContentBody {
    fn default() -> Self {
        Self::held(Arc::new(Held { octets: Vec::new(), _grant: None }), 0)
    }
}

/// Never with the octets.
impl fmt::Debug for ContentBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match &self.0 {
            BodyPlace::Memory(..) => None,
            BodyPlace::File(body) => Some(&body.path),
        };
        f.debug_struct("ContentBody").field("len", &self.len()).field("path", &path).finish_non_exhaustive()
    }
}

impl BodyReader {
    /// The next octets, at most so many. Not to be asked behind the last ones.
    ///
    /// # Errors
    /// When they can't be read, or the body is not what it was.
    pub async fn next(&mut self, most: usize) -> Result<BodyPiece<'_>, ContentError> {
        match &mut self.0 {
            ReaderPlace::Memory { held, at } => {
                let rest = &held.octets[*at..];
                let octets = &rest[..rest.len().min(most)];
                *at += octets.len();
                Ok(BodyPiece { octets, is_last: octets.len() == rest.len() })
            }
            ReaderPlace::File { walk, at } => {
                let mut present = walk.take().ok_or_else(|| lost("its reading was broken off"))?;
                if *at == present.block.len() {
                    (present, *at) = (advanced(present).await?, 0);
                }
                let walk = walk.insert(present);
                let rest = &walk.block[*at..];
                let octets = &rest[..rest.len().min(most)];
                *at += octets.len();
                Ok(BodyPiece { octets, is_last: walk.is_over() && octets.len() == rest.len() })
            }
        }
    }
}

/// Reads the next block on a thread where that disturbs nobody.
async fn advanced(mut walk: Box<BlockWalk>) -> Result<Box<BlockWalk>, ContentError> {
    let task = tokio::task::spawn_blocking(move || walk.advance().map(|()| walk));
    task.await.map_err(lost)?
}

/// Nobody reads it any more.
fn lost(reason: impl Into<Box<dyn Error + Send + Sync>>) -> ContentError {
    ContentError::Unreadable { path: PathBuf::new(), source: io::Error::other(reason) }
}

impl BlockWalk {
    fn new(body: Arc<FileBody>) -> Self {
        Self { body, read: 0, checksum: RunningChecksum::default(), block: Vec::new() }
    }

    /// Whether the last block was read.
    fn is_over(&self) -> bool {
        self.read == self.body.len
    }

    /// Reads the next block; the last one only when all is the same.
    fn advance(&mut self) -> Result<(), ContentError> {
        let body = &*self.body;
        let wanted = (body.len - self.read).min(READ_BLOCK as u64) as usize;
        self.block.resize(wanted, 0);
        let found = fill(&body.file, body.start + self.read, &mut self.block);
        let found = found.map_err(|source| ContentError::Unreadable { path: body.path.clone(), source })?;
        self.checksum.add(&self.block[..found]);
        self.read += found as u64;
        if found < wanted || self.read == body.len {
            let checksum = || self.checksum.clone().end();
            let stored = (body.start + body.len, Some(body.checksum));
            ContentError::unless_same((body.start + self.read, checksum), stored, Some(&body.path))?;
        }
        Ok(())
    }
}

/// Reads into a buffer until it is full or the file has ended. Tells how much there was.
pub(super) fn fill(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The first so many octets of a file, or all where there are fewer.
pub(super) fn first(file: &File, most: usize) -> io::Result<Vec<u8>> {
    part(file, 0, most)
}

/// So many octets of a file from this one on, or what there is of them.
pub(super) fn part(file: &File, from: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; most];
    let found = fill(file, from, &mut octets)?;
    octets.truncate(found);
    Ok(octets)
}
