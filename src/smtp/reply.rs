//! Replies (RFC 5321 4.2) with their enhanced status codes (RFC 3463).

use std::fmt;

/// A reply: a basic code, an enhanced status code where there is one, and one or more lines of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The basic code, 200 to 599.
    pub code: u16,
    /// The enhanced status code (class, subject, detail).
    pub status: Option<(u8, u16, u16)>,
    /// The text, without codes; at least one line.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply with one line and an enhanced status code.
    #[must_use]
    pub fn new(code: u16, status: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self { code, status: Some(status), lines: vec![text.into()] }
    }

    /// A reply without enhanced status code, as for the greeting, EHLO and 354 (RFC 2034 4).
    #[must_use]
    pub fn bare(code: u16, lines: Vec<String>) -> Self {
        Self { code, status: None, lines }
    }
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
