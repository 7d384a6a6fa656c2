//! `mailsluice explain`

use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;

use super::client::runtime;
use super::context::CliContext;
use super::failure::{Failure, warn};
use crate::config::{ByteSize, LoadedConfig};
use crate::explain::{AccountLimits, Explanation, Inquiry, PATIENCE, QuotaLimit, explain};
use crate::limits::SHARED;
use crate::mail::header::scan;
use crate::mail::{Address, ReversePath};
use crate::report::log::escape::printable;
use crate::time::{Clock as _, SystemClock};
use anyhow::Context as _;

/// The largest file that is read, in octets.
const LARGEST: u64 = 256 << 20;

/// Which rules, route, signature and limits a message would get. Nothing is sent, and no relay need run.
///
/// The configuration alone is asked: what has been used of the limits, which upstreams are down, the blacklist, and whether test
/// mode was switched by a command, only the running relay knows.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainOptions {
    /// A message as the program would send it; - is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The reverse-path (MAIL FROM); "" for a report [default: the address in From]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// A recipient (RCPT TO); may be given several times
    #[arg(long, value_name = "ADDRESS", required = true)]
    to: Vec<String>,
    /// Who would have logged in
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The client's address
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    client: IpAddr,
    /// The listener's address [default: the first one]
    #[arg(long, value_name = "ADDRESS")]
    listener: Option<String>,
}

pub(super) fn execute(options: &ExplainOptions, context: &CliContext) -> Result<(), Failure> {
    let LoadedConfig { config, warnings, .. } = context.load()?;
    if !context.json {
        warn(&warnings);
    }
    let question = question(options).map_err(Failure::Failed)?;
    let answer =
        runtime()?.block_on(async { tokio::time::timeout(PATIENCE, explain(&config, &question)).await });
    let told = answer.map_err(|_| Failure::Failed(anyhow::anyhow!("the disk does not answer")))?;
    context.print_value(&told, &text(&told))
}

fn question(options: &ExplainOptions) -> anyhow::Result<Inquiry> {
    let mut content = Vec::new();
    let name = options.file.display();
    if options.file.as_os_str() == "-" {
        std::io::stdin().take(LARGEST).read_to_end(&mut content).context("cannot read stdin")?;
    } else {
        let file = std::fs::File::open(&options.file).with_context(|| format!("cannot open {name}"))?;
        file.take(LARGEST).read_to_end(&mut content).with_context(|| format!("cannot read {name}"))?;
    }
    let address =
        |text: &String| Address::parse(text).with_context(|| format!("{text:?} is no mail address"));
    let reverse_path = match options.from.as_deref() {
        Some("" | "<>") => ReversePath::Null,
        Some(from) => ReversePath::Address(address(&from.to_owned())?),
        None => match scan(&content).author.mailboxes() {
            [only] => ReversePath::Address(only.clone()),
            _ => anyhow::bail!("{name} has not one address in From: say --from ADDRESS"),
        },
    };
    let recipients = options.to.iter().map(address).collect::<anyhow::Result<_>>()?;
    let (user, client, listener) = (options.user.clone(), options.client, options.listener.clone());
    Ok(Inquiry { content, reverse_path, recipients, user, client, listener, now: SystemClock.wall() })
}

/// A line for each thing that is known.
fn text(told: &Explanation) -> String {
    let some = |text: &Option<String>| text.clone().unwrap_or_default();
    let path = if told.reverse_path.is_empty() { "<>".to_owned() } else { told.reverse_path.clone() };
    let refused = told.refused.iter().map(|one| format!("{}: {}", one.recipient, one.reply));
    let keys = told.dkim.iter().map(|key| format!("{}._domainkey.{}", key.selector, key.domain));
    let lines = [
        ("refused", some(&told.rejected)),
        ("refused by the rule", some(&told.rejected_by)),
        ("recipients refused", refused.collect::<Vec<_>>().join("; ")),
        ("rules", told.rules.join(", ")),
        ("decided", told.decided.join("; ")),
        ("upstream", some(&told.upstream)),
        ("as", some(&told.detour)),
        ("taken out of", some(&told.edited)),
        ("accounts", told.accounts.join(", ")),
        ("fallback", told.fallback.join(", ")),
        ("from", some(&told.from)),
        ("reverse-path", if told.upstream.is_some() { path } else { String::new() }),
        ("recipients", told.recipients.join(", ")),
        ("copies", told.copies.join(", ")),
        ("test mode", some(&told.test_mode)),
        ("held by", some(&told.held_by)),
        ("not before", some(&told.not_before)),
        ("signed by", keys.collect::<Vec<_>>().join(", ")),
        ("can't be sent", some(&told.undeliverable)),
        ("limits", told.limits.iter().map(limits).collect::<Vec<_>>().join("; ")),
    ];
    let there = lines.iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<String> = there.map(|(name, value)| format!("{name}: {}", printable(value))).collect();
    lines.join("\n")
}

fn limits(limits: &AccountLimits) -> String {
    let windows = limits.windows.iter().map(|QuotaLimit { window, messages, recipients, octets }| {
        let messages = messages.map(|most| format!("{most} messages"));
        let recipients = recipients.map(|most| format!("{most} recipients"));
        let octets = octets.map(|most| ByteSize(most).to_string());
        let all: Vec<String> = messages.into_iter().chain(recipients).chain(octets).collect();
        format!("{} per {window}", all.join(" and "))
    });
    let mut all: Vec<String> = windows.collect();
    all.extend(limits.recipients_per_message.map(|most| format!("{most} recipients per message")));
    all.extend(limits.message_size.map(|size| format!("{size} octets per message")));
    let account = match limits.account.as_str() {
        "" => String::new(),
        SHARED => "all accounts together: ".to_owned(),
        account => format!("{account}: "),
    };
    format!("{account}{}", all.join(", "))
}
