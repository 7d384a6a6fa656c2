//! A signature as it is put into a part: the lines, and where they go.

use std::borrow::Cow;

use super::charset::{PartCharset, Written};
use crate::config::Signature;
use crate::mail::mime::EntityKind;

/// The line that separates a signature from the text, by custom and by RFC 3676 4.3.
const SEPARATOR: &str = "-- ";

/// What a signature says in a part of this kind, in its character set; `None` where nothing is configured for it.
pub(super) fn written(signature: &Signature, kind: &EntityKind, charset: PartCharset) -> Option<Written> {
    if kind.is("text/html") {
        let html = signature.html.as_deref().map(Cow::Borrowed);
        let html = html.or_else(|| signature.text.as_deref().map(|text| Cow::Owned(as_html(text))))?;
        return Some(charset.write_html(&with_crlf(&html)));
    }
    let text = signature.text.as_deref()?;
    let is_flowed = kind.parameter("format").is_some_and(|format| format.eq_ignore_ascii_case("flowed"));
    let text = if is_flowed { Cow::Owned(flowed(text)) } else { Cow::Borrowed(text) };
    Some(charset.write(&with_crlf(&text)))
}

fn with_crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// Text as HTML.
fn as_html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<p>{}</p>", escaped.replace('\n', "<br>\n"))
}

/// Lines that no reader flows into each other (RFC 3676 4.2, 4.4).
fn flowed(text: &str) -> String {
    let line = |line: &str| {
        let kept = if line == SEPARATOR { line } else { line.trim_end_matches(' ') };
        let is_stuffed = [" ", ">", "From "].iter().any(|beginning| kept.starts_with(beginning));
        format!("{}{kept}", if is_stuffed { " " } else { "" })
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Where a signature goes in a part that says `text`: before the end of its HTML, else to the end.
pub(super) fn place(kind: &EntityKind, text: &[u8]) -> usize {
    let is_html = kind.is("text/html");
    let end = |tag: &[u8]| {
        let starts_here =
            |at: &usize| text[*at..].get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag));
        memchr::memrchr_iter(b'<', text).find(starts_here)
    };
    if is_html { end(b"</body").or_else(|| end(b"</html")).unwrap_or(text.len()) } else { text.len() }
}

/// Whether the text has it already, right before the place where it would go. White space may have changed on the way.
pub(super) fn is_there(before: &[u8], signature: &[u8]) -> bool {
    let mut there = without_blanks_from_end(before);
    without_blanks_from_end(signature).all(|octet| there.next() == Some(octet))
}

fn without_blanks_from_end(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().rev().copied().filter(|octet| !octet.is_ascii_whitespace())
}

/// The lines to put in at `place`: the signature, below an empty line where it is plain text.
pub(super) fn lines(
    kind: &EntityKind,
    text: &[u8],
    place: usize,
    signature: &[u8],
    is_whole: bool,
) -> Vec<u8> {
    let (before, after) = text.split_at(place);
    let mut out = Vec::with_capacity(signature.len() + 6);
    if !before.is_empty() && !before.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    let is_below_text = !before.is_empty() && !kind.is("text/html");
    let has_empty_line = ["\n\n", "\n\r\n"].iter().any(|end| before.ends_with(end.as_bytes()));
    if is_below_text && !has_empty_line && !matches!(before, b"\r\n" | b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(signature);
    if !after.is_empty() || is_whole || text.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}
