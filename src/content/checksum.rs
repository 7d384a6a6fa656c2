//! Checksums of contents.

/// A checksum of octets (CRC-32): it finds what a disk or its cables have changed unasked, not what somebody forges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checksum(pub(crate) u32);

/// The checksum of octets that come in blocks.
#[derive(Clone, Default)]
pub(crate) struct RunningChecksum(crc32fast::Hasher);

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

    /// Goes on with the octets of another one.
    pub(crate) fn join(&mut self, behind: &Self) {
        self.0.combine(&behind.0);
    }

    /// That of all octets.
    pub(crate) fn end(self) -> Checksum {
        Checksum(self.0.finalize())
    }
}
