//! `mailsluice limits`

use clap::builder::PossibleValuesParser;
use hyper::Method;

use super::client::Target;
use super::context::Context;
use super::failure::Failure;
use super::table::Table;
use super::when::When;
use crate::control::view::{Limit, LimitReset, Used};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What is used of the limits, by account and window
    Show {
        /// Of this upstream only
        upstream: Option<String>,
    },
    /// Forget what was counted, so that mail goes again at once
    Reset {
        /// The upstream
        upstream: String,
        /// Which windows [default: all]
        #[arg(long, value_name = "WINDOW", value_delimiter = ',',
              value_parser = PossibleValuesParser::new(["minute", "hour", "day", "week"]))]
        window: Vec<String>,
    },
}

pub(super) fn execute(command: Command, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let reply = match command {
        Command::Show { upstream } => {
            client.get(&Target::path(&["limits"]).with("upstream", upstream.as_deref()))?
        }
        Command::Reset { upstream, window } => {
            let reset = LimitReset { upstream, windows: window };
            client.submit(&Method::POST, &Target::path(&["limits", "reset"]), &reset)?
        }
    };
    context.print(&reply, |limits: &Vec<Limit>, when| render(limits, when))
}

fn render(limits: &[Limit], when: &When) -> String {
    let limits: Vec<_> =
        limits.iter().filter(|l| l.messages.limit.is_some() || l.recipients.limit.is_some()).collect();
    if limits.is_empty() {
        return "No limits are configured.".to_owned();
    }
    let mut table = Table::new(&["UPSTREAM", "ACCOUNT", "WINDOW", "MESSAGES", "RECIPIENTS", "NEXT FREE"]);
    for limit in limits {
        table.row(&[
            limit.upstream.clone(),
            limit.account.clone(),
            limit.window.clone(),
            used(limit.messages),
            used(limit.recipients),
            limit.next_free.as_deref().map_or_else(|| "now".to_owned(), |time| when.until(time)),
        ]);
    }
    table.render()
}

/// `29 of 30`, or `29` where there is no limit.
fn used(used: Used) -> String {
    match used.limit {
        Some(limit) => format!("{} of {limit}", used.used),
        None => used.used.to_string(),
    }
}

/// What is left of an upstream's limits: `1 of 30 messages a minute, 900 of 1000 recipients a day`.
pub(super) fn left(limits: &[Limit]) -> String {
    let parts: Vec<String> = limits
        .iter()
        .flat_map(|limit| {
            let part = |used: Used, noun: &str| {
                let limit_of = used.limit?;
                let left = u64::from(limit_of).saturating_sub(used.used);
                Some(format!("{left} of {limit_of} {noun} a {}", limit.window))
            };
            [part(limit.messages, "messages"), part(limit.recipients, "recipients")]
        })
        .flatten()
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> Limit {
        Limit {
            upstream: "office365".to_owned(),
            account: "erp@firm.example".to_owned(),
            window: "minute".to_owned(),
            messages: Used { used: 30, limit: Some(30) },
            recipients: Used { used: 41, limit: None },
            next_free: Some("2026-11-22T07:00:40.000Z".to_owned()),
        }
    }

    #[test]
    fn tells_what_is_used_and_until_when() {
        let text = render(&[limit()], &When::utc("2026-11-22T07:00:00Z"));
        let want = "\
UPSTREAM   ACCOUNT           WINDOW  MESSAGES  RECIPIENTS  NEXT FREE
office365  erp@firm.example  minute  30 of 30  41          07:00:40 (in 40s)
";
        assert_eq!(text, want);
        let unlimited = Limit { messages: Used { used: 30, limit: None }, ..limit() };
        assert_eq!(render(&[unlimited], &When::utc("2026-11-22T07:00:00Z")), "No limits are configured.");
        assert_eq!(left(&[limit()]), "0 of 30 messages a minute");
    }
}
