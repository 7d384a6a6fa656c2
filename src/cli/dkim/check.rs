//! `mailsluice dkim check`

use std::fmt::Write as _;

use clap::Args;
use jiff::civil::Date;
use serde::Serialize;

use super::super::client::runtime;
use super::super::context::CliContext;
use super::super::failure::Failure;
use super::keys::{name, own_keys};
use crate::dkim::{FindingLevel, OwnKey, Published, Standing, judge};
use crate::dns::Resolver;
use crate::mail::DomainKey;
use crate::report::log::escape::printable;

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckOptions {
    /// The domain that signs
    #[arg(value_parser = name)]
    domain: DomainKey,
    /// The key of this selector only
    #[arg(long, value_parser = name)]
    selector: Option<DomainKey>,
}

/// What there is to say of a key, in the shape of `doctor`.
#[derive(Debug, Serialize)]
struct KeyLine {
    check: &'static str,
    /// The name of the record.
    subject: String,
    /// `ok warning fault unknown`
    level: &'static str,
    text: String,
    /// What to do; null where nothing is to be done.
    remedy: Option<String>,
}

/// Asks the DNS, and compares.
pub(super) fn execute(options: &CheckOptions, context: &CliContext) -> Result<(), Failure> {
    let config = context.load()?.config;
    let (signer, keys) = own_keys(&config, &options.domain, options.selector.as_ref())?;
    let today = signer.today();
    let found: Vec<Published> = runtime()?.block_on(async {
        let resolver = Resolver::new(&config.dns.servers).map_err(|error| Failure::Failed(error.into()))?;
        let mut found = Vec::new();
        for key in &keys {
            found.push(Published::ask(&resolver, &key.record().name).await);
        }
        Ok::<_, Failure>(found)
    })?;
    let lines: Vec<KeyLine> =
        keys.iter().zip(&found).flat_map(|(key, published)| lines(key, published, today)).collect();
    context.print_value(&lines, &text(&lines))?;
    if lines.iter().any(|line| matches!(line.level, "fault" | "unknown")) {
        return Err(Failure::Told);
    }
    Ok(())
}

fn lines(key: &OwnKey, published: &Published, today: Date) -> Vec<KeyLine> {
    let line =
        |level, text, remedy| KeyLine { check: "dkim", subject: key.record().name, level, text, remedy };
    let findings = judge(key, published, today);
    if findings.is_empty() {
        let text = match key.term.standing(today) {
            Standing::Signs => "is published as it should be".to_owned(),
            Standing::Waits(begins) => format!("is published as it should be; it signs from {begins} on"),
            Standing::Stopped(ends) => {
                format!("is still published, for mail that is under way; it has not signed since {ends}")
            }
        };
        return vec![line("ok", text, None)];
    }
    let of = |level| match level {
        FindingLevel::Warning => "warning",
        FindingLevel::Unknown => "unknown",
        FindingLevel::Fault => "fault",
    };
    findings.into_iter().map(|finding| line(of(finding.level), finding.text, Some(finding.remedy))).collect()
}

/// A line each, and the remedy below it. Nothing is broken into lines: records are there to be copied.
fn text(lines: &[KeyLine]) -> String {
    let mut out = String::new();
    for KeyLine { subject, level, text, remedy, .. } in lines {
        let _ = writeln!(out, "{level:8}{subject} {}", printable(text));
        if let Some(remedy) = remedy {
            let _ = writeln!(out, "{:8}{}", "", printable(remedy));
        }
    }
    out
}
