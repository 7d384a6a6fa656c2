//! Who a message is from: the author in its header.
//!
//! Only the fields that name the author change, each in its place; all others keep every octet.

use super::encoded_words::encode;
use crate::mail::header::{Field, Header, fold_words, mailboxes};
use crate::mail::{AddressKey, DisplayName, Mailbox};

/// Makes `author` the only author: in the place of the first From field, or behind all fields where there is none.
///
/// Other From fields go, and so does a Sender that named an author of before, or nobody: it says who has sent for them
/// (RFC 5322 3.6.2).
pub(super) fn set_author(header: &mut Header<'_>, author: &Mailbox) {
    let before = authors(header);
    header.retain(|field| !(field.is("Sender") && speaks_for(field, &before)));
    header.replace_raw("From", mailbox_field("From", author));
}

/// The addresses in all From fields.
fn authors(header: &Header<'_>) -> Vec<AddressKey> {
    let from = header.fields().filter(|field| field.is("From"));
    from.flat_map(|field| mailboxes(field.value())).map(|address| address.key()).collect()
}

/// Whether a Sender field names one of these, or nobody at all.
fn speaks_for(field: &Field<'_>, authors: &[AddressKey]) -> bool {
    let named = mailboxes(field.value());
    named.is_empty() || named.iter().any(|address| authors.contains(&address.key()))
}

/// A field of one mailbox, with its line end.
pub(super) fn mailbox_field(name: &str, mailbox: &Mailbox) -> Vec<u8> {
    let mut words = mailbox.name.as_ref().map(phrase).unwrap_or_default();
    let address = mailbox.address.as_str();
    words.push(if words.is_empty() { address.to_owned() } else { format!("<{address}>") });
    fold_words(name, words.iter().map(String::as_bytes))
}

/// A display name as the words of a phrase (RFC 5322 3.2.5): atoms, else a quoted string, and as encoded words (RFC 2047
/// 5) where it is not ASCII, or looks like such words.
fn phrase(name: &DisplayName) -> Vec<String> {
    let text = name.as_str();
    if !text.is_ascii() || text.contains("=?") {
        return encode(text.as_bytes());
    }
    let is_atom = |b: u8| b.is_ascii_alphanumeric() || b == b' ' || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    if text.bytes().all(is_atom) {
        return text.split(' ').map(str::to_owned).collect();
    }
    let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    quoted.split(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
