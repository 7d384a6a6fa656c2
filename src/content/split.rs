//! A content taken apart: the header section in memory, where it can be changed, and the body where it lies.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::body::{ContentBody, FileBody, Held, READ_BLOCK, fill};
use super::checksum::{Checksum, RunningChecksum};
use super::error::ContentError;
use crate::mail::header;

/// The longest header section that is taken apart from a body in a file, in octets.
pub const LONGEST_HEAD: usize = 64 << 10;

/// A content as header section and body. Clones share the body.
#[derive(Debug, Clone, Default)]
pub struct SplitContent {
    head: Vec<u8>,
    body: ContentBody,
}

impl SplitContent {
    /// Of octets in memory.
    #[must_use]
    pub fn memory(octets: Vec<u8>) -> Self {
        Self::held(Arc::new(Held { octets, _grant: None }))
    }

    pub(super) fn held(held: Arc<Held>) -> Self {
        let start = header::end(&held.octets).unwrap_or(held.octets.len());
        Self { head: held.octets[..start].to_vec(), body: ContentBody::held(held, start) }
    }

    /// The header section with the empty line behind it, where there is one.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// What follows it.
    #[must_use]
    pub fn body(&self) -> &ContentBody {
        &self.body
    }

    /// The same body behind another header section.
    #[must_use]
    pub fn with_head(self, head: Vec<u8>) -> Self {
        Self { head, body: self.body }
    }

    /// Octets of both.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.body.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all is ASCII.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.head.is_ascii() && self.body.is_ascii()
    }

    /// All octets, where the body is in memory.
    #[must_use]
    pub fn octets(&self) -> Option<Cow<'_, [u8]>> {
        let body = self.body.octets()?;
        let whole = self.body.with_those_before(self.head.len());
        Some(match whole.filter(|whole| whole.starts_with(&self.head)) {
            Some(whole) => Cow::Borrowed(whole),
            None => Cow::Owned([&self.head, body].concat()),
        })
    }

    /// Takes apart what is in a file, of which so many octets with this checksum were stored. All of it is looked at, on the
    /// calling thread. `None` when the header section is longer than [`LONGEST_HEAD`].
    ///
    /// # Errors
    /// When it can't be read, or is not what was stored.
    pub(super) fn look_through(
        path: &Path,
        len: u64,
        stored: Option<Checksum>,
    ) -> Result<Option<Self>, ContentError> {
        let unreadable = |source| ContentError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let mut block = vec![0; len.clamp(1, READ_BLOCK as u64) as usize];
        let mut filled = fill(&file, 0, &mut block).map_err(unreadable)?;
        let all_is_here = filled < block.len() || filled as u64 == len;
        let start = header::end(&block[..filled]).or_else(|| all_is_here.then_some(filled));
        let Some(start) = start.filter(|&start| start <= LONGEST_HEAD) else { return Ok(None) };
        let head = block[..start].to_vec();
        let (mut all, mut body) = (RunningChecksum::default(), RunningChecksum::default());
        all.add(&head);
        let (mut found, mut is_ascii, mut of_body) = (0, true, start);
        while filled > 0 {
            body.add(&block[of_body..filled]);
            is_ascii &= block[of_body..filled].is_ascii();
            found += filled as u64;
            of_body = 0;
            filled = fill(&file, found, &mut block).map_err(unreadable)?;
        }
        all.join(&body);
        ContentError::unless_same((found, || all.end()), (len, stored), Some(path))?;
        let body = FileBody {
            path: path.to_owned(),
            start: start as u64,
            len: len - start as u64,
            checksum: body.end(),
            is_ascii,
            file,
        };
        Ok(Some(Self { head, body: ContentBody::file(body) }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::content::BodyPiece;

    /// A file with these octets.
    fn file(octets: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(octets).unwrap();
        file
    }

    fn look(octets: &[u8], stored: &[u8]) -> Result<Option<SplitContent>, ContentError> {
        let checksum = Some(Checksum::of(stored));
        SplitContent::look_through(file(octets).path(), stored.len() as u64, checksum)
    }

    /// All of a body by pieces, the way that the wire reads it.
    async fn read(split: &SplitContent, most: usize) -> Vec<u8> {
        let (mut all, mut reader) = (Vec::new(), split.body().reader());
        loop {
            let BodyPiece { octets, is_last } = reader.next(most).await.unwrap();
            assert!(octets.len() <= most);
            all.extend_from_slice(octets);
            if is_last {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn both_places_are_alike() {
        let large = [b"A: b\r\n\r\n", &b"0123456789\r\n".repeat(50_000)[..]].concat();
        for content in [
            &b"A: b\r\n\r\nbody\r\n"[..],
            b"A: b\r\n\r\n",
            b"A: b\r\n",
            b"\r\nbody",
            b"",
            b"A: \xe9\r\n\r\nbody",
            b"A: b\r\n\r\nb\xf6dy",
            &large,
        ] {
            let (here, there) =
                (SplitContent::memory(content.to_vec()), look(content, content).unwrap().unwrap());
            assert_eq!((here.head(), here.len()), (there.head(), there.len()));
            assert_eq!((here.is_ascii(), here.body().len()), (there.is_ascii(), there.body().len()));
            assert_eq!(here.is_ascii(), content.is_ascii());
            assert_eq!(here.octets().unwrap(), content);
            for most in [7, 4096, usize::MAX] {
                let both = (read(&here, most).await, read(&there, most).await);
                assert_eq!(both.0, both.1);
                assert_eq!([here.head(), &both.0].concat(), content);
            }
            let mut walked = Vec::new();
            let walk = there.body().each_block(|block| {
                walked.extend_from_slice(block);
                Ok::<_, ContentError>(())
            });
            walk.unwrap();
            assert_eq!(*walked, *here.body().load().await.unwrap());
            assert_eq!(*walked, *there.body().load().await.unwrap());
        }
    }

    #[test]
    fn what_is_not_as_it_was_stored_is_found() {
        let large = [b"A: b\r\n\r\n", &b"0123456789\r\n".repeat(50_000)[..]].concat();
        let mut changed = large.clone();
        changed[400_000] ^= 1;
        let error = |found: &[u8]| look(found, &large).unwrap_err();
        assert!(matches!(error(&large[..300_000]), ContentError::Cut { found: 300_000, .. }));
        assert!(matches!(error(b""), ContentError::Cut { found: 0, .. }));
        assert!(matches!(error(&[&large[..], b"x"].concat()), ContentError::Cut { .. }));
        assert!(matches!(error(&changed), ContentError::Altered { .. }));
        let gone = SplitContent::look_through(Path::new("/nowhere/at/all"), 3, None).unwrap_err();
        assert!(gone.is_damage());
    }

    #[test]
    fn a_header_section_without_end_is_not_held() {
        let long = [&b"A: b\r\n".repeat(LONGEST_HEAD / 6 + 1)[..], b"\r\nbody\r\n"].concat();
        assert!(look(&long, &long).unwrap().is_none());
        assert!(look(&b"x".repeat(LONGEST_HEAD + 1), &b"x".repeat(LONGEST_HEAD + 1)).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn taken_apart_it_is_the_same(octets in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'a'), any::<u8>()], 0..60)) {
            let split = SplitContent::memory(octets.clone());
            prop_assert_eq!(&*split.octets().unwrap(), &octets[..]);
            let moved = split.clone().with_head([b"B: c\r\n", split.head()].concat());
            prop_assert_eq!(&*moved.octets().unwrap(), &[b"B: c\r\n", &octets[..]].concat()[..]);
            prop_assert!(moved.body().is_same(split.body()));
        }
    }
}
