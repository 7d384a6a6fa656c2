//! Who a message is from: the author in its header, where answers and reports go.
//!
//! Only the fields that say so change, each in its place; all others keep every octet, and so does the body.

use std::collections::HashSet;

use super::encoded_words::encode;
use super::kept::{ORIGINAL, keep, remove_forged};
use crate::config::{Login, SenderWhen, UpstreamSender};
use crate::mail::header::{Field, Header, fold_words, mailboxes, strict_mailboxes};
use crate::mail::{Address, AddressKey, DisplayName, DomainKey, NamedAddress, ReversePath};

/// Domains below these are of one machine or one network: nobody beyond can answer there.
const LOCAL_DOMAINS: [&str; 4] = ["local", "lan", "internal", "localdomain"];

/// As whom an account of an upstream sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct SenderIdentity<'a> {
    pub(super) sender: &'a UpstreamSender,
    pub(super) account: &'a Login,
}

impl SenderIdentity<'_> {
    /// Writes From and Reply-To. Returns the field that keeps the original author, to be put behind all others.
    pub(super) fn write(self, header: &mut Header<'_>) -> Option<Vec<u8>> {
        let always = self.sender.when == SenderWhen::Always;
        let before = authors(header);
        let has_reply_to =
            header.fields().any(|field| field.is("Reply-To") && !mailboxes(field.value()).is_empty());
        let own = self.sender.mailbox(self.account);
        let replaced = own.filter(|own| match self.sender.when {
            SenderWhen::Always => !is_sole(&before, own) || own.name.is_some(),
            SenderWhen::Missing => before.is_empty() || is_sole(&before, own) && lacks_name(header, own),
        });
        let foreign = replaced.as_ref().is_some_and(|own| !is_sole(&before, own));
        let keeps = always && foreign && !before.is_empty() && before.iter().all(is_routable);
        let original = |name: &str| keeps.then(|| original_author(name, header, &before));
        let (reply_to, original) = (original("Reply-To"), original(&format!("{ORIGINAL}From")));
        if let Some(own) = &replaced {
            set_author(header, own);
        }
        match &self.sender.reply_to {
            Some(configured) if always || !has_reply_to => {
                header.replace_raw("Reply-To", mailbox_field("Reply-To", configured));
            }
            None if !has_reply_to => {
                if let Some(reply_to) = reply_to {
                    header.replace_raw("Reply-To", reply_to);
                }
            }
            _ => {}
        }
        if original.is_some() {
            remove_forged(header, ORIGINAL);
        }
        original
    }

    /// The reverse-path that goes with it; the null one stays.
    pub(super) fn reverse_path(self, header: &Header<'_>, path: &ReversePath) -> ReversePath {
        let becomes = self.sender.when == SenderWhen::Always || authors(header).is_empty();
        self.own_path(path, becomes)
    }

    /// The same of a message whose header is still to come: most have an author.
    pub(super) fn announced_reverse_path(self, path: &ReversePath) -> ReversePath {
        self.own_path(path, self.sender.when == SenderWhen::Always)
    }

    fn own_path(self, path: &ReversePath, becomes: bool) -> ReversePath {
        let own = self.sender.mailbox(self.account).filter(|_| becomes && *path != ReversePath::Null);
        own.map_or_else(|| path.clone(), |own| ReversePath::Address(own.address))
    }
}

/// Makes `author` the only author: in the place of the first From field, or behind all fields where there is none.
///
/// Other From fields go, and so does a Sender that named an author of before, or nobody: it says who has sent for them
/// (RFC 5322 3.6.2).
pub(super) fn set_author(header: &mut Header<'_>, author: &NamedAddress) {
    let before: HashSet<AddressKey> = authors(header).iter().map(Address::key).collect();
    header.retain(|field| !(field.is("Sender") && speaks_for(field, &before)));
    header.replace_raw("From", mailbox_field("From", author));
}

/// The addresses in all From fields.
fn authors(header: &Header<'_>) -> Vec<Address> {
    let from = header.fields().filter(|field| field.is("From"));
    from.flat_map(|field| mailboxes(field.value())).collect()
}

/// Whether a Sender field names one of these, or nobody at all.
fn speaks_for(field: &Field<'_>, authors: &HashSet<AddressKey>) -> bool {
    let named = mailboxes(field.value());
    named.is_empty() || named.iter().any(|address| authors.contains(&address.key()))
}

/// Whether a mailbox is the only author.
fn is_sole(authors: &[Address], own: &NamedAddress) -> bool {
    matches!(authors, [only] if only.key() == own.address.key())
}

/// Whether From is an address and nothing else, and there is a name for it.
fn lacks_name(header: &Header<'_>, own: &NamedAddress) -> bool {
    let Some(from) = header.get("From").filter(|_| own.name.is_some()) else { return false };
    let value = from.unfolded();
    let value = value.trim_ascii();
    let bare = value.strip_prefix(b"<").and_then(|value| value.strip_suffix(b">")).unwrap_or(value);
    std::str::from_utf8(bare).is_ok_and(|text| Address::parse(text.trim()).is_ok())
}

/// Whether others can write to an address.
fn is_routable(address: &Address) -> bool {
    let domain = DomainKey::new(address.domain());
    let has_dot = domain.as_str().contains('.') && !domain.as_str().starts_with('[');
    has_dot && !LOCAL_DOMAINS.iter().any(|local| domain.is_below(&DomainKey::new(local)))
}

/// The original author in a field of another name: From as it stood, where it is one field that all read alike; else the
/// addresses.
fn original_author(name: &str, header: &Header<'_>, authors: &[Address]) -> Vec<u8> {
    let mut from = header.fields().filter(|field| field.is("From"));
    if let (Some(field), None) = (from.next(), from.next())
        && strict_mailboxes(field.value()).is_some()
    {
        return keep(name, &field);
    }
    let last = authors.len().saturating_sub(1);
    let comma = |(at, address): (usize, &Address)| format!("{address}{}", if at < last { "," } else { "" });
    let words: Vec<String> = authors.iter().enumerate().map(comma).collect();
    fold_words(name, words.iter().map(String::as_bytes))
}

/// A field of one mailbox, with its line end.
pub(super) fn mailbox_field(name: &str, mailbox: &NamedAddress) -> Vec<u8> {
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
