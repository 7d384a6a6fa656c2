//! `mailsluice blacklist learn`

use std::path::PathBuf;

use hyper::Method;
use serde::Serialize;

use super::sources::{self, FoundMessage};
use crate::cli::client::{Client, RequestPath};
use crate::cli::context::CliContext;
use crate::cli::failure::{Failure, complain};
use crate::cli::output::{self, JsonArray, count};
use crate::cli::progress::{ProgressUnit, TaskProgress};
use crate::cli::viewer::Viewer;
use crate::control::view::{BlacklistLine, LearnRequest, LearnedAddress, LearnedLine};
use crate::report::log::escape::printable;
use crate::returned::{self, MissingMailbox, ReportedRecipient};

/// Findings that are handed over and told at the same time; the relay takes so many addresses at once.
const PORTION: usize = 500;

/// What a message says of a recipient, or that it says nothing.
#[derive(Debug, Serialize)]
struct LearnedFinding {
    /// Where the message is.
    file: String,
    /// How the report is written; null when it is none.
    form: Option<&'static str>,
    recipient: Option<String>,
    /// What the other side has said.
    said: Option<String>,
    /// `added`, `renewed`, `kept`, `would_add`, `passed_over`.
    done: &'static str,
    /// Why it was passed over.
    why: Option<String>,
    entry: Option<BlacklistLine>,
    #[serde(skip)]
    missing: Option<String>,
}

/// What all messages have come to.
#[derive(Debug, Default)]
struct LearnSum {
    messages: u64,
    reports: u64,
    listed: u64,
    passed_over: u64,
}

/// Reads reports, and has the relay put on the list what they say; without one it is only told.
pub(super) fn learn(files: &[PathBuf], client: Option<&Client>, context: &CliContext) -> Result<(), Failure> {
    if let Some(client) = client {
        // Nobody should read thousands of reports for a relay that is not there.
        let target = RequestPath::path(&["blacklist"]).with("limit", Some("1"));
        client.get::<Vec<BlacklistLine>>(&target)?;
    }
    let mut learning = Learning {
        client,
        context,
        findings: Vec::new(),
        array: JsonArray::default(),
        sum: LearnSum::default(),
        progress: TaskProgress::unknown("reading", ProgressUnit::Things("message")),
    };
    let mut unread = false;
    for path in files {
        let mut take = |message: FoundMessage| learning.take(message).map_err(TakeError::Ended);
        match sources::each_message(path, &mut take) {
            Ok(()) => {}
            Err(TakeError::Ended(failure)) => return Err(failure),
            Err(TakeError::Unreadable(error)) => {
                unread = true;
                complain(&format!("mailsluice: {}: {error}", path.display()));
            }
        }
    }
    learning.end()?;
    if unread { Err(Failure::Told) } else { Ok(()) }
}

/// Why no more is taken of a file.
enum TakeError {
    Unreadable(std::io::Error),
    Ended(Failure),
}

impl From<std::io::Error> for TakeError {
    fn from(error: std::io::Error) -> Self {
        Self::Unreadable(error)
    }
}

struct Learning<'a> {
    client: Option<&'a Client>,
    context: &'a CliContext,
    /// Not told yet.
    findings: Vec<LearnedFinding>,
    array: JsonArray,
    sum: LearnSum,
    progress: TaskProgress,
}

impl Learning<'_> {
    fn take(&mut self, FoundMessage { place, content }: FoundMessage) -> Result<(), Failure> {
        self.sum.messages += 1;
        self.progress.show_count(self.sum.messages);
        match content.as_deref().map(returned::read) {
            Some(Ok(report)) => {
                self.sum.reports += 1;
                let form = report.form.name();
                let of = |recipient| LearnedFinding::of(place.clone(), form, recipient);
                self.findings.extend(report.recipients.into_iter().map(of));
            }
            Some(Err(no_report)) => self.findings.push(LearnedFinding::none(place, no_report.to_string())),
            None => self.findings.push(LearnedFinding::none(place, "it is larger than 50 MiB".to_owned())),
        }
        if self.findings.len() >= PORTION { self.flush() } else { Ok(()) }
    }

    /// Has the relay list what was found, and tells what became of it.
    fn flush(&mut self) -> Result<(), Failure> {
        let mut findings = std::mem::take(&mut self.findings);
        for portion in findings.chunks_mut(PORTION) {
            if let Some(client) = self.client {
                hand_over(client, portion)?;
            }
        }
        for finding in &findings {
            let is_passed_over = finding.done == PASSED_OVER;
            *(if is_passed_over { &mut self.sum.passed_over } else { &mut self.sum.listed }) += 1;
        }
        if self.context.json {
            let raw = serde_json::to_string(&findings).map_err(|error| Failure::Failed(error.into()))?;
            return self.array.add(&raw);
        }
        let viewer = Viewer::now();
        for finding in &findings {
            output::text(&viewer.sentences(&finding.told()))?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        self.flush()?;
        let Self { client, context, array, sum, progress, .. } = self;
        drop(progress);
        if context.json {
            return array.end();
        }
        let LearnSum { messages, reports, listed, passed_over } = sum;
        let listed = match client {
            Some(_) => format!("{} on the blacklist", count(listed, "address")),
            None => format!("{} would be on the blacklist", count(listed, "address")),
        };
        let read = format!("Read {}: {}", count(messages, "message"), count(reports, "report"));
        output::text(&Viewer::now().sentences(&format!("{read}, {listed}, {passed_over} passed over.")))
    }
}

