//! Replies (RFC 5321 4.2) with their enhanced status codes (RFC 3463).

use std::fmt;

/// The longest reply line that we write, CRLF included (RFC 5321 4.5.3.1.5), in octets.
const MAX_LINE: usize = 512;

/// Class, subject and detail of an enhanced status code (RFC 3463 2).
pub type EnhancedStatus = (u8, u16, u16);

/// A reply: a basic code, an enhanced status code where there is one, and one or more lines of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The basic code, 200 to 599.
    pub code: u16,
    /// The enhanced status code (class, subject, detail).
    pub status: Option<EnhancedStatus>,
    /// The text, without codes; at least one line.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply with one line and an enhanced status code.
    #[must_use]
    pub fn new(code: u16, status: EnhancedStatus, text: impl Into<String>) -> Self {
        Self { code, status: Some(status), lines: vec![text.into()] }
    }

    /// A reply without enhanced status code, as for the greeting, EHLO and 354 (RFC 2034 4).
    #[must_use]
    pub fn bare(code: u16, lines: Vec<String>) -> Self {
        Self { code, status: None, lines }
    }

    /// Reads a reply as its `Display` writes it: `550 5.1.1 no such user`. `None` for any other text.
    #[must_use]
    pub fn shown(text: &str) -> Option<Self> {
        let (code, rest) = text.split_at_checked(3)?;
        let is_code = code.bytes().all(|digit| digit.is_ascii_digit()) && ("200".."600").contains(&code);
        let rest = match rest.as_bytes().first() {
            None => "",
            Some(b' ' | b'-') => &rest[1..],
            Some(_) => return None,
        };
        let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = status_in(first);
        let text = if status.is_some() { text } else { rest };
        is_code.then(|| Self { code: code.parse().unwrap_or_default(), status, lines: vec![text.to_owned()] })
    }

    /// Whether it says that the command was done (2yz, RFC 5321 4.2.1).
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// Whether it asks for more (3yz).
    #[must_use]
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// Whether it is a transient failure (4yz).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// Whether it is a permanent failure (5yz).
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The reply as it goes over the wire (RFC 5321 4.2.1): each line with the code, the enhanced status code and
    /// CRLF. Whatever the text holds, it stays one reply: control characters become `?`, long lines are cut.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(64 * self.lines.len().max(1));
        let last = self.lines.len().saturating_sub(1);
        if self.lines.is_empty() {
            self.push_line(&mut wire, ' ', "");
        }
        for (index, text) in self.lines.iter().enumerate() {
            self.push_line(&mut wire, if index == last { ' ' } else { '-' }, text);
        }
        wire
    }

    /// The whole text in one line and in lower case, to look for words in.
    #[must_use]
    pub fn lower_text(&self) -> String {
        self.lines.join(" ").to_lowercase()
    }

    fn push_line(&self, wire: &mut Vec<u8>, separator: char, text: &str) {
        let status = self
            .status
            .map_or(String::new(), |(class, subject, detail)| format!("{class}.{subject}.{detail} "));
        let mut line = format!("{}{separator}{status}", self.code);
        for c in text.chars().map(|c| if c.is_control() { '?' } else { c }) {
            if line.len() + c.len_utf8() + 2 > MAX_LINE {
                break;
            }
            line.push(c);
        }
        wire.extend_from_slice(line.as_bytes());
        wire.extend_from_slice(b"\r\n");
    }
}

/// The enhanced status code that a word is, if it is one (RFC 3463 2).
fn status_in(word: &str) -> Option<EnhancedStatus> {
    let mut parts = word.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let is_sound = parts.next().is_none()
        && ["2", "4", "5"].contains(&class)
        && [subject, detail].into_iter().all(is_number);
    if !is_sound {
        return None;
    }
    Some((class.parse().ok()?, subject.parse().ok()?, detail.parse().ok()?))
}

/// The reply in one line, as the log and `queue show` have it: `550 5.1.1 no such user`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some((class, subject, detail)) = self.status {
            write!(f, " {class}.{subject}.{detail}")?;
        }
        write!(f, " {}", self.lines.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_replies() {
        let multi =
            Reply { code: 550, status: Some((5, 7, 1)), lines: vec!["not here".into(), "go away".into()] };
        let greeting = Reply::bare(220, vec!["mx.firm.example ESMTP".into()]);
        for (reply, want) in [
            (Reply::new(250, (2, 0, 0), "OK"), "250 2.0.0 OK\r\n"),
            (multi, "550-5.7.1 not here\r\n550 5.7.1 go away\r\n"),
            (greeting, "220 mx.firm.example ESMTP\r\n"),
            (Reply::bare(354, Vec::new()), "354 \r\n"),
            (Reply::new(550, (5, 1, 1), "a\r\n250 OK\0\u{85}"), "550 5.1.1 a??250 OK??\r\n"),
        ] {
            assert_eq!(String::from_utf8(reply.to_wire()).unwrap(), want);
        }
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let wire = Reply::new(550, (5, 1, 1), "ü".repeat(600)).to_wire();
        assert!(wire.len() <= MAX_LINE && wire.len() > MAX_LINE - 3);
        assert!(std::str::from_utf8(&wire).unwrap().ends_with("ü\r\n"));
    }

    #[test]
    fn reads_what_it_shows() {
        for reply in [
            Reply::new(550, (5, 1, 1), "no such user"),
            Reply::new(550, (5, 1, 1), ""),
            Reply::new(421, (4, 7, 650), "a 5.1.1 b"),
            Reply::bare(554, vec!["no mail".into()]),
            Reply::bare(354, vec![String::new()]),
        ] {
            assert_eq!(Reply::shown(&reply.to_string()), Some(reply));
        }
        assert_eq!(Reply::shown("550"), Some(Reply::bare(550, vec![String::new()])));
        assert_eq!(Reply::shown("550 5.1 x"), Some(Reply::bare(550, vec!["5.1 x".into()])));
        for other in ["", "55", "5500 x", "abc x", "at AUTH: 535 no", "999 x", "199 x", "5\u{fc}0 x", "550x"]
        {
            assert_eq!(Reply::shown(other), None, "{other}");
        }
    }

    #[test]
    fn knows_its_class() {
        let class = |code| {
            let reply = Reply::bare(code, vec![String::new()]);
            [reply.is_positive(), reply.is_intermediate(), reply.is_transient(), reply.is_permanent()]
        };
        assert_eq!(class(250), [true, false, false, false]);
        assert_eq!(class(354), [false, true, false, false]);
        assert_eq!(class(421), [false, false, true, false]);
        assert_eq!(class(554), [false, false, false, true]);
    }
}
