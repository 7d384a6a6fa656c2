//! Reports for programs: the part `message/delivery-status` (RFC 3464 2), or `message/global-delivery-status` (RFC 6533 5).

use mail_parser::{Message, MimeHeaders as _};

use super::judgement::of_status_and_text;
use super::report::{NotTaken, ReportedRecipient};
use crate::mail::AddressKey;
use crate::mail::header::Fields;
use crate::smtp::parse_status;

/// What the fields at one recipient say.
#[derive(Debug, Default)]
struct RecipientFields {
    original: Option<String>,
    last: Option<String>,
    action: String,
    status: String,
    diagnosis: String,
}

/// The recipients of a report; none when it is no report of this form.
pub(super) fn read(message: &Message<'_>) -> Vec<ReportedRecipient> {
    let is_status = |part: &&mail_parser::MessagePart<'_>| {
        part.content_type().is_some_and(|kind| {
            let sub = kind.subtype().unwrap_or_default();
            kind.ctype().eq_ignore_ascii_case("message")
                && ["delivery-status", "global-delivery-status"]
                    .iter()
                    .any(|known| sub.eq_ignore_ascii_case(known))
        })
    };
    let parts = message.parts.iter().filter(is_status);
    let groups = parts.flat_map(|part| groups(part.contents()));
    groups.filter_map(|group| RecipientFields::of(&group)).map(|fields| fields.judge()).collect()
}

/// The groups of fields, each with the empty line behind it left out.
fn groups(text: &[u8]) -> Vec<Vec<u8>> {
    let mut groups = vec![Vec::new()];
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        match groups.last_mut() {
            Some(group) if !line.trim_ascii().is_empty() => group.extend_from_slice(line),
            Some(group) if group.is_empty() => {}
            _ => groups.push(Vec::new()),
        }
    }
    groups
}

impl RecipientFields {
    /// `None` when the group is about no recipient.
    fn of(group: &[u8]) -> Option<Self> {
        let mut fields = Self::default();
        for field in Fields::new(group) {
            let value = || String::from_utf8_lossy(&field.unfolded()).trim().to_owned();
            if field.is("Original-Recipient") {
                fields.original = typed_address(&value());
            } else if field.is("Final-Recipient") {
                fields.last = typed_address(&value());
            } else if field.is("Action") {
                fields.action = value();
            } else if field.is("Status") {
                fields.status = value();
            } else if field.is("Diagnostic-Code") {
                fields.diagnosis = value();
            }
        }
        (fields.original.is_some() || fields.last.is_some()).then_some(fields)
    }

    fn judge(&self) -> ReportedRecipient {
        let address = self.original.as_deref().or(self.last.as_deref()).unwrap_or_default();
        // Behind the type of the diagnosis.
        let reply = self.diagnosis.split_once(';').map_or(&*self.diagnosis, |(_, reply)| reply).trim();
        let said = if reply.is_empty() { &self.status } else { reply };
        ReportedRecipient::new(address, said, self.verdict(reply))
    }

    fn verdict(&self, reply: &str) -> Result<(), NotTaken> {
        if !first_word(&self.action).eq_ignore_ascii_case("failed") {
            return Err(NotTaken::NotFailed);
        }
        if let (Some(original), Some(last)) = (&self.original, &self.last)
            && AddressKey::of_text(original) != AddressKey::of_text(last)
        {
            return Err(NotTaken::Forwarded);
        }
        of_status_and_text(parse_status(first_word(&self.status).as_bytes()), reply)
    }
}

/// A value without the comment behind it.
fn first_word(value: &str) -> &str {
    value.split(|c: char| c.is_whitespace() || matches!(c, '(' | ';')).next().unwrap_or_default()
}

/// The address behind its type. Types that are no mail address have none of use.
fn typed_address(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';').unwrap_or(("rfc822", value));
    let address = address.trim().trim_start_matches('<').trim_end_matches('>');
    if is_type(kind, "utf-8") {
        return Some(without_escapes(address));
    }
    is_type(kind, "rfc822").then(|| address.to_owned())
}

fn is_type(kind: &str, wanted: &str) -> bool {
    kind.trim().eq_ignore_ascii_case(wanted)
}

/// An address whose characters beyond ASCII may be written as `\x{HEX}` (RFC 6533 3).
fn without_escapes(address: &str) -> String {
    let (mut text, mut rest) = (String::new(), address);
    while let Some((before, behind)) = rest.split_once("\\x{") {
        text.push_str(before);
        let escaped = behind.split_once('}');
        let character = escaped.and_then(|(hex, rest)| {
            Some((u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?, rest))
        });
        if let Some((character, behind)) = character {
            text.push(character);
            rest = behind;
        } else {
            text.push_str("\\x{");
            rest = behind;
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        for (value, want) in [
            ("rfc822; anna@firm.example", Some("anna@firm.example")),
            ("RFC822;<anna@firm.example>", Some("anna@firm.example")),
            ("anna@firm.example", Some("anna@firm.example")),
            ("utf-8; j\\x{FC}rgen@firm.example", Some("jürgen@firm.example")),
            ("utf-8; a\\x{zz}\\x{FC", Some("a\\x{zz}\\x{FC")),
            ("x400; /c=de/", None),
        ] {
            assert_eq!(typed_address(value).as_deref(), want, "{value}");
        }
    }

    #[test]
    fn groups_end_at_empty_lines() {
        let found = groups(b"A: 1\r\n 2\r\n\r\n\r\nB: 3\n \nC: 4");
        assert_eq!(found, [&b"A: 1\r\n 2\r\n"[..], b"B: 3\n", b"C: 4"]);
    }
}
