//! `mailsluice doctor`

mod machine;
mod records;

use std::sync::Arc;

use serde::Serialize;

use super::client::{Client, RequestPath};
use super::context::CliContext;
use super::failure::Failure;
use super::output::count;
use super::probe::{self, ProbedJson};
use super::table::TextTable;
use super::viewer::Viewer;
use crate::config::{LoadedConfig, Warning};
use crate::control::view::{MessageJson, StatusJson};
use crate::doctor::{Check, Diagnosis, Level, judge_parent, senders_in_use};
use crate::time::{SystemClock, Timeline};
use crate::transform::Signer;

/// Messages of the queue whose senders are looked at.
const MOST_MESSAGES: &str = "10000";

/// Looks for what keeps mail from arriving, and says what to do.
///
/// Each account is tested as `probe` does it. Of each sender domain in use (filters, senders of upstreams, users and rules,
/// certificates, DKIM keys, logins, mail in the queue) SPF, DKIM, DMARC and MX are looked up, and judged by the rules that receivers
/// have. Sends nothing, and changes nothing. What cannot be judged, since it is not known, is told apart from what is wrong: exit
/// status 1 is for faults alone.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorOptions {
    /// Leave out the test of the accounts
    #[arg(long)]
    no_probe: bool,
}

/// A finding as `--json` has it.
#[derive(Debug, Serialize)]
struct DiagnosisJson<'f> {
    check: &'static str,
    subject: &'f str,
    /// `ok warning fault unknown`
    level: &'static str,
    text: &'f str,
    remedy: Option<&'f str>,
}

/// What a running relay says of itself.
#[derive(Debug, Default)]
struct Heard {
    status: Option<StatusJson>,
    /// The reverse-paths of what is in the queue.
    senders: Vec<String>,
}

pub(super) fn execute(options: &DoctorOptions, context: &CliContext) -> Result<(), Failure> {
    let LoadedConfig { config, warnings, .. } = context.load()?;
    let heard = hear(&context.client()?);
    let mut found: Vec<Diagnosis> = warnings.iter().map(of_warning).collect();
    if !options.no_probe {
        found.extend(probed(probe::quietly(&config, context)));
    }
    let timeline = Timeline::resume(Arc::new(SystemClock), None);
    let signer = Signer::new(&config.dkim, timeline).map_err(|error| Failure::Failed(error.into()))?;
    let senders = senders_in_use(&config, &signer, &heard.senders);
    found.extend(records::judge(&config, &signer, &senders.domains)?);
    found.extend(senders.parents.iter().flat_map(judge_parent));
    found.extend(machine::judge(&config, heard.status.as_ref()));
    let shown: Vec<DiagnosisJson<'_>> = found.iter().map(json).collect();
    context.print_value(&shown, &render(&found, &Viewer::now()))?;
    if found.iter().any(|finding| finding.level == Level::Fault) { Err(Failure::Told) } else { Ok(()) }
}

/// Asks a running relay. Whatever it does not answer, the configuration alone says.
fn hear(client: &Client) -> Heard {
    if !client.finds_relay().unwrap_or(false) {
        return Heard::default();
    }
    let status = client.get::<StatusJson>(&RequestPath::path(&["status"])).ok().map(|answer| answer.value);
    let target = RequestPath::path(&["queue"]).with("limit", Some(MOST_MESSAGES));
    let messages = client.get::<Vec<MessageJson>>(&target).map(|answer| answer.value).unwrap_or_default();
    Heard { status, senders: messages.into_iter().map(|message| message.from).collect() }
}

fn json(finding: &Diagnosis) -> DiagnosisJson<'_> {
    DiagnosisJson {
        check: finding.check.as_str(),
        subject: &finding.subject,
        level: finding.level.as_str(),
        text: &finding.text,
        remedy: finding.remedy.as_deref(),
    }
}

/// What reading the configuration warns of.
fn of_warning(warning: &Warning) -> Diagnosis {
    let located = warning.located();
    Diagnosis {
        check: Check::Configuration,
        subject: located.key.clone(),
        level: Level::Warning,
        text: located.what.clone(),
        remedy: Some(located.instead.clone()),
    }
}

/// How the accounts are.
fn probed(done: Result<Vec<ProbedJson>, Failure>) -> Vec<Diagnosis> {
    let finding = |subject: String, level, text, remedy| Diagnosis {
        check: Check::Probe,
        subject,
        level,
        text,
        remedy,
    };
    let accounts = match done {
        Ok(accounts) => accounts,
        Err(failure) => {
            let text = format!("the accounts cannot be tested: {}", failure.reason());
            let remedy = Some("run mailsluice probe as the relay's user".to_owned());
            return vec![finding("all accounts".to_owned(), Level::Unknown, text, remedy)];
        }
    };
    let of = |ProbedJson { account, result, .. }: ProbedJson| {
        let subject = format!("{} {}", account.upstream, account.account).trim_end().to_owned();
        match (result.ok, result.reason, result.note) {
            (true, _, None) => finding(subject, Level::Ok, "can log in and send".to_owned(), None),
            (true, _, Some(note)) => {
                let text = format!("can log in, but no mail goes by it: {note}");
                let remedy = result.action.or(Some("see mailsluice status".to_owned()));
                finding(subject, Level::Warning, text, remedy)
            }
            (false, reason, _) => {
                let text = reason.unwrap_or_else(|| "cannot send".to_owned());
                let remedy = result.action.or(Some("see mailsluice probe".to_owned()));
                finding(subject, Level::Fault, text, remedy)
            }
        }
    };
    accounts.into_iter().map(of).collect()
}

/// How a level is called in the table.
fn word(level: Level) -> &'static str {
    match level {
        Level::Unknown => "cannot be judged",
        other => other.as_str(),
    }
}

/// The worst first.
fn render(found: &[Diagnosis], viewer: &Viewer) -> String {
    let mut sorted: Vec<&Diagnosis> = found.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let mut table = TextTable::new(&["LEVEL", "CHECK", "OF", "FOUND"]).folding(&["FOUND"]);
    for finding in sorted {
        let Diagnosis { check, subject, level, text, remedy } = finding;
        table.row(&[word(*level).to_owned(), check.as_str().to_owned(), subject.clone(), text.clone()]);
        if let Some(remedy) = remedy {
            table.note(&format!("to do: {remedy}"));
        }
    }
    let of = |level: Level| found.iter().filter(|finding| finding.level == level).count() as u64;
    let (faults, warnings) = (count(of(Level::Fault), "fault"), count(of(Level::Warning), "warning"));
    let (unknown, ok) = (of(Level::Unknown), of(Level::Ok));
    format!(
        "{}\n\n{faults}, {warnings}, {unknown} that cannot be judged, {ok} ok.",
        table.render(viewer).trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_the_dns_is_harmless_and_the_worst_stands_first() {
        let finding = |level, text: &str, remedy: Option<&str>| Diagnosis {
            check: Check::Spf,
            subject: "firm.example".to_owned(),
            level,
            text: text.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let found = [
            finding(Level::Ok, "well", None),
            finding(Level::Unknown, "who knows", None),
            finding(Level::Fault, "odd \u{1b}[31mred", Some("publish \u{7}this")),
        ];
        let text = render(&found, &Viewer::utc("2026-11-22T07:00:00Z"));
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text}");
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert!(lines[1].starts_with("fault ") && lines[2].contains("to do: publish"), "{text}");
        assert!(lines[3].starts_with("cannot be judged "), "{text}");
        assert_eq!(*lines.last().unwrap(), "1 fault, 0 warnings, 1 that cannot be judged, 1 ok.");
    }
}
