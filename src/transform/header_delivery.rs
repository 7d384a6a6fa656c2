//! Upstreams that deliver to whom the header names and know no envelope: the header says then exactly what the envelope says.
//!
//! To and Cc keep the recipients of the transaction and nobody else, those whom they do not name stand in one Bcc field, and all
//! other fields go that a server may deliver by. Where two readers could find different addresses, nothing is sent that way.

use std::collections::HashSet;
use std::fmt;

use super::ascii;
use super::kept::{OTHER, remove_forged};
use crate::config::Upstream;
use crate::mail::destinations::{FieldRole, role};
use crate::mail::header::{Field, FieldChange, Header, fold_words, mailboxes};
use crate::mail::recipient_list::{ListFault, ListedMailbox, RecipientList, named_in, plain_recipient};
use crate::mail::{Address, AddressKey};

/// What becomes of To and Cc where they name others than the recipients of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherRecipients {
    /// They are taken out and kept under another name.
    TakenOut,
    /// The message must go unchanged by another upstream.
    GoElsewhere,
}

impl OtherRecipients {
    /// What becomes of them on the way out by an upstream; `None` where that goes by the envelope.
    #[must_use]
    pub fn by(upstream: &Upstream) -> Option<Self> {
        let has_large = upstream.large().is_some();
        upstream.delivers_by_header().then_some(if has_large { Self::GoElsewhere } else { Self::TakenOut })
    }
}

/// The fields that others were taken out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EditedFields {
    to: bool,
    cc: bool,
}

impl EditedFields {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The names as they are written.
    fn names(self) -> &'static str {
        match (self.to, self.cc) {
            (true, true) => "To and Cc",
            (false, true) => "Cc",
            _ => "To",
        }
    }

    fn note(&mut self, name: &str) {
        self.to |= name == "To";
        self.cc |= name == "Cc";
    }
}

/// Their names in lower case, with commas.
impl fmt::Display for EditedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [("to", self.to), ("cc", self.cc)];
        let names: Vec<&str> = names.into_iter().filter(|(_, is_in)| *is_in).map(|(name, _)| name).collect();
        f.write_str(&names.join(","))
    }
}

/// Why a message can't go by an upstream that delivers to whom the header names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// Not every reader reads a list of recipients alike.
    #[error("the {field} field is not clear: {fault}")]
    List {
        /// To or Cc.
        field: &'static str,
        /// What is wrong.
        fault: ListFault,
    },
    /// A display name or comment names somebody who is no recipient.
    #[error("a name or comment in the {field} field holds an address that is no recipient")]
    Named {
        /// To or Cc.
        field: &'static str,
    },
    /// A line that is no field, or a character that ends a line for some.
    #[error("the line of the header that begins with {0:?} is no field that all programs read alike")]
    Line(String),
    /// A recipient whose address can't be written in a field so that all read it alike.
    #[error("the recipient <{0}> can't be named in a header field so that all programs read it alike")]
    Recipient(Address),
    /// Two readers find different recipients.
    #[error("programs may read its recipients in different ways")]
    Doubtful,
    /// To or Cc name others than the recipients, and another upstream takes such mail.
    #[error("{} names others than the recipients of this transaction", .0.names())]
    Others(EditedFields),
}

/// The octets of a line that are shown.
const SHOWN: usize = 40;

