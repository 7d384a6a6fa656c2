//! Reads the replies of an upstream from the octets as they arrive.
//!
//! An upstream is not trusted: everything has a cap, any octets may stand in the text, and what is no reply is an
//! error instead of a guess. A bare LF as line end is met kindly, since nothing depends on it.

use std::collections::VecDeque;

use memchr::memchr;

use super::{EnhancedStatus, Reply};

/// The longest line of a reply, in octets. RFC 5321 4.5.3.1.5 says 512; real servers write more.
const MAX_LINE: usize = 2048;
/// The most lines in one reply.
const MAX_LINES: usize = 128;
/// The most octets in one reply.
const MAX_REPLY: usize = 64 * 1024;

/// Why what the upstream said is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// A line does not begin with a code from 200 to 599 and a space or hyphen.
    #[error("a line without a valid reply code")]
    NoCode,
    /// The lines of one reply carry different codes (RFC 5321 4.2.1).
    #[error("one reply with the codes {first} and {then}")]
    CodesDiffer {
        /// On the first line.
        first: u16,
        /// On a later line.
        then: u16,
    },
    /// A line is longer than our cap.
    #[error("a reply line of more than {MAX_LINE} octets")]
    LineTooLong,
    /// The reply is longer than our caps.
    #[error("a reply of more than {MAX_LINES} lines or {MAX_REPLY} octets")]
    TooLong,
}

/// Collects octets and gives back whole replies.
#[derive(Debug, Default)]
pub struct ReplyParser {
    buffer: VecDeque<u8>,
    reply: Option<Reply>,
    octets: usize,
    failed: Option<ReplyError>,
}

impl ReplyParser {
    /// A parser that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what arrived. Call [`next`](Self::next) until it gives `None` before more is pushed: that bounds the
    /// memory.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend(octets);
    }

    /// Whether something has arrived that no reply has used yet. After the reply to STARTTLS there must be nothing.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        !self.buffer.is_empty() || self.reply.is_some()
    }

    /// The next whole reply, or `None` when more octets are needed.
    ///
    /// # Errors
    /// When it is no reply or beyond a cap. The dialogue can't go on then: every later call fails, too.
    #[expect(clippy::should_implement_trait, reason = "`None` does not mean the end here")]
    pub fn next(&mut self) -> Result<Option<Reply>, ReplyError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.advance().inspect_err(|&error| self.failed = Some(error)),
        }
    }

    fn advance(&mut self) -> Result<Option<Reply>, ReplyError> {
        while let Some(line) = self.take_line()? {
            self.octets += line.len() + 2;
            let (code, last, text) = split_line(&line)?;
            self.add(code, text)?;
            if last {
                self.octets = 0;
                return Ok(self.reply.take());
            }
        }
        Ok(None)
    }

    /// A whole line without its end.
    fn take_line(&mut self) -> Result<Option<Vec<u8>>, ReplyError> {
        let octets = self.buffer.make_contiguous();
        let window = &octets[..octets.len().min(MAX_LINE)];
        let Some(end) = memchr(b'\n', window) else {
            return if window.len() == MAX_LINE { Err(ReplyError::LineTooLong) } else { Ok(None) };
        };
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    /// Adds one line to the reply under way.
    fn add(&mut self, code: u16, text: &[u8]) -> Result<(), ReplyError> {
        let reply = self.reply.get_or_insert_with(|| Reply::bare(code, Vec::new()));
        if reply.code != code {
            return Err(ReplyError::CodesDiffer { first: reply.code, then: code });
        }
        if reply.lines.len() == MAX_LINES || self.octets > MAX_REPLY {
            return Err(ReplyError::TooLong);
        }
        let (status, text) = split_status(code, text);
        // Every line repeats the status code (RFC 2034 4); one that differs stays in the text, where people see it.
        if status.is_some() && (reply.status.is_none() || reply.status == status) {
            reply.status = status;
            reply.lines.push(readable(text.1));
        } else {
            reply.lines.push(readable(text.0));
        }
        Ok(())
    }
}

/// Code, whether it is the last line, and the text.
fn split_line(line: &[u8]) -> Result<(u16, bool, &[u8]), ReplyError> {
    let digits = line.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or(ReplyError::NoCode)?;
    let code = digits.iter().fold(0, |code, d| code * 10 + u16::from(d - b'0'));
    if !(200..=599).contains(&code) {
        return Err(ReplyError::NoCode);
    }
    match line.get(3) {
        None => Ok((code, true, b"")),
        Some(b' ') => Ok((code, true, &line[4..])),
        Some(b'-') => Ok((code, false, &line[4..])),
        Some(_) => Err(ReplyError::NoCode),
    }
}

/// The enhanced status code at the start of a text, when its class is that of the basic code (RFC 2034 4); the whole
/// text, and the text after it.
fn split_status(code: u16, text: &[u8]) -> (Option<EnhancedStatus>, (&[u8], &[u8])) {
    let end = memchr(b' ', text).unwrap_or(text.len());
    let rest = text.get(end + 1..).unwrap_or_default();
    match parse_status(&text[..end]) {
        Some(status) if u16::from(status.0) == code / 100 && status.0 != 3 => (Some(status), (text, rest)),
        _ => (None, (text, rest)),
    }
}

