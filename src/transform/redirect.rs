//! The test redirect: a message goes to the test address instead of its recipients, in its header too.
//!
//! Some upstreams deliver by the header, and some take orders from it, so no field that is sent may keep an original
//! recipient: but for free text, and for who has written the message.

mod originals;

use originals::Originals;

use super::encoded_words::encode;
use super::kept::{ORIGINAL, keep, original_name, remove_forged};
use crate::mail::Address;
use crate::mail::destinations::{FieldRole, remove_blind_copies, role};
use crate::mail::header::{Field, FieldChange, Header, fold};

/// What the subject of a redirected message begins with.
const PREFIX: &str = "[TEST]";

/// Makes the header that of a test: see the module.
pub(super) fn redirect(header: &mut Header<'_>, recipients: &[Address], test: &Address) {
    let originals = Originals::of(header, recipients, test);
    remove_blind_copies(header);
    remove_forged(header, ORIGINAL);
    let mut kept = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    let mut subject = false;
    header.map(|field| match role(field) {
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
    });
    if !subject {
        header.append("Subject", format!("{PREFIX} (no subject)").as_bytes());
    }
    for field in kept {
        header.append_raw(field);
    }
    header.append(&format!("{ORIGINAL}Recipients"), list(recipients).as_bytes());
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