/// Makes the header say what the envelope says. Tells what it has taken out of To and Cc.
///
/// # Errors
/// When it is not beyond doubt whom the result names to every reader, or others are named and may not be taken out.
pub(super) fn obey_envelope(
    header: &mut Header<'_>,
    recipients: &[Address],
    others: OtherRecipients,
) -> Result<EditedFields, HeaderFault> {
    let plain =
        |address: &Address| plain_recipient(address).ok_or_else(|| HeaderFault::Recipient(address.clone()));
    let plain: Vec<String> = recipients.iter().map(plain).collect::<Result<_, _>>()?;
    let wanted: HashSet<AddressKey> = recipients.iter().map(Address::key).collect();
    remove_forged(header, OTHER);
    header.retain(|field| !is_read_by_some(field));
    header.map(as_all_read_it);
    if let Some(line) = header.fields().find(|field| !is_plain_line(field)) {
        let shown = &line.raw()[..line.raw().len().min(SHOWN)];
        return Err(HeaderFault::Line(String::from_utf8_lossy(shown).trim_end().to_owned()));
    }
    let mut edited = EditedFields::default();
    let mut named: HashSet<AddressKey> = HashSet::new();
    let mut kept = Vec::new();
    for name in ["To", "Cc"] {
        let taken = write_list(header, name, &wanted)?;
        named.extend(header.fields().filter(|field| field.is(name)).flat_map(|field| keys(&field)));
        if !taken.is_empty() {
            edited.note(name);
            kept.push(ListedMailbox::to_field(&format!("{OTHER}{name}"), &taken));
        }
    }
    if others == OtherRecipients::GoElsewhere && !edited.is_empty() {
        return Err(HeaderFault::Others(edited));
    }
    let blind = recipients.iter().zip(plain).filter(|(address, _)| !named.contains(&address.key()));
    let blind: Vec<String> = blind.map(|(_, text)| text).collect();
    if !blind.is_empty() {
        header.append_raw(bcc(&blind));
    }
    for field in kept {
        header.append_raw(field);
    }
    second_opinion(header, &wanted)?;
    Ok(edited)
}

/// Writes the lists of one name as one, without those who are no recipients; those come back.
fn write_list(
    header: &mut Header<'_>,
    name: &'static str,
    wanted: &HashSet<AddressKey>,
) -> Result<Vec<ListedMailbox>, HeaderFault> {
    let mut whole: Option<RecipientList> = None;
    for field in header.fields().filter(|field| field.is(name)) {
        // An old program's display name may have octets beyond ASCII, which become encoded words.
        let ascii = (!field.raw().is_ascii()).then(|| ascii::to_ascii(&field)).flatten();
        let is_changed = ascii.is_some();
        let ascii = ascii.unwrap_or_else(|| field.raw().to_vec());
        let fault = |fault| HeaderFault::List { field: name, fault };
        let list = RecipientList::parse(Field::of(&ascii).value()).map_err(fault)?;
        match &mut whole {
            None if is_changed => whole.insert(RecipientList::default()).extend(list),
            None => whole = Some(list),
            Some(whole) => whole.extend(list),
        }
    }
    let Some(mut list) = whole else { return Ok(Vec::new()) };
    let taken = list.take_out(|address| wanted.contains(&address.key()));
    let is_wanted =
        |text: &str| named_in(text).is_some_and(|named| named.iter().all(|key| wanted.contains(key)));
    if !list.free_texts().all(is_wanted) {
        return Err(HeaderFault::Named { field: name });
    }
    if list.is_empty() {
        header.remove(name);
    } else if !list.is_canonical() {
        header.replace_raw(name, list.to_field(name));
    }
    Ok(taken)
}

fn bcc(addresses: &[String]) -> Vec<u8> {
    let last = addresses.len() - 1;
    let comma = |(at, address): (usize, &String)| format!("{address}{}", if at < last { "," } else { "" });
    let words: Vec<String> = addresses.iter().enumerate().map(comma).collect();
    fold_words("Bcc", words.iter().map(String::as_bytes))
}

/// Whether some server may deliver by a field, or do what it says; To and Cc alone are left.
fn is_read_by_some(field: &Field<'_>) -> bool {
    let is_list = field.is("To") || field.is("Cc");
    match role(field) {
        FieldRole::Destination(_) => !is_list && !field.name().is_empty(),
        FieldRole::Blind | FieldRole::Control => true,
        _ => field.careless_name().starts_with(b"resent-"),
    }
}

