//! What can be told of a line that is no command: whom a faulty MAIL or RCPT was about, and lines that a web browser
//! sends.

use super::path::WHITE;

/// So much of a path is kept, in characters: a little more than the longest that is valid (RFC 5321 4.5.3.1.3).
const MAX_PATH: usize = 320;

/// Whom a line was about, as far as it can be read. The text is what the client sent: escape it where it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// MAIL, with this path.
    Sender(String),
    /// RCPT, with this path.
    Recipient(String),
}

impl About {
    /// Looks at a line without its end. `None` when it is neither MAIL nor RCPT.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(&line[..line.len().min(8 * MAX_PATH)]);
        let text = text.trim_start_matches(WHITE);
        let (verb, argument) = text.split_at_checked(4)?;
        let path = || path(argument);
        match verb.to_ascii_uppercase().as_str() {
            "MAIL" => Some(Self::Sender(path())),
            "RCPT" => Some(Self::Recipient(path())),
            _ => None,
        }
    }
}

/// What stands behind the colon, up to the bracket that closes it, or else to the first space.
fn path(argument: &str) -> String {
    let rest = argument.split_once(':').map_or(argument, |(_, rest)| rest).trim_matches(WHITE);
    let path = match rest.strip_prefix('<') {
        Some(inside) => inside.split_once('>').map_or(inside, |(path, _)| path),
        None => rest.split(WHITE).next().unwrap_or_default(),
    };
    path.chars().take(MAX_PATH).collect()
}

/// Whether a line is one of an HTTP request (RFC 9112 3, 3.2): a web page can make a browser post to us, and what it
/// posts must not run as commands.
pub(super) fn is_http(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 10] =
        [b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH", b"TRACE", b"HOST:"];
    let line = line.trim_ascii();
    let verb = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let version = line.rsplit(|&b| b == b' ').next().filter(|last| last.len() < line.len());
    METHODS.iter().any(|method| verb.eq_ignore_ascii_case(method))
        || version.is_some_and(|last| last.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/1.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_whom_a_faulty_line_was_about() {
        for (line, want) in [
            (&b"MAIL FROM:<a b@c> SIZE=x"[..], Some(About::Sender("a b@c".into()))),
            (b"mail from: a@b FOO", Some(About::Sender("a@b".into()))),
            (b"MAIL FROM:<>", Some(About::Sender(String::new()))),
            (b"MAIL", Some(About::Sender(String::new()))),
            (b" RCPT TO:<\xff\x1b@b", Some(About::Recipient("\u{fffd}\u{1b}@b".into()))),
            (b"RCPT <a@b>", Some(About::Recipient("a@b".into()))),
            (b"NOOP", None),
            (b"", None),
        ] {
            assert_eq!(About::read(line), want, "{}", line.escape_ascii());
        }
        let long = [&b"RCPT TO:<"[..], &[b'x'; 9000]].concat();
        assert_eq!(About::read(&long), Some(About::Recipient("x".repeat(MAX_PATH))));
    }

    #[test]
    fn knows_a_browser() {
        for line in [
            "POST / HTTP/1.1",
            "get /",
            "OPTIONS * HTTP/1.1",
            "FOO / http/1.0",
            " POST",
            "Host: 127.0.0.1:25",
        ] {
            assert!(is_http(line.as_bytes()), "{line}");
        }
        for line in
            ["HTTP/1.1", "MAIL FROM:<get@b>", "NOOP GET", "EHLO post", "", "POSTMASTER", "EHLO http/1"]
        {
            assert!(!is_http(line.as_bytes()), "{line}");
        }
    }
}
