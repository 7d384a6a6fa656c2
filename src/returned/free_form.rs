//! Reports for people. What programs write is known by its first words; what follows them names recipients, each with what the other
//! side has said. The mail that was sent may stand below: of that nothing is read.

use mail_parser::{HeaderName, Message};

use super::judgement::of_text;
use super::report::{NotTaken, ReportForm, ReportedRecipient};
use crate::mail::Address;

/// Octets of the text that are looked at.
const LOOKED_AT: usize = 256 * 1024;
/// Lines that belong to an address that stands alone in one.
const LINES: usize = 5;
/// Senders of reports.
const DAEMONS: [&str; 5] =
    ["mailer-daemon", "mailerdaemon", "mail-daemon", "postmaster", "microsoftexchange"];
/// Lines behind which the mail stands that was sent.
const BREAKS: [&str; 12] = [
    "--- below this line is a copy",
    "------ this is a copy of",
    "--- the header of the original",
    "--- enclosed are the original",
    "----- original message",
    "-----original message",
    "---- original message",
    "original message headers",
    "original message follows",
    "received:",
    "return-path:",
    "dkim-signature:",
];

/// An address, and the lines at it.
struct Entry {
    address: String,
    text: String,
    /// Whether the mail was written to another address.
    is_forwarded: bool,
}

/// The recipients of a report, and how it is written; `None` when it is none.
pub(super) fn read(message: &Message<'_>) -> Option<(ReportForm, Vec<ReportedRecipient>)> {
    if !is_of_a_daemon(message) {
        return None;
    }
    let text = message.body_text(0)?;
    let lines = report_lines(&text);
    let start = lines.iter().take(20).map(|line| line.trim()).collect::<Vec<_>>().join(" ").to_lowercase();
    let (form, entries) =
        if start.contains("this is the qmail-send program") || start.starts_with("hi. this is the") {
            (ReportForm::Qmail, bracketed(&lines))
        } else if start.contains("this is the mail system at host") {
            (ReportForm::Postfix, bracketed(&lines))
        } else if start.contains("this message was created automatically by mail delivery software") {
            (ReportForm::Exim, alone(&lines, is_indented))
        } else if let Some(address) = only_failed(message) {
            let entry = Entry { address, text: lines.join("\n"), is_forwarded: false };
            (ReportForm::Google, vec![entry])
        } else {
            // Whatever its language: an address alone in a line, and below it a reply with its codes in quotes or behind a `#`.
            let mut entries = alone(&lines, |_| true);
            let is_reply = |text: &str| ["'5", "#5", "\"5", "’5"].iter().any(|mark| text.contains(mark));
            entries.retain(|entry| is_reply(&entry.text) && of_text(&entry.text) != Err(NotTaken::NoStatus));
            (ReportForm::Exchange, entries)
        };
    let recipients: Vec<ReportedRecipient> = entries.into_iter().map(Entry::judge).collect();
    (!recipients.is_empty()).then_some((form, recipients))
}

impl Entry {
    fn judge(self) -> ReportedRecipient {
        let verdict = if self.is_forwarded { Err(NotTaken::Forwarded) } else { of_text(&self.text) };
        ReportedRecipient::new(&self.address, &self.text, verdict)
    }
}

/// Whether a program has sent it: from the null reverse-path, or by a name that only programs have.
fn is_of_a_daemon(message: &Message<'_>) -> bool {
    let is_null = message.header_raw(HeaderName::ReturnPath).is_some_and(|path| path.trim() == "<>");
    let from = message.from().and_then(|from| from.first()).and_then(|from| from.address.as_deref());
    let local = from.and_then(|from| from.rsplit_once('@')).map(|(local, _)| local.to_lowercase());
    is_null || local.is_some_and(|local| DAEMONS.iter().any(|daemon| local.starts_with(daemon)))
}

/// The lines of the report, without those of the mail that was sent.
fn report_lines(text: &str) -> Vec<&str> {
    let mut end = text.len().min(LOOKED_AT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let is_break = |line: &&str| {
        let line = line.trim().to_lowercase();
        BREAKS.iter().any(|known| line.starts_with(known))
    };
    text[..end].lines().take_while(|line| !is_break(line)).collect()
}

/// Paragraphs that begin with `<address>:`.
fn bracketed(lines: &[&str]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut is_open = false;
    for line in lines {
        let head = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        if let Some((address, rest)) = head {
            let (alias, text) = rest.split_once(':').unwrap_or((rest, ""));
            let is_forwarded = !alias.trim().is_empty();
            entries.push(Entry { address: address.to_owned(), text: text.to_owned(), is_forwarded });
            is_open = true;
        } else if line.trim().is_empty() {
            is_open = false;
        } else if let Some(entry) = entries.last_mut().filter(|_| is_open) {
            entry.text.push('\n');
            entry.text.push_str(line);
        }
    }
    entries
}

/// Addresses that stand alone in a line that fits, each with the lines below it.
fn alone(lines: &[&str], fits: fn(&str) -> bool) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut left = 0;
    for line in lines {
        if let Some(address) = lonely_address(line).filter(|_| fits(line)) {
            entries.push(Entry { address, text: String::new(), is_forwarded: false });
            left = LINES;
            continue;
        }
        let Some(entry) = entries.last_mut().filter(|_| left > 0) else { continue };
        if line.trim().is_empty() {
            // An empty line may stand between the address and what is said of it.
            left = if entry.text.is_empty() { left } else { 0 };
            continue;
        }
        left -= 1;
        entry.is_forwarded |= line.to_lowercase().contains("generated from");
        entry.text.push_str(line);
        entry.text.push('\n');
    }
    entries
}

fn is_indented(line: &str) -> bool {
    line.starts_with([' ', '\t'])
}

/// The address that is all of a line, perhaps twice: `a@b (a@b)`, `a@b <mailto:a@b>`.
fn lonely_address(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().map(|word| {
        let bare = |c: char| matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | ':' | ',');
        let word = word.trim_matches(bare);
        word.strip_prefix("mailto:").unwrap_or(word)
    });
    let address = words.next()?;
    let is_all = words.all(|word| word == address);
    (is_all && address.contains('@') && Address::parse(address).is_ok()).then(|| address.to_owned())
}

/// The one address that `X-Failed-Recipients` names; of several nobody can tell who is meant by the text.
fn only_failed(message: &Message<'_>) -> Option<String> {
    let failed = message.header_raw("X-Failed-Recipients")?.trim();
    Address::parse(failed).is_ok().then(|| failed.to_owned())
}