/// A field as every reader knows one: no white space before the colon, no line that looks empty.
fn as_all_read_it(field: &Field<'_>) -> FieldChange {
    let raw = field.raw();
    let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
    let has_blank = raw.split_inclusive(|&b| b == b'\n').skip(1).any(is_blank);
    let has_space = !field.name().is_empty() && raw.get(field.name().len()) != Some(&b':');
    if !(has_blank || has_space) {
        return FieldChange::Keep;
    }
    let mut plain = Vec::with_capacity(raw.len());
    if !field.name().is_empty() {
        plain.extend_from_slice(field.name());
        plain.push(b':');
    }
    let rest = if field.name().is_empty() { raw } else { field.value() };
    let lines = rest.split_inclusive(|&b| b == b'\n').enumerate();
    for (_, line) in lines.filter(|(at, line)| *at == 0 || !is_blank(line)) {
        plain.extend_from_slice(line);
    }
    FieldChange::Replace(plain)
}

/// Whether it is a field, and one line of the header to everybody, with its folding.
fn is_plain_line(field: &Field<'_>) -> bool {
    /// What ends a line for some: next line, line separator, paragraph separator, in UTF-8.
    const LINE_ENDS: [&[u8]; 3] = [b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9"];
    let raw = field.raw();
    let bare_cr = memchr::memchr_iter(b'\r', raw).any(|at| raw.get(at + 1) != Some(&b'\n'));
    let ends = raw.iter().any(|b| matches!(b, 0 | 0x0b | 0x0c | 0x1c..=0x1e));
    let marks = LINE_ENDS.iter().any(|mark| memchr::memmem::find(raw, mark).is_some());
    !(field.name().is_empty() || bare_cr || ends || marks)
}

fn keys(field: &Field<'_>) -> Vec<AddressKey> {
    mailboxes(field.value()).iter().map(Address::key).collect()
}

/// Looks whether other readers find these recipients and no others in what is written: our own lenient one, another
/// program's, and one that takes whatever has an at-sign in it.
fn second_opinion(header: &Header<'_>, wanted: &HashSet<AddressKey>) -> Result<(), HeaderFault> {
    let mut fields = Vec::new();
    header.write_to(&mut fields);
    fields.extend_from_slice(b"\r\n");
    let is_delivered_by =
        |field: &Field<'_>| matches!(role(field), FieldRole::Destination(_) | FieldRole::Blind);
    let ours: HashSet<AddressKey> =
        header.fields().filter(is_delivered_by).flat_map(|field| keys(&field)).collect();
    let careless = |field: Field<'_>| {
        let value = String::from_utf8_lossy(field.value()).replace(['<', '>'], " ");
        named_in(&value).is_some_and(|named| named.iter().all(|key| wanted.contains(key)))
    };
    let is_careless_safe = header.fields().filter(is_delivered_by).all(careless);
    let all_agree = ours == *wanted && theirs(&fields).is_some_and(|theirs| theirs == *wanted);
    if all_agree && is_careless_safe { Ok(()) } else { Err(HeaderFault::Doubtful) }
}

/// Whom another program would deliver to.
fn theirs(fields: &[u8]) -> Option<HashSet<AddressKey>> {
    use mail_parser::{HeaderName, HeaderValue, MessageParser};
    let parsed = MessageParser::default().parse_headers(fields)?;
    let mut found = HashSet::new();
    for read in parsed.headers() {
        let is_list = matches!(
            read.name,
            HeaderName::To
                | HeaderName::Cc
                | HeaderName::Bcc
                | HeaderName::ResentTo
                | HeaderName::ResentCc
                | HeaderName::ResentBcc
        );
        if let (true, HeaderValue::Address(list)) = (is_list, &read.value) {
            found.extend(list.iter().filter_map(|addr| addr.address()).map(AddressKey::of_text));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests;
