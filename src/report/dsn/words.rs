//! The part of a report that people read: what happened, where, why, and what to do.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::cause::ReportCause;
use super::contents::{Dsn, Kind, Listing, MAX_REPLY, Recipient, ReportReader};
use super::phrases::{CauseWords, Phrases, fill};
use super::translation::phrases;
use crate::config::Language;
use crate::mail::decoded_text;
use crate::mail::header::Header;

/// Recipients that are named; the status part names all.
const MAX_NAMED: usize = 100;
/// Characters of the original's subject that are shown.
const MAX_SUBJECT: usize = 200;
/// Columns that sentences of ours are broken to.
const COLUMNS: usize = 76;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The tag of a language (RFC 5646).
pub(super) fn tag(language: Language) -> &'static str {
    phrases(language).tag
}

/// The Subject of a report.
pub(super) fn subject(dsn: &Dsn<'_>) -> String {
    let phrases = phrases(dsn.language);
    let subject = match dsn.kind {
        Kind::Failed if dsn.recipients.iter().all(|recipient| recipient.expired) => phrases.expired_subject,
        Kind::Failed => phrases.failed_subject,
        Kind::Delayed => phrases.delayed_subject,
        Kind::Relayed => phrases.relayed_subject,
    };
    match dsn.reader {
        ReportReader::Sender => subject.to_owned(),
        ReportReader::Operator { .. } => fill(phrases.copy_subject, subject),
    }
}

/// The text of a report.
pub(super) fn text(dsn: &Dsn<'_>, original: &Header<'_>) -> String {
    let mut text = TextBuilder { dsn, phrases: phrases(dsn.language), out: String::new() };
    text.opening();
    for group in groups(dsn.recipients) {
        text.group(&group);
    }
    text.closing(original);
    text.out
}

/// Recipients that one explanation is about.
struct Group<'a> {
    cause: ReportCause,
    expired: bool,
    recipients: Vec<&'a Recipient>,
}

/// The recipients that are named, by what happened to them, in the order in which each of that is met first.
fn groups(recipients: &[Recipient]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for recipient in recipients.iter().take(MAX_NAMED) {
        let (cause, expired) = (recipient.cause, recipient.expired);
        match groups.iter_mut().find(|group| (group.cause, group.expired) == (cause, expired)) {
            Some(group) => group.recipients.push(recipient),
            None => groups.push(Group { cause, expired, recipients: vec![recipient] }),
        }
    }
    groups
}

struct TextBuilder<'a> {
    dsn: &'a Dsn<'a>,
    phrases: &'static Phrases,
    out: String,
}

