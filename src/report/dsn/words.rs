//! The part of a report that people read: what happened, where, why, and what to do.

use std::fmt::Write as _;

use super::contents::{Dsn, Kind, Listing, MAX_REPLY, Recipient};
use crate::mail::decoded_text;
use crate::mail::header::{Header, rfc5322_date};

/// Recipients that are named; the status part names all.
const MAX_NAMED: usize = 100;
/// Characters of the original's subject that are shown.
const MAX_SUBJECT: usize = 200;

/// The Subject of a report.
pub(super) fn subject(kind: Kind) -> &'static str {
    match kind {
        Kind::Failed => "Your message could not be delivered",
        Kind::Expired => "Your message could not be delivered in time",
        Kind::Delayed => "Your message is delayed",
        Kind::Relayed => "Your message was passed on",
    }
}

/// The text of a report.
pub(super) fn text(dsn: &Dsn<'_>, original: &Header<'_>) -> String {
    let opening = match dsn.kind {
        Kind::Failed => "Your message could not be delivered to:",
        Kind::Expired => "Your message could not be delivered in time, and is no longer tried, to:",
        Kind::Delayed => "Your message has not been delivered yet to:",
        Kind::Relayed => "Your message was passed on to a server that does not confirm delivery, to:",
    };
    let mut text = format!("This is the mail relay {}.\r\n\r\n{opening}\r\n", dsn.hostname);
    for recipient in dsn.recipients.iter().take(MAX_NAMED) {
        let _ = write!(text, "\r\n  {}\r\n", recipient.address);
        let reason = visible(&recipient.reply, MAX_REPLY);
        if !reason.is_empty() {
            let who = recipient.host.as_ref().map(|host| format!("{} said: ", visible(host, 255)));
            let _ = write!(text, "    {}{reason}\r\n", who.unwrap_or_default());
        }
        let _ = write!(text, "    {}\r\n", advice(dsn.kind, recipient));
        if let Some(Listing { until }) = recipient.listed {
            let until = until.map(|until| format!(" until {}", rfc5322_date(until))).unwrap_or_default();
            let _ = write!(
                text,
                "    The address is on this relay's blacklist now: mail to it is refused{until}.\r\n    If it is right, ask who \
                 runs this relay to remove it from there.\r\n"
            );
        }
    }
    let more = dsn.recipients.len().saturating_sub(MAX_NAMED);
    if more > 0 {
        let _ = write!(text, "\r\n  and {more} more, which the second part of this report lists.\r\n");
    }
    let _ = write!(
        text,
        "\r\nYour message:\r\n\r\n  Subject: {}\r\n  Accepted: {}\r\n  Queue id: {}\r\n",
        original_subject(original),
        rfc5322_date(dsn.arrival),
        dsn.queue_id
    );
    let attached = if dsn.returns_all() { "It" } else { "Its header" };
    let _ = write!(text, "\r\n{attached} is attached. Nobody reads answers to this report.\r\n");
    text
}

/// What the sender can do.
fn advice(kind: Kind, recipient: &Recipient) -> String {
    if kind == Kind::Relayed {
        return "You need do nothing; nobody will tell you when it arrives.".to_owned();
    }
    if kind == Kind::Delayed {
        let until = recipient.will_retry_until.map(|until| format!(" until {}", rfc5322_date(until)));
        return format!(
            "You need do nothing: it is tried again{}, and you are told should it fail.",
            until.unwrap_or_default()
        );
    }
    let status = recipient.status(kind);
    let detail = status.split_once('.').map_or("", |(_, detail)| detail);
    match detail {
        "1.1" | "1.2" | "1.3" | "1.10" | "2.1" => "Check the address, and send it again to the right one.",
        "2.2" => "The mailbox is full: send it again later, or tell the recipient in another way.",
        "2.3" | "3.4" => "It is too large: send it again with smaller attachments, or a link to them.",
        "6.3" => "The next server takes no 8-bit text: send it in another form, such as with an attachment.",
        "6.7" => "The next server takes no international addresses: send it to an address in plain letters.",
        "4.7" => {
            "The next server could not be reached, or did not take it, for too long: ask who runs this relay."
        }
        _ if detail.starts_with("7.") => {
            "It was refused by a rule: show this report to who runs this relay, or to the recipient."
        }
        _ if kind == Kind::Expired => "Send it again later; if that fails, too, ask who runs this relay.",
        _ => "What the other server said may tell why; if not, show this report to who runs this relay.",
    }
    .to_owned()
}

/// The original's subject, decoded.
fn original_subject(original: &Header<'_>) -> String {
    let subject = original.get("Subject").map_or_else(String::new, |field| decoded_text(&field));
    let subject = visible(&subject, MAX_SUBJECT);
    if subject.is_empty() { "(none)".to_owned() } else { subject }
}

/// A text in one line: control characters, and those that turn the direction of writing, become spaces.
fn visible(text: &str, most: usize) -> String {
    let unseen = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line: String = text.chars().take(most).map(|c| if unseen(c) { ' ' } else { c }).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
