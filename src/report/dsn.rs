//! Delivery status notifications: our reports to the sender (RFC 3464, in the frame of RFC 6522).
//!
//! All that comes from outside, replies and the original header above all, is made harmless before it enters a field.

mod cause;
mod contents;
mod english;
mod german;
mod phrases;
mod translation;
mod words;

pub use cause::ReportCause;
pub use contents::{Dsn, Kind, Listing, Recipient, ReportReader};

use contents::MAX_REPLY;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::MimePart;

use crate::mail::Address;
use crate::mail::destinations::remove_blind_copies;
use crate::mail::header::{Fields, Header, fold, rfc5322_date};

/// A field by which a report of ours is known again: not every upstream keeps Auto-Submitted, or sends with a null reverse-path.
pub const REPORT_MARK: &str = "X-Mailsluice-Report";

/// Octets of the original header that are sent back at most.
const MAX_HEADER: usize = 64 * 1024;
/// The longest Message-ID that is referred to.
const MAX_MESSAGE_ID: usize = 250;

impl Dsn<'_> {
    /// Writes the report: header and body, CRLF line ends, all ASCII but for international addresses in its header.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut header = Header::parse(self.original);
        // Others than the sender read reports, and who got a blind copy is nobody's business.
        remove_blind_copies(&mut header);
        let open = header.is_changed().then(|| header.to_content());
        let dsn = Dsn { original: open.as_deref().unwrap_or(self.original), ..*self };
        dsn.write(&header)
    }

    /// Writes the report of an original without blind copies, whose header this is.
    fn write(&self, header: &Header<'_>) -> Vec<u8> {
        let report = ContentType::new("multipart/report").attribute("report-type", "delivery-status");
        let status = MimePart::new("message/delivery-status", self.status_fields())
            .header("Content-Transfer-Encoding", Raw::new("7bit"));
        let returned = if self.returns_all() {
            MimePart::new("message/rfc822", self.original)
                .header("Content-Description", Raw::new("The original"))
                .header("Content-Transfer-Encoding", Raw::new("7bit"))
        } else {
            MimePart::new("text/rfc822-headers", returned_header(self.original))
                .header("Content-Description", Raw::new("Header of the original"))
        };
        let text = MimePart::new("text/plain", words::text(self, header))
            .header("Content-Language", Raw::new(words::tag(self.language)));
        let parts = vec![text, status, returned];
        let mut message = MessageBuilder::new()
            .header("Date", Raw::new(rfc5322_date(self.date)))
            .from(Mailbox::new_address(Some("Mail Delivery System"), self.from.as_str()))
            .to(Mailbox::new_address(None::<&str>, self.to.as_str()))
            .subject(Text::new(words::subject(self)))
            .message_id(bare(self.message_id))
            .header("Auto-Submitted", Raw::new("auto-replied"))
            .header(REPORT_MARK, Raw::new("1"));
        if let Some(id) = original_message_id(header) {
            message = message.in_reply_to(MessageId::new(id.clone())).references(MessageId::new(id));
        }
        let mut out = Vec::new();
        message.body(MimePart::new(report, parts)).serialize(&mut out);
        out
    }

    /// The machine's part (RFC 3464 2.1): a block about the message, then one about each recipient.
    fn status_fields(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(id) = self.envelope_id {
            // As it is: folding would change its spaces, and it is short.
            out.extend_from_slice(format!("Original-Envelope-Id: {}\r\n", id.text()).as_bytes());
        }
        out.extend(fold("Reporting-MTA", format!("dns; {}", ascii(self.hostname)).as_bytes()));
        out.extend(fold("X-Mailsluice-Queue-ID", self.queue_id.as_str().as_bytes()));
        out.extend(fold("Arrival-Date", rfc5322_date(self.arrival).as_bytes()));
        for recipient in self.recipients {
            out.extend_from_slice(b"\r\n");
            let mut field = |name: &str, value: String| out.extend(fold(name, value.as_bytes()));
            if let Some(original) = &recipient.original {
                field("Original-Recipient", format!("{}; {}", original.kind(), original.address()));
            }
            field("Final-Recipient", final_recipient(&recipient.address));
            field("Action", self.kind.action().to_owned());
            field("Status", recipient.status(self.kind));
            if let Some(host) = &recipient.host {
                field("Remote-MTA", format!("dns; {}", ascii(name_of(host))));
            }
            let reply = ascii(&recipient.reply);
            if !reply.trim().is_empty() {
                let kind = if is_reply(&reply) { "smtp" } else { "x-mailsluice" };
                field("Diagnostic-Code", format!("{kind}; {reply}"));
            }
            if let Some(last) = recipient.last_attempt {
                field("Last-Attempt-Date", rfc5322_date(last));
            }
            if let Some(until) = recipient.will_retry_until.filter(|_| self.kind == Kind::Delayed) {
                field("Will-Retry-Until", rfc5322_date(until));
            }
        }
        out
    }
}

/// Whether a text begins with a reply code, and so is what an upstream said.
fn is_reply(text: &str) -> bool {
    let code = text.as_bytes();
    code.len() >= 3
        && code[..3].iter().all(u8::is_ascii_digit)
        && code.get(3).is_none_or(|b| matches!(b, b' ' | b'-'))
}

/// The name alone of `name[ip]:port` or `name:port` (RFC 3464 2.1.2: a domain name, or an address in brackets).
fn name_of(host: &str) -> &str {
    match host.rsplit_once('[') {
        Some((name, _)) if !name.is_empty() => name,
        Some(_) => host.find(']').map_or(host, |end| &host[..=end]),
        None => host.split(':').next().unwrap_or(host),
    }
}

/// The address with its type; one beyond ASCII in the escapes of RFC 6533 3.
fn final_recipient(address: &Address) -> String {
    if address.is_ascii() {
        return format!("rfc822; {address}");
    }
    let escaped: String = address
        .as_str()
        .chars()
        .map(|c| match c {
            '!'..='~' if !"+=\\".contains(c) => c.to_string(),
            c => format!("\\x{{{:X}}}", u32::from(c)),
        })
        .collect();
    format!("utf-8; {escaped}")
}

/// A text of bounded length in which only visible ASCII and spaces are left.
fn ascii(text: &str) -> String {
    let harmless = |c: char| match c {
        ' '..='~' => c,
        c if c.is_whitespace() || c.is_control() => ' ',
        _ => '?',
    };
    text.chars().take(MAX_REPLY).map(harmless).collect()
}

/// The original's header, whole fields as long as they fit.
fn returned_header(original: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in Fields::new(original).filter(|field| field.raw().len() <= MAX_HEADER) {
        if out.len() + field.raw().len() > MAX_HEADER {
            break;
        }
        // Whatever stands in a field, only CRLF ends a line of ours.
        for line in field.raw().split_inclusive(|&b| b == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            out.extend(text.iter().map(|&b| if matches!(b, b'\r' | b'\0') { b'?' } else { b }));
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

/// The original's Message-ID without its brackets, when it can stand in a field of ours.
fn original_message_id(header: &Header<'_>) -> Option<String> {
    let value = String::from_utf8(header.get("Message-ID")?.unfolded()).ok()?;
    let id = value.strip_prefix('<')?.strip_suffix('>')?;
    let sound = !id.is_empty()
        && id.len() <= MAX_MESSAGE_ID
        && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b));
    sound.then(|| id.to_owned())
}

pub(super) fn bare(message_id: &str) -> MessageId<'_> {
    MessageId::new(message_id.trim_start_matches('<').trim_end_matches('>'))
}

#[cfg(test)]
mod tests;
