//! The test mail that a person sends through a running relay.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;

use super::dsn::bare;
use super::own_text::one_line;
use crate::mail::Address;
use crate::mail::header::rfc5322_date;

/// What a test mail consists of.
#[derive(Debug, Clone)]
pub struct TestMail<'a> {
    /// Who sends it.
    pub from: &'a Address,
    /// Who is to get it; at least one.
    pub to: &'a [Address],
    /// Any text.
    pub subject: &'a str,
    /// The relay's name.
    pub hostname: &'a str,
    /// Its Message-ID, with angle brackets.
    pub message_id: &'a str,
    /// When it was written.
    pub date: Timestamp,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
}

/// A file that goes with a mail.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// Its name, without folders.
    pub name: String,
    /// Its octets.
    pub content: Vec<u8>,
}

impl TestMail<'_> {
    /// Writes it: header and body, CRLF line ends, all ASCII but for international addresses in its header.
    #[must_use]
    pub fn build(self) -> Vec<u8> {
        let Self { from, to, subject, hostname, message_id, date, attachments } = self;
        let recipients: Vec<_> =
            to.iter().map(|to| Mailbox::new_address(None::<&str>, to.as_str())).collect();
        let mut message = MessageBuilder::new()
            .header("Date", Raw::new(rfc5322_date(date)))
            .from(Mailbox::new_address(None::<&str>, from.as_str()))
            .to(Mailbox::new_list(recipients))
            .subject(Text::new(one_line(subject)))
            .message_id(bare(message_id))
            // Nobody's absence is to answer it (RFC 3834 5).
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .text_body(text(hostname, date, &attachments));
        for Attachment { name, content } in attachments {
            message = message.attachment("application/octet-stream", one_line(&name), content);
        }
        let mut out = Vec::new();
        // Writing to memory can't fail.
        let _ = message.write_to(&mut out);
        out
    }
}

fn text(hostname: &str, date: Timestamp, attachments: &[Attachment]) -> String {
    let mut text = format!(
        "This is a test of Mailsluice at {hostname}.\r\n\r\nA person has sent it by `mailsluice send` on {}.\r\n\
         It has come through the queue, by the upstream and the limits of any other mail.\r\n",
        rfc5322_date(date)
    );
    for Attachment { name, content } in attachments {
        // Writing to a string can't fail.
        let _ = write!(text, "\r\nAttached: {} ({} octets)\r\n", one_line(name), content.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders as _};

    use super::*;

    #[test]
    fn is_read_by_others_as_it_was_meant() {
        let address = |text| Address::parse(text).unwrap();
        let to = [address("b@dest.example"), address("c@dest.example")];
        let all: Vec<u8> = (0..=255).collect();
        let mail = TestMail {
            from: &address("a@firm.example"),
            to: &to,
            subject: "Grüße aus Zürich\r\nBcc: x@evil.example",
            hostname: "relay.firm.example",
            message_id: "<0DMA@relay.firm.example>",
            date: Timestamp::from_second(1_795_327_200).unwrap(),
            attachments: vec![Attachment { name: "Übersicht.bin".into(), content: all.clone() }],
        };
        let octets = mail.build();
        assert!(octets.is_ascii());
        assert!(!String::from_utf8_lossy(&octets).replace("\r\n", "").contains(['\r', '\n']));
        let read = MessageParser::default().parse(&octets).unwrap();
        assert_eq!(read.subject(), Some("Grüße aus Zürich  Bcc: x@evil.example"));
        assert_eq!((read.message_id(), read.bcc()), (Some("0DMA@relay.firm.example"), None));
        assert_eq!(read.from().unwrap().first().unwrap().address(), Some("a@firm.example"));
        let to: Vec<_> = read.to().unwrap().iter().filter_map(|to| to.address()).collect();
        assert_eq!(to, ["b@dest.example", "c@dest.example"]);
        assert_eq!(read.date().unwrap().to_timestamp(), 1_795_327_200);
        assert!(
            read.body_text(0).unwrap().starts_with("This is a test of Mailsluice at relay.firm.example.")
        );
        let attached = read.attachments().next().unwrap();
        assert_eq!((attached.attachment_name(), attached.contents()), (Some("Übersicht.bin"), &all[..]));
    }
}
