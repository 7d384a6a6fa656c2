//! Lists of mailboxes (RFC 5322 3.4) in ASCII.
//!
//! A mailbox whose local part is not ASCII has no address that a server without SMTPUTF8 knows: it becomes an empty group
//! that is named after it (RFC 6857 3.1.8), or inside of a group a comment.

use std::mem::take;

use crate::mail::Address;
use crate::mail::lexical::{comment, inside, quoted_string};
use crate::transform::encoded_words::{encode, encode_words, is_encoded_word};

/// The list in ASCII; what is so already stays, but for its white space.
pub(super) fn to_ascii(value: &[u8]) -> String {
    let mut writer = ListWriter::default();
    let mut rest = value;
    while let Some((token, after)) = next(rest) {
        writer.take(token);
        rest = after;
    }
    writer.end_element("");
    writer.out.join(" ")
}

#[derive(Clone, Copy)]
enum Token<'a> {
    /// One of `,` `;` `:` `<` `>`.
    Mark(u8),
    /// What stands in parentheses, without them.
    Comment(&'a [u8]),
    /// A run of octets without white space; quoted strings and literals in it are whole.
    Word(&'a [u8]),
}

/// The first token, and what follows it.
fn next(text: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let text = text.trim_ascii_start();
    let first = *text.first()?;
    Some(match first {
        b',' | b';' | b':' | b'<' | b'>' => (Token::Mark(first), &text[1..]),
        b'(' => {
            let end = comment(text).unwrap_or(text.len());
            (Token::Comment(text[1..end].strip_suffix(b")").unwrap_or(&text[1..end])), &text[end..])
        }
        _ => {
            let end = word_end(text);
            (Token::Word(&text[..end]), &text[end..])
        }
    })
}

/// Where the word ends that begins the text. It is never empty.
fn word_end(text: &[u8]) -> usize {
    let mut at = 0;
    let mut literal = false;
    while let Some(&b) = text.get(at) {
        match b {
            b'"' => {
                at += quoted_string(&text[at..]).unwrap_or(text.len() - at);
                continue;
            }
            b'[' => literal = true,
            b']' => literal = false,
            _ if literal => {}
            b',' | b';' | b':' | b'<' | b'>' | b'(' => break,
            b if b.is_ascii_whitespace() => break,
            _ => {}
        }
        at += 1;
    }
    at.clamp(1, text.len())
}

#[derive(Default)]
struct ListWriter<'a> {
    out: Vec<String>,
    /// The words of the present element that stand outside of angle brackets.
    words: Vec<&'a [u8]>,
    /// What stands between its angle brackets, once they have come.
    angle: Option<Vec<u8>>,
    comments: Vec<&'a [u8]>,
    in_angle: bool,
    in_group: bool,
}

impl<'a> ListWriter<'a> {
    fn take(&mut self, token: Token<'a>) {
        match token {
            Token::Comment(text) => self.comments.push(text),
            Token::Mark(b'<') => {
                self.in_angle = true;
                self.angle = Some(Vec::new());
            }
            Token::Mark(b'>') => self.in_angle = false,
            // A route (RFC 5322 4.4), which nobody goes by any more.
            Token::Mark(b':') if self.in_angle => self.angle = Some(Vec::new()),
            Token::Mark(_) if self.in_angle => {}
            Token::Mark(b':') => {
                let name = phrase(&take(&mut self.words));
                self.out.push(format!("{name}:"));
                self.in_group = true;
            }
            Token::Mark(b';') => {
                self.end_element(";");
                self.in_group = false;
            }
            Token::Mark(_) => self.end_element(","),
            Token::Word(word) => match self.angle.as_mut().filter(|_| self.in_angle) {
                Some(angle) => angle.extend_from_slice(word),
                None => self.words.push(word),
            },
        }
    }

    /// Writes the element that ends here, with the mark behind it.
    fn end_element(&mut self, mark: &str) {
        let (words, angle) = (take(&mut self.words), take(&mut self.angle));
        self.in_angle = false;
        let mut element = match angle {
            Some(inner) => self.mailbox(&phrase(&words), &inner, true),
            None if words.iter().any(|word| word.contains(&b'@')) => {
                if words.iter().all(|word| word.is_ascii()) {
                    String::from_utf8_lossy(&words.join(&b' ')).into_owned()
                } else {
                    self.mailbox("", &words.concat(), false)
                }
            }
            None => phrase(&words),
        };
        for comment in take(&mut self.comments) {
            push_word(&mut element, &comment_of(comment));
        }
        match self.out.last_mut().filter(|_| element.is_empty()) {
            Some(last) => last.push_str(mark),
            None => self.out.push(element + mark),
        }
    }

    /// A mailbox with its display name, which is ASCII already.
    fn mailbox(&self, name: &str, inner: &[u8], in_brackets: bool) -> String {
        let mut element = name.to_owned();
        let known = if inner.is_ascii() {
            Some(String::from_utf8_lossy(inner).into_owned())
        } else {
            let address = std::str::from_utf8(inner).ok().and_then(|text| Address::parse(text).ok());
            address.and_then(|address| address.without_smtputf8().map(std::borrow::Cow::into_owned))
        };
        match known {
            Some(address) if in_brackets => push_word(&mut element, &format!("<{address}>")),
            Some(address) => push_word(&mut element, &address),
            // Without the display name: what is left of an element in a group is a comment alone.
            None if self.in_group => element = comment_of(inner),
            None => {
                push_word(&mut element, &encode(inner).join(" "));
                element.push_str(" :;");
            }
        }
        element
    }
}

fn push_word(text: &mut String, word: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
}

/// A comment in ASCII (RFC 2047 5).
fn comment_of(text: &[u8]) -> String {
    let inner = if text.is_ascii() {
        String::from_utf8_lossy(text).into_owned()
    } else {
        encode(&unescaped(text)).join(" ")
    };
    format!("({inner})")
}

/// Words that are a display name, or the name of a group: as they are where they are ASCII, else all of them as encoded
/// words (RFC 2047 5).
fn phrase(words: &[&[u8]]) -> String {
    if words.iter().all(|word| word.is_ascii()) {
        return String::from_utf8_lossy(&words.join(&b' ')).into_owned();
    }
    // Encoded words that stand here already would be shown as they are written, inside of another.
    encode_words(words.iter().copied(), is_encoded_word, unescaped).join(" ")
}

/// A word without quotes, and without what escapes an octet (RFC 5322 3.2.1, 3.2.4).
fn unescaped(word: &[u8]) -> Vec<u8> {
    let goes = |b: u8, is_escaped: bool| !is_escaped && b"\"\r\n".contains(&b);
    inside(word).filter(|&(b, is_escaped)| !goes(b, is_escaped)).map(|(b, _)| b).collect()
}
