//! Which header fields name recipients, to whoever may read them so: the one list that every way out goes by.

use super::header::{Field, Header};

/// What a field is to a server that looks for recipients in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldRole {
    /// Names recipients by RFC 5322 3.6.3 and 3.6.6; the name as it is written.
    Destination(&'static str),
    /// Names blind copies, which nobody is to see.
    Blind,
    /// A provider, or a server on the way, takes it for an order to send to somebody.
    Control,
    /// Says who has written or sent the message, which can't do without.
    Originator,
    /// Free text, or what the body is: nobody sends anything by it.
    Text,
    /// All else.
    Other,
}

/// A name, or with its last octet `*` all that begin so; in lower case.
type Pattern = &'static str;

const DESTINATIONS: [&str; 4] = ["To", "Cc", "Resent-To", "Resent-Cc"];

/// What providers, and servers that deliver by the header, read recipients or orders from.
const CONTROLS: [Pattern; 31] = [
    // SendGrid, Mailchimp Transactional, SparkPost, Mailgun, Mailjet, Postmark, Amazon SES, Brevo, MailerSend.
    "x-smtpapi",
    "x-mc-*",
    "x-msys-*",
    "x-mailgun-*",
    "x-mj-*",
    "x-mailjet-*",
    "x-pm-*",
    "x-ses-*",
    "x-mailin-*",
    "x-sib-*",
    "x-mailersend-*",
    // Sendmail, Postfix, Exim, the pick-up folders of Exchange and IIS, mailing lists and gateways.
    "apparently-to",
    "apparently-cc",
    "apparently-bcc",
    "envelope-to",
    "x-envelope-to",
    "x-receiver",
    "x-recipient*",
    "x-rcpt-to",
    "x-bcc",
    "x-forwarded-to",
    "x-forwarded-for",
    "delivered-to",
    "x-delivered-to",
    "x-original-to",
    // What was no field, and may hold anything.
    "x-mailsluice-unreadable",
    // Who is told of delivery, reading or failure.
    "errors-to",
    "return-receipt-to",
    "disposition-notification-to",
    "x-confirm-reading-to",
    "read-receipt-to",
];

const ORIGINATORS: [Pattern; 4] = ["from", "sender", "resent-from", "resent-sender"];

const TEXTS: [Pattern; 5] = ["subject", "comments", "keywords", "mime-version", "content-*"];

/// What a field is, by its name as a careless reader takes it.
#[must_use]
pub fn role(field: &Field<'_>) -> FieldRole {
    let name = field.careless_name();
    let is_one_of = |patterns: &[Pattern]| patterns.iter().any(|pattern| fits(pattern, &name));
    if let Some(destination) = DESTINATIONS.iter().find(|one| one.as_bytes().eq_ignore_ascii_case(&name)) {
        FieldRole::Destination(destination)
    } else if field.is_blind() {
        FieldRole::Blind
    } else if is_one_of(&CONTROLS) {
        FieldRole::Control
    } else if is_one_of(&ORIGINATORS) {
        FieldRole::Originator
    } else if is_one_of(&TEXTS) {
        FieldRole::Text
    } else {
        FieldRole::Other
    }
}

/// Removes the blind copies: Bcc and Resent-Bcc (RFC 5322 3.6.3).
pub fn remove_blind_copies(header: &mut Header<'_>) {
    header.retain(|field| role(field) != FieldRole::Blind);
}

fn fits(pattern: Pattern, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_its_role() {
        for (line, want) in [
            ("To: a", FieldRole::Destination("To")),
            ("rEsent-cc : a", FieldRole::Destination("Resent-Cc")),
            ("T\r\n o: a", FieldRole::Destination("To")),
            ("Bcc\u{1}: a", FieldRole::Blind),
            ("resent-BCC:", FieldRole::Blind),
            ("X-SMTPAPI: {}", FieldRole::Control),
            ("X-Smtpapi-Not: {}", FieldRole::Other),
            ("x-mc-BccAddress: a", FieldRole::Control),
            ("X-MSYS-API: {}", FieldRole::Control),
            ("X-Mailgun-Recipient-Variables: {}", FieldRole::Control),
            ("X-MJ-Vars: {}", FieldRole::Control),
            ("X-PM-Message-Stream: a", FieldRole::Control),
            ("X-SES-Configuration-Set: a", FieldRole::Control),
            ("Apparently-To: a", FieldRole::Control),
            ("X-Envelope-To: a", FieldRole::Control),
            ("X-Forwarded-To: a", FieldRole::Control),
            ("Delivered-To: a", FieldRole::Control),
            ("X-Original-To: a", FieldRole::Control),
            ("Errors-To: a", FieldRole::Control),
            ("Return-Receipt-To: a", FieldRole::Control),
            ("Disposition-Notification-To: a", FieldRole::Control),
            ("From: a", FieldRole::Originator),
            ("Subject: a", FieldRole::Text),
            ("Content-Type: a", FieldRole::Text),
            ("Reply-To: a", FieldRole::Other),
            ("nonsense", FieldRole::Other),
            ("", FieldRole::Other),
        ] {
            assert_eq!(role(&Field::of(line.as_bytes())), want, "{line:?}");
        }
    }
}
