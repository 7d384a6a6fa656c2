//! Header fields for servers without SMTPUTF8: each in ASCII, as far as its grammar has a way to write it so.
//!
//! Addresses get their domain in A-labels, words become encoded words (RFC 2047), parameters are encoded by RFC 2231. What
//! has no such form is kept as text under another name, as RFC 6857 3.1.10 has it.

mod addresses;
mod parameters;

use super::encoded_words::unstructured;
use crate::mail::address_list::is_address_list;
use crate::mail::domain;
use crate::mail::header::{Field, FieldChange, Header, fold};

/// Fields of a value with parameters (RFC 2045 5.1, RFC 2183 2).
const PARAMETERS: [&str; 2] = ["Content-Type", "Content-Disposition"];

/// Fields whose grammar has no place for text but in comments, which nobody reads.
const TOKENS: [&str; 27] = [
    "Message-ID",
    "In-Reply-To",
    "References",
    "Resent-Message-ID",
    "Content-ID",
    "Content-Transfer-Encoding",
    "Content-Language",
    "Content-Location",
    "MIME-Version",
    "Date",
    "Resent-Date",
    "Received",
    "Return-Path",
    "Delivered-To",
    "X-Original-To",
    "Original-Recipient",
    "Auto-Submitted",
    "Authentication-Results",
    "DKIM-Signature",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
    "List-Unsubscribe",
    "List-Subscribe",
    "List-Post",
    "List-Help",
    "List-Owner",
];

/// What the name of a field begins with that is kept as text.
const DOWNGRADED: &str = "Downgraded-";

/// Makes all fields of a header section ASCII. Lines that are no field stay as they are.
pub(super) fn header(header: &mut Header<'_>) {
    header.map(field);
}

/// One field in ASCII; `None` where it is so.
pub(super) fn to_ascii(of: &Field<'_>) -> Option<Vec<u8>> {
    match field(of) {
        FieldChange::Replace(new) => Some(new),
        FieldChange::Keep | FieldChange::Remove => None,
    }
}

/// What becomes of a field.
fn field(field: &Field<'_>) -> FieldChange {
    if field.raw().is_ascii() || field.name().is_empty() {
        return FieldChange::Keep;
    }
    let name = String::from_utf8_lossy(field.name()).into_owned();
    let is_one_of = |names: &[&str]| names.iter().any(|one| field.is(one));
    let value = if is_address_list(field) {
        Some(addresses::to_ascii(field.value()))
    } else if is_one_of(&PARAMETERS) {
        parameters::to_ascii(field.value())
    } else if is_one_of(&TOKENS) {
        tokens(field.value())
    } else {
        Some(unstructured(field.value()).join(" "))
    };
    FieldChange::Replace(match value {
        Some(value) => fold(&name, value.as_bytes()),
        None => fold(&format!("{DOWNGRADED}{name}"), unstructured(field.value()).join(" ").as_bytes()),
    })
}

/// A value of tokens, among them identifiers and addresses such as `<id@domain>`, whose domains get A-labels. `None` when
/// that is not all.
fn tokens(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let is_mark = |c: char| c.is_ascii_whitespace() || "<>,;()".contains(c);
    let mut out = String::new();
    for piece in text.split_inclusive(is_mark) {
        let word = piece.trim_end_matches(is_mark);
        match word.rsplit_once('@') {
            _ if word.is_ascii() => out.push_str(word),
            Some((local, name)) if local.is_ascii() => {
                out.push_str(local);
                out.push('@');
                out.push_str(&domain::in_ascii(name)?);
            }
            _ => return None,
        }
        out.push_str(&piece[word.len()..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests;
