//! The lines of a configuration file.

use super::fault::SourcePlace;

/// A text, and where its lines start.
pub(super) struct Lines<'t> {
    pub(super) text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The place of an octet.
    pub(super) fn place(&self, offset: usize) -> SourcePlace {
        let line = self.number(offset);
        let start = self.start(line);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        SourcePlace::File(line, column)
    }

    /// The number of the line that an octet is in, from 1.
    pub(super) fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }

    /// Where a line starts.
    pub(super) fn start(&self, number: usize) -> usize {
        self.starts.get(number.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// A line without its end; empty when there is none.
    pub(super) fn line(&self, number: usize) -> &'t str {
        let line = &self.text[self.start(number)..self.start(number + 1)];
        line.trim_end_matches(['\n', '\r'])
    }
}
