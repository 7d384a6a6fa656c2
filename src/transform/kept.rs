//! What stood in a message before it was changed, kept under names of our own.

use crate::mail::address_list::{fold_list, is_address_list};
use crate::mail::header::{Field, Fields, Header, MAX_LINE, fold};

/// All names that originals are kept under begin so.
pub(super) const ORIGINAL: &str = "X-Mailsluice-Original-";
/// All names that mailboxes are kept under which were taken out of a list begin so.
pub(super) const OTHER: &str = "X-Mailsluice-Other-";
/// Octets of an original name that are kept at most.
const MAX_NAME: usize = 100;

/// Removes the fields of such names that came with the message: nobody but us says what was there.
pub(super) fn remove_forged(header: &mut Header<'_>, reserved: &str) {
    let reserved = reserved.to_ascii_lowercase();
    header.retain(|field| !field.careless_name().starts_with(reserved.as_bytes()));
}

/// The name under which a field is kept, as far as it can be read.
pub(super) fn original_name(field: &Field<'_>) -> String {
    let name = if field.name().is_empty() { field.careless_name() } else { field.name().to_vec() };
    let name: String = name.iter().take(MAX_NAME).copied().map(char::from).collect();
    format!("{ORIGINAL}{}", if name.is_empty() { "Line" } else { &name })
}

/// The field under another name, its value as it was; folded anew only when a line would become too long.
pub(super) fn keep(name: &str, field: &Field<'_>) -> Vec<u8> {
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
        fold_list(name, value)
    } else {
        fold(name, value)
    }
}