impl TextBuilder<'_> {
    fn opening(&mut self) {
        let Self { dsn, phrases, .. } = *self;
        let mut who = fill(phrases.relay, dsn.hostname);
        if let ReportReader::Operator { told } = dsn.reader {
            let copy = told.map_or_else(
                || phrases.copy_of_untold.to_owned(),
                |told| fill(phrases.copy_of_told, told.as_str()),
            );
            who = format!("{who} {copy}");
        }
        self.sentences("", &who);
        let counted = match dsn.kind {
            Kind::Failed => phrases.failed,
            Kind::Delayed => phrases.delayed,
            Kind::Relayed => phrases.relayed,
        };
        self.out.push_str("\r\n");
        self.sentences("", &counted.of(dsn.recipients.len() as u64));
    }

    /// The recipients of a group with what was said of each, and what it means.
    fn group(&mut self, group: &Group<'_>) {
        for recipient in &group.recipients {
            let _ = write!(self.out, "\r\n  {}\r\n", recipient.address);
            self.said(recipient);
            if recipient.may_have_arrived && self.dsn.kind == Kind::Failed {
                self.sentences("    ", self.phrases.may_have_arrived);
            }
            if let Some(Listing { until }) = recipient.listed {
                let listed = until.map_or_else(
                    || self.phrases.listed.to_owned(),
                    |until| fill(self.phrases.listed_until, &self.time(until)),
                );
                self.sentences("    ", &listed);
            }
        }
        let CauseWords { what, advice } = self.phrases.of_cause(group.cause);
        let explained = match self.dsn.kind {
            Kind::Failed if group.expired => {
                let lifetime = self.duration(self.dsn.lifetime);
                format!("{} {what} {advice}", fill(self.phrases.expired, &lifetime))
            }
            Kind::Failed => format!("{what} {advice}"),
            Kind::Delayed if group.cause == ReportCause::Untried => self.until(group),
            Kind::Delayed => format!("{what} {}", self.until(group)),
            Kind::Relayed => self.phrases.no_confirmation.to_owned(),
        };
        self.out.push_str("\r\n");
        self.sentences("  ", &explained);
    }

    /// The upstream's own reply, or what was noted, as it is: never broken, so that it can be searched for.
    fn said(&mut self, recipient: &Recipient) {
        let reply = visible(&recipient.reply, MAX_REPLY);
        if reply.is_empty() {
            return;
        }
        let who = recipient.host.as_ref().map_or_else(
            || self.phrases.last_note.to_owned(),
            |host| fill(self.phrases.host_said, &visible(host, 255)),
        );
        let _ = write!(self.out, "    {who} {reply}\r\n");
    }

    /// What comes next for what is late.
    fn until(&self, group: &Group<'_>) -> String {
        let until = group.recipients.first().and_then(|recipient| recipient.will_retry_until);
        until.map_or_else(
            || self.phrases.tried_on.to_owned(),
            |until| fill(self.phrases.tried_until, &self.time(until)),
        )
    }

    fn closing(&mut self, original: &Header<'_>) {
        let Self { dsn, phrases, .. } = *self;
        let more = dsn.recipients.len().saturating_sub(MAX_NAMED);
        if more > 0 {
            self.out.push_str("\r\n");
            self.sentences("  ", &fill(phrases.and_more, &more.to_string()));
        }
        let subject = original.get("Subject").map_or_else(String::new, |field| decoded_text(&field));
        let subject = visible(&subject, MAX_SUBJECT);
        let subject = if subject.is_empty() { phrases.no_subject } else { &subject };
        let _ = write!(self.out, "\r\n{}\r\n\r\n", phrases.your_message);
        let accepted = self.time(dsn.arrival);
        for (name, value) in [
            (phrases.subject, subject),
            (phrases.accepted, &accepted),
            (phrases.queue_id, dsn.queue_id.as_str()),
        ] {
            let _ = write!(self.out, "  {name} {value}\r\n");
        }
        let attached = if dsn.returns_all() { phrases.message_attached } else { phrases.header_attached };
        let _ = write!(self.out, "\r\n{attached} {}\r\n", phrases.no_answers);
    }

    /// Writes sentences in lines of bounded width.
    fn sentences(&mut self, indent: &str, sentences: &str) {
        let mut width = 0;
        for word in sentences.split(' ').filter(|word| !word.is_empty()) {
            let length = word.chars().count();
            if width == 0 || width + 1 + length > COLUMNS {
                self.out.push_str(if width == 0 { "" } else { "\r\n" });
                self.out.push_str(indent);
                width = indent.len() + length;
            } else {
                self.out.push(' ');
                width += 1 + length;
            }
            self.out.push_str(word);
        }
        self.out.push_str("\r\n");
    }

    fn time(&self, time: Timestamp) -> String {
        time.to_zoned(self.dsn.zone.clone()).strftime(self.phrases.time).to_string()
    }

    /// A length of time in the largest unit that says it exactly, of days, hours and minutes.
    fn duration(&self, length: Duration) -> String {
        let seconds = length.as_secs();
        let units = [(DAY, self.phrases.days), (HOUR, self.phrases.hours)];
        let exact = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
        let (unit, counted) = exact.unwrap_or((60, self.phrases.minutes));
        counted.of(seconds.div_ceil(unit))
    }
}

/// A text in one line: control characters, and those that turn the direction of writing, become spaces.
fn visible(text: &str, most: usize) -> String {
    let unseen = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line: String = text.chars().take(most).map(|c| if unseen(c) { ' ' } else { c }).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
