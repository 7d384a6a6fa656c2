//! By what a person knows a message again: Message-ID and subject.

use mail_parser::MessageParser;

use super::header::{Field, Fields};

/// The longest Message-ID and the longest subject, in characters.
const LONGEST: usize = 250;
/// What is kept of a Subject field, in octets: room for the longest subject, each character an encoded word of its own.
const LONGEST_FIELD: usize = 8 * 1024;

/// Message-ID and Subject of a header section (RFC 5322 3.6.4, 3.6.5), for people. Both may hold anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageLabel {
    /// The Message-ID with its angle brackets; `None` when there is none.
    pub message_id: Option<String>,
    /// The Subject field as it is, cut when it is longer than any subject that is shown.
    subject: Option<Vec<u8>>,
}

impl MessageLabel {
    /// Looks through the header section that a content begins with. Of several fields the first counts.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut label = Self::default();
        for field in Fields::new(content) {
            if field.is("Message-ID") && label.message_id.is_none() {
                label.message_id = short(&String::from_utf8_lossy(&field.unfolded()));
            } else if field.is("Subject") && label.subject.is_none() {
                label.subject = Some(beginning(field.raw()).to_vec());
            }
        }
        label
    }

    /// The subject, its encoded words (RFC 2047) decoded; `None` when there is none. Decoded at each call: few ask.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        short(&decoded_text(&Field::of(self.subject.as_deref()?)))
    }
}

/// As much of a field as is kept, in whole characters.
fn beginning(field: &[u8]) -> &[u8] {
    let continues = |at: &usize| field.get(*at).is_some_and(|b| b & 0xc0 == 0x80);
    let end = (0..=LONGEST_FIELD.min(field.len())).rev().find(|at| !continues(at)).unwrap_or_default();
    &field[..end]
}

/// The value of a field of free text as a person reads it (RFC 2047): in one line, encoded words decoded.
#[must_use]
pub fn decoded_text(field: &Field<'_>) -> String {
    let section = [b"Subject:", field.value(), b"\r\n\r\n"].concat();
    let parsed = MessageParser::default().parse_headers(&section);
    parsed.and_then(|message| message.subject().map(str::to_owned)).unwrap_or_default()
}

fn short(text: &str) -> Option<String> {
    let text: String = text.trim().chars().take(LONGEST).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_know_a_message_by() {
        for (content, message_id, subject) in [
            ("Message-ID: <a@b>\r\nSubject: Hello\r\n\r\nSubject: body\r\n", Some("<a@b>"), Some("Hello")),
            ("message-id:\r\n <a@b>\r\nSUBJECT: one\r\n\ttwo\r\n", Some("<a@b>"), Some("one two")),
            ("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?b?w5Y=?=\r\n\r\n", None, Some("GrüßeÖ")),
            ("Subject: Größe\r\nSubject: other\r\n\r\n", None, Some("Größe")),
            ("Subject: \r\nMessage-ID:\r\n\r\n", None, None),
            ("", None, None),
        ] {
            let label = MessageLabel::of(content.as_bytes());
            assert_eq!(
                (label.message_id.as_deref(), label.subject().as_deref()),
                (message_id, subject),
                "{content}"
            );
        }
        let long = MessageLabel::of(format!("Subject: {}\r\n\r\n", "ü".repeat(3000)).as_bytes());
        assert_eq!(long.subject().unwrap(), "ü".repeat(LONGEST));
    }

    #[test]
    fn keeps_enough_of_the_longest_subject() {
        for word in ["=?utf-8?q?=F0=9F=93=A7?=", "=?utf-8?b?8J+Tpw==?="] {
            let label =
                MessageLabel::of(format!("Subject: {}\r\n\r\n", [word; 300].join("\r\n ")).as_bytes());
            assert_eq!(label.subject().unwrap(), "📧".repeat(LONGEST), "{word}");
        }
        let endless = MessageLabel::of(format!("Subject: x{}\r\n\r\n", "ü".repeat(LONGEST_FIELD)).as_bytes());
        assert!(endless.subject.as_ref().unwrap().len() <= LONGEST_FIELD);
        assert!(!endless.subject().unwrap().contains(char::REPLACEMENT_CHARACTER));
    }
}
