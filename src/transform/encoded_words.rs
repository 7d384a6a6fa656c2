//! Encoded words (RFC 2047).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Octets of text in one encoded word; with the frame and base 64 it stays within 75 (RFC 2047 2).
const UTF8_OCTETS: usize = 42;
/// The same where the character set has a longer name.
const UNKNOWN_OCTETS: usize = 36;

/// A text as encoded words, none of which parts a character. What is no UTF-8 is of a character set that nobody knows
/// (RFC 1428).
pub(super) fn encode(text: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    if let Ok(mut rest) = std::str::from_utf8(text) {
        while !rest.is_empty() {
            let (word, after) = rest.split_at(rest.floor_char_boundary(UTF8_OCTETS));
            words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
            rest = after;
        }
    } else {
        let pieces = text.chunks(UNKNOWN_OCTETS);
        words.extend(pieces.map(|piece| format!("=?unknown-8bit?B?{}?=", STANDARD.encode(piece))));
    }
    words
}

/// Words of which some stay as they are; the text of all others becomes encoded words.
pub(super) fn encode_words<'a>(
    words: impl Iterator<Item = &'a [u8]>,
    stays: impl Fn(&[u8]) -> bool,
    text: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    // White space between encoded words is not shown (RFC 2047 6.2), so it is encoded with what stands beside it.
    let mut open: Vec<u8> = Vec::new();
    let mut after_encoded = false;
    for word in words {
        if stays(word) {
            after_encoded = is_encoded_word(word);
            if after_encoded && !open.is_empty() {
                open.push(b' ');
            }
            out.extend(encode(&std::mem::take(&mut open)));
            out.push(String::from_utf8_lossy(word).into_owned());
        } else {
            if !open.is_empty() || after_encoded {
                open.push(b' ');
            }
            after_encoded = false;
            open.extend(text(word));
        }
    }
    out.extend(encode(&open));
    out
}

pub(super) fn is_encoded_word(word: &[u8]) -> bool {
    word.starts_with(b"=?") && word.ends_with(b"?=")
}

/// Unstructured text (RFC 5322 2.2.1): words that are not ASCII become encoded words, all others stay.
pub(super) fn unstructured(text: &[u8]) -> Vec<String> {
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    encode_words(words, <[u8]>::is_ascii, <[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_be_is_encoded() {
        let long = "\u{fc}".repeat(60);
        for (text, want) in [
            (&b" Order 12\r\n"[..], "Order 12"),
            ("Gr\u{fc}\u{df}e an alle".as_bytes(), "=?utf-8?B?R3LDvMOfZQ==?= an alle"),
            ("a \u{fc} \u{fc} b".as_bytes(), "a =?utf-8?B?w7wgw7w=?= b"),
            ("=?utf-8?Q?x?= \u{fc}".as_bytes(), "=?utf-8?Q?x?= =?utf-8?B?IMO8?="),
            ("\u{fc} =?utf-8?Q?x?=".as_bytes(), "=?utf-8?B?w7wg?= =?utf-8?Q?x?="),
            (b"\xfc", "=?unknown-8bit?B?/A==?="),
            (b"", ""),
        ] {
            assert_eq!(unstructured(text).join(" "), want, "{text:?}");
        }
        let words = unstructured(long.as_bytes());
        assert!(words.len() == 3 && words.iter().all(|word| word.len() <= 75), "{words:?}");
    }
}
