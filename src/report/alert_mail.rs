//! The mail by which an administrator gets an alert.

use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;

use super::dsn::{REPORT_MARK, bare};
use super::own_text::one_line;
use crate::mail::Address;
use crate::mail::header::rfc5322_date;

/// The longest subject, in characters.
const LONGEST_SUBJECT: usize = 120;

/// What the mail of an alert consists of.
#[derive(Debug, Clone)]
pub struct AlertMail<'a> {
    /// As whom it goes.
    pub from: &'a Address,
    /// Who gets it; at least one.
    pub to: &'a [Address],
    /// Any text; what is long is cut.
    pub subject: &'a str,
    /// Any text, with whatever line ends.
    pub text: &'a str,
    /// Its Message-ID, with angle brackets.
    pub message_id: &'a str,
    /// When it was written.
    pub date: Timestamp,
}

impl AlertMail<'_> {
    /// Writes it: header and body, CRLF line ends, all ASCII but for international addresses in its header. It is marked as one of
    /// our reports, and as automatic (RFC 3834 5): nothing answers it.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let Self { from, to, subject, text, message_id, date } = self;
        let recipients: Vec<_> =
            to.iter().map(|to| Mailbox::new_address(None::<&str>, to.as_str())).collect();
        let mut out = Vec::new();
        let message = MessageBuilder::new()
            .header("Date", Raw::new(rfc5322_date(*date)))
            .from(Mailbox::new_address(Some("Mailsluice"), from.as_str()))
            .to(Mailbox::new_list(recipients))
            .subject(Text::new(short_line(subject)))
            .message_id(bare(message_id))
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .header(REPORT_MARK, Raw::new("alert"))
            .text_body(crlf(text));
        // Writing to memory can't fail.
        let _ = message.write_to(&mut out);
        out
    }
}

/// A subject: one line, cut when it is long.
fn short_line(text: &str) -> String {
    let mut line: String = one_line(text).chars().take(LONGEST_SUBJECT).collect();
    if text.chars().count() > LONGEST_SUBJECT {
        line.push_str(" …");
    }
    line
}

/// A text for the body: lines with CRLF, and no other control characters.
fn crlf(text: &str) -> String {
    let harmless = |c: char| if c.is_control() && c != '\t' { ' ' } else { c };
    let lines = text.lines().map(|line| line.chars().map(harmless).collect::<String>() + "\r\n");
    lines.collect()
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    #[test]
    fn is_read_by_others_as_it_was_meant() {
        let address = |text| Address::parse(text).unwrap();
        let to = [address("it@firm.example"), address("boss@firm.example")];
        let subject = format!("upstream \u{1b}m365: Grüße\r\nBcc: x@evil.example {}", "x".repeat(200));
        let mail = AlertMail {
            from: &address("mailer@firm.example"),
            to: &to,
            subject: &subject,
            text: "upstream m365: 535 5.7.3 nein, \u{1b}Grüße\n.\nWhat to do: mend it\n",
            message_id: "<0DMA@relay.firm.example>",
            date: Timestamp::from_second(1_795_327_200).unwrap(),
        };
        let octets = mail.build();
        assert!(octets.is_ascii());
        assert!(!String::from_utf8_lossy(&octets).replace("\r\n", "").contains(['\r', '\n', '\u{1b}']));
        let read = MessageParser::default().parse(&octets).unwrap();
        assert!(read.subject().unwrap().starts_with("upstream  m365: Grüße  Bcc: x@evil.example xxx"));
        assert!(read.subject().unwrap().chars().count() <= LONGEST_SUBJECT + 2);
        assert_eq!((read.message_id(), read.bcc()), (Some("0DMA@relay.firm.example"), None));
        assert_eq!(read.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
        assert_eq!(read.header_raw(REPORT_MARK).map(str::trim), Some("alert"));
        let got: Vec<_> = read.to().unwrap().iter().filter_map(|to| to.address()).collect();
        assert_eq!(got, ["it@firm.example", "boss@firm.example"]);
        let text = read.body_text(0).unwrap();
        assert_eq!(text, "upstream m365: 535 5.7.3 nein,  Grüße\r\n.\r\nWhat to do: mend it\r\n");
    }
}
