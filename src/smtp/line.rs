//! Finds command lines in a stream of octets. No I/O: the caller keeps the octets, this keeps the place.

use super::Reply;
use crate::config::Newlines;

/// The longest command line without its end, in octets. RFC 5321 4.5.3.1.4 asks for 512 and more with extensions.
pub const MAX_LINE: usize = 4096;
/// The longest line of a login without its end: the AUTH command, and answers to its challenges (RFC 4954 4).
pub const MAX_AUTH_LINE: usize = 12_288;

/// Searches a buffer for the end of the next command line.
#[derive(Debug)]
pub struct LineReader {
    newlines: Newlines,
    /// How many octets at the buffer's start are known to hold no LF.
    searched: usize,
    /// The line is too long already; what follows up to its end is thrown away.
    discarding: bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// No line end yet: read more.
    More,
    /// A line without its end.
    Command(&'a [u8]),
    /// A line that ended, but can't be taken; as much of it as is still known.
    Faulty(LineError, &'a [u8]),
}

/// Why a line is refused. It is the client's fault, and the reply is 500 5.5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line is longer than the limit.
    #[error("line too long")]
    TooLong,
    /// The line ended with a bare LF, and the configuration refuses that.
    #[error("a line ends with CR LF, not with LF alone")]
    BareNewline,
}

impl LineError {
    /// What the client is told.
    #[must_use]
    pub fn reply(self) -> Reply {
        Reply::new(500, (5, 5, 2), self.to_string())
    }
}

impl LineReader {
    /// A reader at the start of a line. `newlines` tells whether a bare LF ends a command line.
    #[must_use]
    pub fn new(newlines: Newlines) -> Self {
        Self { newlines, searched: 0, discarding: false }
    }

    /// Looks at the octets that wait, and returns what was found with the number of octets that are used up.
    ///
    /// The caller removes the used octets and gives the rest again, with more behind it. At most [`MAX_LINE`]
    /// octets are ever left unused, or [`MAX_AUTH_LINE`] where the line begins with AUTH.
    pub fn take<'a>(&mut self, input: &'a [u8]) -> (Line<'a>, usize) {
        let verb = input.trim_ascii_start().get(..4);
        let is_auth = verb.is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH"));
        self.find(input, if is_auth { MAX_AUTH_LINE } else { MAX_LINE })
    }

    /// The same for the answer to a challenge, whatever it begins with.
    pub fn take_answer<'a>(&mut self, input: &'a [u8]) -> (Line<'a>, usize) {
        self.find(input, MAX_AUTH_LINE)
    }

    /// Forgets the line that has begun: the octets before it are gone (RFC 3207 4.2).
    pub fn restart(&mut self) {
        (self.searched, self.discarding) = (0, false);
    }

    fn find<'a>(&mut self, input: &'a [u8], limit: usize) -> (Line<'a>, usize) {
        let known = self.searched.min(input.len());
        let Some(end) = memchr::memchr(b'\n', &input[known..]).map(|i| known + i) else {
            return (Line::More, self.wait(input.len(), limit));
        };
        self.searched = 0;
        let too_long = std::mem::take(&mut self.discarding);
        let line = &input[..end];
        let (line, bare) = line.strip_suffix(b"\r").map_or((line, true), |line| (line, false));
        let found = if too_long || line.len() > limit {
            Line::Faulty(LineError::TooLong, &[])
        } else if bare && self.newlines == Newlines::Reject {
            Line::Faulty(LineError::BareNewline, line)
        } else {
            Line::Command(line)
        };
        (found, end + 1)
    }

    /// Notes that there is no line end yet; returns how many octets can be thrown away.
    fn wait(&mut self, length: usize, limit: usize) -> usize {
        // The CR of the line end may be among them already.
        self.discarding |= length > limit + 1;
        self.searched = if self.discarding { 0 } else { length };
        if self.discarding { length } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the input in pieces and notes what came out.
    fn lines(input: &[u8], piece: usize, newlines: Newlines) -> Vec<Result<Vec<u8>, LineError>> {
        let mut reader = LineReader::new(newlines);
        let (mut waiting, mut found) = (Vec::new(), Vec::new());
        for piece in input.chunks(piece) {
            waiting.extend_from_slice(piece);
            loop {
                let (line, used) = reader.take(&waiting);
                let more = line == Line::More;
                match line {
                    Line::More => {}
                    Line::Command(line) => found.push(Ok(line.to_vec())),
                    Line::Faulty(error, _) => found.push(Err(error)),
                }
                waiting.drain(..used);
                if more {
                    break;
                }
            }
            assert!(waiting.len() <= MAX_AUTH_LINE + 1);
        }
        found
    }

    #[test]
    fn splits_lines_however_they_arrive() {
        let input = b"EHLO a\r\nNOOP\nMAIL\rFROM\r\n\r\nNOOP\r\r\nrest";
        let want: Vec<Result<Vec<u8>, LineError>> =
            [&b"EHLO a"[..], b"NOOP", b"MAIL\rFROM", b"", b"NOOP\r"].map(|l| Ok(l.to_vec())).into();
        for piece in 1..input.len() {
            assert_eq!(lines(input, piece, Newlines::Normalize), want, "{piece}");
        }
    }

    #[test]
    fn a_bare_newline_can_be_refused() {
        let found = lines(b"NOOP\nNOOP\r\n", 3, Newlines::Reject);
        assert_eq!(found, [Err(LineError::BareNewline), Ok(b"NOOP".to_vec())]);
    }

    #[test]
    fn a_login_may_be_longer() {
        let login = |octets: usize| [b" auth ", vec![b'x'; octets - 6].as_slice(), b"\r\n"].concat();
        let longest = login(MAX_AUTH_LINE);
        for piece in [1, 1000, 4096, 20_000] {
            let found = lines(&[&longest[..], b"NOOP\r\n"].concat(), piece, Newlines::Normalize);
            assert_eq!(found, [Ok(longest[..MAX_AUTH_LINE].to_vec()), Ok(b"NOOP".to_vec())], "{piece}");
            let found = lines(&login(MAX_AUTH_LINE + 1), piece, Newlines::Normalize);
            assert_eq!(found, [Err(LineError::TooLong)], "{piece}");
        }
    }

    #[test]
    fn an_answer_may_be_as_long() {
        let mut reader = LineReader::new(Newlines::Normalize);
        let mut input = vec![b'x'; MAX_AUTH_LINE];
        assert_eq!(reader.take_answer(&input), (Line::More, 0));
        input.extend_from_slice(b"\r\nNOOP");
        assert_eq!(reader.take_answer(&input), (Line::Command(&input[..MAX_AUTH_LINE]), MAX_AUTH_LINE + 2));
    }

    #[test]
    fn a_line_that_is_too_long_is_answered_once() {
        let longest = vec![b'x'; MAX_LINE];
        let mut input = longest.clone();
        input.extend_from_slice(b"\r\n");
        input.extend(vec![b'y'; MAX_LINE + 1]);
        input.extend_from_slice(b"\r\n");
        input.extend(vec![b'z'; 10 * MAX_LINE]);
        input.extend_from_slice(b"\r\nNOOP\r\n");
        for piece in [1, 7, 1000, 4097, 100_000] {
            let found = lines(&input, piece, Newlines::Normalize);
            let want =
                [Ok(longest.clone()), Err(LineError::TooLong), Err(LineError::TooLong), Ok(b"NOOP".to_vec())];
            assert_eq!(found, want, "{piece}");
        }
    }
}