/// `class.subject.detail`, of one to three digits each (RFC 3463 2).
#[must_use]
pub fn parse_status(word: &[u8]) -> Option<EnhancedStatus> {
    let mut numbers = word.split(|&b| b == b'.').map(|part| {
        let well_formed = (1..=3).contains(&part.len()) && part.iter().all(u8::is_ascii_digit);
        well_formed.then(|| part.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
    });
    let status = (numbers.next()??, numbers.next()??, numbers.next()??);
    let class = u8::try_from(status.0).ok()?;
    numbers.next().is_none().then_some((class, status.1, status.2))
}

/// Text that can be shown: what is no UTF-8 is replaced, and so are control characters and line separators. They are
/// not escaped: that is done where the text leaves.
fn readable(text: &[u8]) -> String {
    let harmless = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { '?' } else { c };
    String::from_utf8_lossy(text).chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(input: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let mut parser = ReplyParser::new();
        parser.push(input);
        parser.next()
    }

    #[test]
    fn reads_replies() {
        for (input, code, status, lines) in [
            (&b"250 OK\r\n"[..], 250, None, vec!["OK"]),
            (b"250 2.1.5 OK\r\n", 250, Some((2, 1, 5)), vec!["OK"]),
            (b"250\r\n", 250, None, vec![""]),
            (b"250 \n", 250, None, vec![""]),
            (b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", 550, Some((5, 1, 1)), vec!["no", "such user"]),
            (b"550-sorry\r\n550 5.1.1 gone\r\n", 550, Some((5, 1, 1)), vec!["sorry", "gone"]),
            (b"550-5.1.1 a\r\n550 5.7.1 b\r\n", 550, Some((5, 1, 1)), vec!["a", "5.7.1 b"]),
            (b"550 4.1.1 odd\r\n", 550, None, vec!["4.1.1 odd"]),
            (b"450 5.1.1\r\n", 450, None, vec!["5.1.1"]),
            (b"550 5.7.750\r\n", 550, Some((5, 7, 750)), vec![""]),
            (b"550 5.1 x\r\n", 550, None, vec!["5.1 x"]),
            (b"550 5.1.1.1 x\r\n", 550, None, vec!["5.1.1.1 x"]),
            (b"550 5.1111.1 x\r\n", 550, None, vec!["5.1111.1 x"]),
            (b"354 3.0.0 go\r\n", 354, None, vec!["3.0.0 go"]),
            (b"550 \xff\x1b[1m\r \t\r\n", 550, None, vec!["\u{fffd}?[1m? ?"]),
        ] {
            let want = Reply { code, status, lines: lines.into_iter().map(str::to_owned).collect() };
            assert_eq!(parse(input), Ok(Some(want)), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn refuses_what_is_no_reply() {
        let long_line = [&b"250 "[..], &[b'a'; 3000]].concat();
        let many_lines = b"250-a\r\n".repeat(129);
        let huge = [&b"250-"[..], &[b'a'; 2000], b"\r\n"].concat().repeat(40);
        for (input, want) in [
            (&b"hello\r\n"[..], ReplyError::NoCode),
            (b"\r\n", ReplyError::NoCode),
            (b"25\r\n", ReplyError::NoCode),
            (b"199 x\r\n", ReplyError::NoCode),
            (b"600 x\r\n", ReplyError::NoCode),
            (b"2500 x\r\n", ReplyError::NoCode),
            (b"250_x\r\n", ReplyError::NoCode),
            (b"250-a\r\n251 b\r\n", ReplyError::CodesDiffer { first: 250, then: 251 }),
            (b"250-a\r\nb\r\n", ReplyError::NoCode),
            (&long_line, ReplyError::LineTooLong),
            (&many_lines, ReplyError::TooLong),
            (&huge, ReplyError::TooLong),
        ] {
            assert_eq!(parse(input), Err(want), "{}", input[..input.len().min(40)].escape_ascii());
        }
    }

    #[test]
    fn an_error_lasts() {
        let mut parser = ReplyParser::new();
        parser.push(b"oops\r\n250 OK\r\n");
        assert_eq!(parser.next(), Err(ReplyError::NoCode));
        assert_eq!(parser.next(), Err(ReplyError::NoCode));
    }

    #[test]
    fn knows_what_is_left_over() {
        let mut parser = ReplyParser::new();
        parser.push(b"220 go ahead\r\n250 injected\r\n");
        assert_eq!(parser.next().unwrap().unwrap().code, 220);
        assert!(parser.has_rest());
        assert_eq!(parser.next().unwrap().unwrap().code, 250);
        assert!(!parser.has_rest());
    }

    proptest! {
        #[test]
        fn any_octets_in_any_pieces(input in proptest::collection::vec(any::<u8>(), 0..400), piece in 1usize..40) {
            let mut parser = ReplyParser::new();
            for part in input.chunks(piece) {
                parser.push(part);
                while let Ok(Some(reply)) = parser.next() {
                    prop_assert!((200..=599).contains(&reply.code) && !reply.lines.is_empty());
                    prop_assert!(!reply.to_string().chars().any(char::is_control));
                }
            }
        }

        #[test]
        fn what_we_write_we_read(code in 200u16..600, texts in proptest::collection::vec("[a-z <>@ü]{0,60}", 1..5), piece in 1usize..9) {
            let reply = Reply::bare(code, texts);
            let mut parser = ReplyParser::new();
            let mut got = None;
            for part in reply.to_wire().chunks(piece) {
                parser.push(part);
                got = got.or(parser.next().unwrap());
            }
            prop_assert_eq!(got, Some(reply));
        }
    }
}
