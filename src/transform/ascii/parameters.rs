//! Values with parameters, such as those of Content-Type, in ASCII (RFC 2231).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::mail::lexical::{inside, outside};

/// Octets of an encoded value in one piece at most, so that a line has room for it (RFC 2231 3).
const PIECE: usize = 54;
/// All that is encoded: more than must be (RFC 2231 7).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The value with those of its parameters encoded that are not ASCII; `None` when something else is not.
pub(super) fn to_ascii(value: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    for piece in pieces(value) {
        let piece = piece.trim_ascii();
        if piece.is_ascii() {
            out.push(String::from_utf8_lossy(piece).into_owned());
            continue;
        }
        let equals = piece.iter().position(|&b| b == b'=')?;
        let name = std::str::from_utf8(piece[..equals].trim_ascii()).ok().filter(|name| is_plain(name))?;
        out.extend(encoded(name, &unquoted(piece[equals + 1..].trim_ascii())));
    }
    Some(out.join("; "))
}

/// Whether it is the name of a parameter that may be encoded: not by RFC 2231 already, and not what delimits the parts.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !name.eq_ignore_ascii_case("boundary")
}

/// What stands between the semicolons that are in no quoted string.
fn pieces(value: &[u8]) -> Vec<&[u8]> {
    let ends = outside(value).filter(|(_, b)| *b == b';').map(|(at, _)| at).chain([value.len()]);
    let mut start = 0;
    ends.map(|end| &value[std::mem::replace(&mut start, end + 1)..end]).collect()
}

/// A value without its quotes.
fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else { return value.to_vec() };
    let is_folding = |b: u8, is_escaped: bool| !is_escaped && (b == b'\r' || b == b'\n');
    let octets = inside(inner.strip_suffix(b"\"").unwrap_or(inner));
    octets.filter(|&(b, is_escaped)| !is_folding(b, is_escaped)).map(|(b, _)| b).collect()
}

/// A parameter as RFC 2231 writes it, in several pieces when it is long.
fn encoded(name: &str, value: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(value).ok();
    let percent = |octets: &[u8]| percent_encode(octets, RESERVED).to_string();
    let characters: Vec<String> = match text {
        Some(text) => text.chars().map(|c| percent(c.encode_utf8(&mut [0; 4]).as_bytes())).collect(),
        None => value.iter().map(|b| percent(std::slice::from_ref(b))).collect(),
    };
    let mut all = vec![format!("{}''", text.map_or("", |_| "utf-8"))];
    // Readers decode each piece for itself, so none parts a character.
    for character in characters {
        match all.last_mut().filter(|last| last.len() + character.len() <= PIECE) {
            Some(last) => last.push_str(&character),
            None => all.push(character),
        }
    }
    match &all[..] {
        [only] => vec![format!("{name}*={only}")],
        several => several.iter().enumerate().map(|(i, piece)| format!("{name}*{i}*={piece}")).collect(),
    }
}
