//! A content as it goes over the wire, block by block: header section and body, dot-stuffed, and the final dot.

use crate::content::{BodyReader, ContentError, SplitContent};
use crate::smtp::dot_stuffing::Encoder;

/// Octets of content in a block; each block has its own time-out (RFC 5321 4.5.3.2.5). A small content is one block with the
/// final dot in it.
const BLOCK: usize = 32 * 1024;

/// The wire form of a content.
pub(super) struct WireForm<'a> {
    head: &'a [u8],
    body: BodyReader,
    /// `None` behind the final dot.
    encoder: Option<Encoder>,
    octets: Vec<u8>,
}

/// Some octets for the wire.
pub(super) struct WireBlock<'a> {
    pub(super) octets: &'a [u8],
    /// Whether they end with the final dot.
    pub(super) is_last: bool,
}

impl<'a> WireForm<'a> {
    pub(super) fn of(content: &'a SplitContent) -> Self {
        let most = content.len().min(BLOCK as u64) as usize;
        Self {
            head: content.head(),
            body: content.body().reader(),
            encoder: Some(Encoder::new()),
            octets: Vec::with_capacity(most + most / 16 + 8),
        }
    }

    /// The next block. Not to be asked behind the last one.
    ///
    /// # Errors
    /// When the content can't be read, or is not what it was; always before the block with the final dot.
    pub(super) async fn next(&mut self) -> Result<WireBlock<'_>, ContentError> {
        self.octets.clear();
        let mut room = BLOCK;
        while let Some(encoder) = self.encoder.as_mut().filter(|_| room > 0) {
            if self.head.is_empty() {
                let piece = self.body.next(room).await?;
                room -= piece.octets.len();
                encoder.encode(piece.octets, &mut self.octets);
                if piece.is_last
                    && let Some(encoder) = self.encoder.take()
                {
                    encoder.finish(&mut self.octets);
                }
            } else {
                let (head, rest) = self.head.split_at(self.head.len().min(room));
                self.head = rest;
                room -= head.len();
                encoder.encode(head, &mut self.octets);
            }
        }
        Ok(WireBlock { octets: &self.octets, is_last: self.encoder.is_none() })
    }
}
