//! The test redirect: a message goes to the test address instead of its recipients, in its header too.
//!
//! Some upstreams deliver by the header, and some take orders from it, so no field that is sent may keep an original
//! recipient: but for free text, and for who has written the message.

mod originals;

use originals::Originals;

use super::encoded_words::encode;
use crate::mail::Address;
use crate::mail::address_list::{ListScanner, is_address_list};
use crate::mail::destinations::{FieldRole, remove_blind_copies, role};
use crate::mail::header::{Field, FieldChange, Fields, Header, MAX_LINE, fold};

/// What the subject of a redirected message begins with.
const PREFIX: &str = "[TEST]";
/// All names that originals are kept under begin so.
const ORIGINAL: &str = "X-Mailsluice-Original-";
/// Octets of an original name that are kept at most.
const MAX_NAME: usize = 100;

/// Makes the header that of a test: see the module.
pub(super) fn redirect(header: &mut Header<'_>, recipients: &[Address], test: &Address) {
    let originals = Originals::of(header, recipients, test);
    remove_blind_copies(header);
    let mut kept = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    let mut subject = false;
    let reserved = ORIGINAL.to_ascii_lowercase();
    header.map(|field| {
        if field.careless_name().starts_with(reserved.as_bytes()) {
            return FieldChange::Remove;
        }
        match role(field) {
            FieldRole::Destination(name) => {
                kept.push(keep(&format!("{ORIGINAL}{name}"), field));
                if done.contains(&name) {
                    return FieldChange::Remove;
                }
                done.push(name);
                FieldChange::Replace(fold(name, test.as_str().as_bytes()))
            }
            FieldRole::Text if field.is("Subject") => {
                subject = true;
                FieldChange::Replace(prefixed(field))
            }
            FieldRole::Originator | FieldRole::Text => FieldChange::Keep,
            FieldRole::Other if !originals.is_in(field) => FieldChange::Keep,
            FieldRole::Other | FieldRole::Control | FieldRole::Blind => {
                if let Some(trace) = originals.left_out_of_trace(field) {
                    return FieldChange::Replace(trace);
                }
                kept.push(keep(&original_name(field), field));
                FieldChange::Remove
            }
        }
    });
    if !subject {
        header.append("Subject", format!("{PREFIX} (no subject)").as_bytes());
    }
    for field in kept {
        header.append_raw(field);
    }
    header.append(&format!("{ORIGINAL}Recipients"), list(recipients).as_bytes());
}

/// The name under which a field is kept, as far as it can be read.
fn original_name(field: &Field<'_>) -> String {
    let name = if field.name().is_empty() { field.careless_name() } else { field.name().to_vec() };
    let name: String = name.iter().take(MAX_NAME).copied().map(char::from).collect();
    format!("{ORIGINAL}{}", if name.is_empty() { "Line" } else { &name })
}

/// The field under another name, its value as it was; folded anew only when a line would become too long.
fn keep(name: &str, field: &Field<'_>) -> Vec<u8> {
    // Not `Field::value`: it may be no field by RFC 5322, and still be taken for one.
    let raw = field.raw();
    let value = raw.iter().position(|&b| b == b':').map_or(raw, |colon| &raw[colon + 1..]);
    let mut raw = format!("{name}:").into_bytes();
    raw.extend_from_slice(value);
    if !raw.ends_with(b"\n") {
        raw.extend_from_slice(b"\r\n");
    }
    let fits = raw.split(|&b| b == b'\n').all(|line| line.len() <= MAX_LINE + 1);
    let whole = Fields::new(&raw).next().is_some_and(|f| f.raw().len() == raw.len());
    if fits && whole {
        raw
    } else if is_address_list(field) {
        fold(name, &spaced(value))
    } else {
        fold(name, value)
    }
}

/// A list of mailboxes with a space behind each comma between two of them, so that it can be folded there.
fn spaced(list: &[u8]) -> Vec<u8> {
    let mut scanner = ListScanner::default();
    let mut out = Vec::with_capacity(list.len() + list.len() / 16);
    for &octet in list {
        out.push(octet);
        if scanner.is_comma(octet) {
            out.push(b' ');
        }
    }
    out
}

/// The Subject field with the prefix before its text.
fn prefixed(field: &Field<'_>) -> Vec<u8> {
    let value = field.value();
    let mut raw = b"Subject: ".to_vec();
    raw.extend_from_slice(PREFIX.as_bytes());
    let first_line = value.iter().take_while(|&&b| b != b'\r' && b != b'\n').count();
    if first_line > 60 {
        raw.extend_from_slice(b"\r\n");
    }
    if !value.first().is_some_and(u8::is_ascii_whitespace) {
        raw.push(b' ');
    }
    raw.extend_from_slice(value);
    if !raw.ends_with(b"\n") {
        raw.extend_from_slice(b"\r\n");
    }
    raw
}

/// The addresses with commas; those beyond ASCII as encoded words, comma included (RFC 2047 6.2).
fn list(recipients: &[Address]) -> String {
    let mut words = Vec::with_capacity(recipients.len());
    for (i, address) in recipients.iter().enumerate() {
        let comma = if i + 1 < recipients.len() { "," } else { "" };
        let word = format!("{address}{comma}");
        if word.is_ascii() && !word.contains(' ') {
            words.push(word);
        } else {
            words.extend(encode(word.as_bytes()));
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests;