const PASSED_OVER: &str = "passed_over";

fn hand_over(client: &Client, findings: &mut [LearnedFinding]) -> Result<(), Failure> {
    let missing = |finding: &LearnedFinding| {
        let reason = finding.said.clone().unwrap_or_default();
        finding.missing.clone().map(|address| LearnedAddress { address, reason })
    };
    let mailboxes: Vec<LearnedAddress> = findings.iter().filter_map(missing).collect();
    if mailboxes.is_empty() {
        return Ok(());
    }
    let target = RequestPath::path(&["blacklist", "learn"]);
    let answer = client.submit::<Vec<LearnedLine>>(&Method::POST, &target, &LearnRequest { mailboxes })?;
    let learned = findings.iter_mut().filter(|finding| finding.missing.is_some());
    for (finding, LearnedLine { done, entry }) in learned.zip(answer.value) {
        finding.done = match &*done {
            "added" => "added",
            "renewed" => "renewed",
            _ => "kept",
        };
        finding.entry = Some(entry);
    }
    Ok(())
}

impl LearnedFinding {
    fn of(file: String, form: &'static str, recipient: ReportedRecipient) -> Self {
        let ReportedRecipient { address, said, verdict } = recipient;
        let (missing, why) = match verdict {
            Ok(MissingMailbox { address }) => (Some(address.to_string()), None),
            Err(why) => (None, Some(why.to_string())),
        };
        let done = if missing.is_some() { "would_add" } else { PASSED_OVER };
        Self {
            file,
            form: Some(form),
            recipient: Some(address),
            said: Some(said),
            done,
            why,
            entry: None,
            missing,
        }
    }

    fn none(file: String, why: String) -> Self {
        let (form, recipient, said, entry, missing) = (None, None, None, None, None);
        Self { file, form, recipient, said, done: PASSED_OVER, why: Some(why), entry, missing }
    }

    /// What was done, for a person.
    fn told(&self) -> String {
        let said = self.said.as_deref().filter(|said| !said.is_empty());
        let said = said.map(|said| format!(" ({})", printable(said))).unwrap_or_default();
        let end = |entry: &BlacklistLine| match &entry.expires_at {
            Some(end) => format!("until {end}"),
            None => "for ever".to_owned(),
        };
        let what = match (self.done, &self.entry) {
            ("added", Some(entry)) => format!("on the blacklist {}", end(entry)),
            ("renewed", Some(entry)) => format!("was there already, now {}", end(entry)),
            ("kept", _) => "was there already, by a person".to_owned(),
            ("would_add", _) => "would be on the blacklist".to_owned(),
            _ => format!("passed over: {}", self.why.as_deref().unwrap_or("nothing is said of it")),
        };
        let file = printable(&self.file);
        match &self.recipient {
            Some(recipient) => format!("{}: {what}{said} [{file}]", printable(recipient)),
            None => format!("{file}: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::returned::NotTaken;

    #[test]
    fn says_what_is_done() {
        let recipient = |verdict| ReportedRecipient {
            address: "anna@firm.example".to_owned(),
            said: "550 5.2.2 full".to_owned(),
            verdict,
        };
        let passed = LearnedFinding::of("f".to_owned(), "exim", recipient(Err(NotTaken::OtherCause)));
        assert_eq!(
            passed.told(),
            "anna@firm.example: passed over: it has failed, but not since the mailbox does not exist (550 5.2.2 full) [f]"
        );
        let address = crate::mail::Address::parse("anna@firm.example").unwrap();
        let taken = LearnedFinding::of("f".to_owned(), "exim", recipient(Ok(MissingMailbox { address })));
        assert_eq!(taken.told(), "anna@firm.example: would be on the blacklist (550 5.2.2 full) [f]");
        assert_eq!(
            LearnedFinding::none("f\x1b".to_owned(), "x".to_owned()).told(),
            "f\\u001b: passed over: x"
        );
    }
}
