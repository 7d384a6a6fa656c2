//! `mailsluice limits`

use hyper::Method;

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use super::output::{count, size};
use super::table::TextTable;
use super::viewer::Viewer;
use crate::config::{ByteSize, Window};
use crate::control::view::{LimitJson, LimitReset, Used};
use crate::limits::SHARED;
use crate::report::log::escape::printable;

#[derive(Debug, clap::Subcommand)]
pub(super) enum LimitsCommand {
    /// What is used of the limits, by account and window
    #[command(after_help = "Example:\n  mailsluice limits show office365")]
    Show {
        /// Of this upstream only
        upstream: Option<String>,
    },
    /// Forget what was counted, pauses by the provider's word and learned paces, so that mail goes again at once
    #[command(after_help = "Example:\n  mailsluice limits reset office365 --window minute,hour")]
    Reset {
        /// The upstream
        upstream: String,
        /// Which windows: minute, hour, day, week, or a length such as 5m [default: all]
        #[arg(long, value_name = "WINDOW", value_delimiter = ',', value_parser = window)]
        window: Vec<String>,
    },
}

pub(super) fn execute(command: LimitsCommand, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    let reply = match command {
        LimitsCommand::Show { upstream } => {
            client.get(&RequestPath::path(&["limits"]).with("upstream", upstream.as_deref()))?
        }
        LimitsCommand::Reset { upstream, window } => {
            // The relay answers with what is left; what was there before tells what it forgot.
            let client = client.of_running();
            let before = client
                .get::<Vec<LimitJson>>(&RequestPath::path(&["limits"]).with("upstream", Some(&upstream)))?
                .value;
            let reset = LimitReset { upstream, windows: window };
            let reply = client.submit(&Method::POST, &RequestPath::path(&["limits", "reset"]), &reset)?;
            return context.print(&reply, |after: &Vec<LimitJson>, viewer| {
                format!("{}{}", forgotten(&before, after), render(after, viewer))
            });
        }
    };
    context.print(&reply, |limits: &Vec<LimitJson>, viewer| render(limits, viewer))
}

/// A window, as the table calls it.
fn window(name: &str) -> Result<String, &'static str> {
    let window = Window::from_name(name).map(|window| window.to_string());
    window.ok_or("write minute, hour, day, week, or a length such as 5m")
}

/// What a reset has forgotten, a line each.
fn forgotten(before: &[LimitJson], after: &[LimitJson]) -> String {
    let mut lines = Vec::new();
    for old in before {
        let same = |new: &&LimitJson| {
            (&new.upstream, &new.account, &new.limit_group, &new.window)
                == (&old.upstream, &old.account, &old.limit_group, &old.window)
        };
        let left = after.iter().find(same).map_or(0, |new| new.messages.used);
        let messages = old.messages.used.saturating_sub(left);
        let account = whose(old);
        if messages > 0 {
            lines.push(format!("{account}: {} in the last {}", count(messages, "message"), old.window));
        }
        let still = after.iter().find(same).and_then(|new| new.reason.as_ref());
        if let Some(reason) = old.reason.as_ref().filter(|_| still.is_none() && old.window == "minute") {
            lines.push(format!("{account}: {reason}"));
        }
    }
    let line = |line: &String| format!("Forgot {}\n", printable(line));
    if lines.is_empty() {
        "Nothing was to be forgotten.\n".to_owned()
    } else {
        lines.iter().map(line).collect()
    }
}

/// Whose limit it is, as people read it.
fn whose(limit: &LimitJson) -> String {
    match (&limit.limit_group, limit.account.as_str()) {
        (Some(group), _) => format!("limit group {group}"),
        (None, "") => "without a login".to_owned(),
        (None, SHARED) => "all together".to_owned(),
        (None, name) => name.to_owned(),
    }
}

fn render(limits: &[LimitJson], viewer: &Viewer) -> String {
    // What holds back an account without limits has no window of its own.
    let tells = |l: &&LimitJson| {
        l.messages.limit.is_some()
            || l.recipients.limit.is_some()
            || l.octets.limit.is_some()
            || (l.reason.is_some() && l.window == "minute")
    };
    let limits: Vec<_> = limits.iter().filter(tells).collect();
    if limits.is_empty() {
        return "No limits are configured.".to_owned();
    }
    let mut heads = vec!["UPSTREAM", "ACCOUNT", "WINDOW", "MESSAGES", "RECIPIENTS", "OCTETS", "NEXT FREE"];
    let has_octets = limits.iter().any(|limit| limit.octets.limit.is_some());
    heads.retain(|head| has_octets || *head != "OCTETS");
    let mut table =
        TextTable::new(&heads).folding(&["NEXT FREE", "OCTETS", "RECIPIENTS", "MESSAGES", "WINDOW"]);
    let mut told: Option<(&String, String)> = None;
    for limit in limits {
        let mut cells = vec![
            limit.upstream.clone(),
            whose(limit),
            limit.window.clone(),
            used(limit.messages),
            used(limit.recipients),
        ];
        cells.extend(has_octets.then(|| octets(limit.octets)));
        cells.push(limit.next_free.as_deref().map_or_else(|| "now".to_owned(), |time| viewer.until(time)));
        table.row(&cells);
        if let Some(full) = full(limit) {
            table.note(&format!("this limit blocks: {full}"));
        }
        let whose = (&limit.upstream, whose(limit));
        if let Some(reason) = limit.reason.as_ref().filter(|_| told.as_ref() != Some(&whose)) {
            table.note(reason);
            told = Some(whose);
        }
    }
    table.render(viewer)
}

/// `29 of 30`, or `29` where there is no limit.
fn used(used: Used) -> String {
    match used.limit {
        Some(limit) => format!("{} of {limit}", used.used),
        None => used.used.to_string(),
    }
}

/// `98 MiB of 150MB`, or `98 MiB` where there is no limit.
fn octets(used: Used) -> String {
    match used.limit {
        Some(limit) => format!("{} of {}", size(used.used), ByteSize(limit)),
        None => size(used.used),
    }
}

/// `a minute`, `an hour`, `in 5m`
pub(super) fn in_each(window: &str) -> String {
    match window {
        "hour" => "an hour".to_owned(),
        "minute" | "day" | "week" => format!("a {window}"),
        length => format!("in {length}"),
    }
}

/// What of a window is used up: `30 of 30 messages a minute`.
fn full(limit: &LimitJson) -> Option<String> {
    let part = |used: Used, noun: &str| {
        let most = used.limit.filter(|&most| used.used >= most)?;
        Some(format!("{} of {most} {noun} {}", used.used, in_each(&limit.window)))
    };
    let is_full = limit.octets.limit.is_some_and(|most| limit.octets.used >= most);
    let of_octets = is_full.then(|| format!("{} {}", octets(limit.octets), in_each(&limit.window)));
    let parts = [part(limit.messages, "messages"), part(limit.recipients, "recipients"), of_octets];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The limits that keep an account from sending, with their figures; those of all accounts together keep each of them.
pub(super) fn blocking(limits: &[LimitJson], account: &str) -> String {
    let is_its = |limit: &&LimitJson| limit.account == account || limit.account == SHARED;
    let said = |limit: &LimitJson| {
        let whose = match &limit.limit_group {
            Some(group) => format!(" (limit group {group})"),
            None if limit.account == SHARED => " (all accounts together)".to_owned(),
            None => String::new(),
        };
        full(limit).map(|full| format!("{full}{whose}"))
    };
    limits.iter().filter(is_its).filter_map(said).collect::<Vec<_>>().join(", ")
}

/// What is left of an upstream's limits: `1 of 30 messages a minute, 900 of 1000 recipients a day`.
pub(super) fn left(limits: &[LimitJson]) -> String {
    let parts: Vec<String> = limits
        .iter()
        .flat_map(|limit| {
            let part = |used: Used, noun: &str| {
                let most = used.limit?;
                let left = most.saturating_sub(used.used);
                Some(format!("{left} of {most} {noun} {}", in_each(&limit.window)))
            };
            let of_octets = limit.octets.limit.map(|most| {
                let left = most.saturating_sub(limit.octets.used);
                format!("{} of {} {}", size(left), ByteSize(most), in_each(&limit.window))
            });
            [part(limit.messages, "messages"), part(limit.recipients, "recipients"), of_octets]
        })
        .flatten()
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> LimitJson {
        LimitJson {
            upstream: "office365".to_owned(),
            account: "erp@firm.example".to_owned(),
            limit_group: None,
            window: "minute".to_owned(),
            messages: Used { used: 30, limit: Some(30) },
            recipients: Used { used: 41, limit: None },
            octets: Used { used: 0, limit: None },
            next_free: Some("2026-11-22T07:00:40.000Z".to_owned()),
            reason: None,
        }
    }

    #[test]
    fn tells_what_is_used_and_until_when() {
        let text = render(&[limit()], &Viewer::utc("2026-11-22T07:00:00Z"));
        let want = "\
UPSTREAM   ACCOUNT           WINDOW  MESSAGES  RECIPIENTS  NEXT FREE
office365  erp@firm.example  minute  30 of 30  41          07:00:40 (in 40s)
    this limit blocks: 30 of 30 messages a minute
";
        assert_eq!(text, want);
        let narrow = render(&[limit()], &Viewer::utc("2026-11-22T07:00:00Z").with_width(60));
        let want = "\
UPSTREAM   ACCOUNT           WINDOW  MESSAGES  RECIPIENTS
office365  erp@firm.example  minute  30 of 30  41
    next free: 07:00:40 (in 40s)
    this limit blocks: 30 of 30 messages a minute
";
        assert_eq!(narrow, want);
        let unlimited = LimitJson { messages: Used { used: 30, limit: None }, ..limit() };
        assert_eq!(render(&[unlimited], &Viewer::utc("2026-11-22T07:00:00Z")), "No limits are configured.");
        assert_eq!(left(&[limit()]), "0 of 30 messages a minute");
    }

    #[test]
    fn tells_of_octets_and_groups_where_there_are_any() {
        let group = LimitJson {
            account: "*".to_owned(),
            limit_group: Some("mailbox".to_owned()),
            window: "5m".to_owned(),
            messages: Used { used: 30, limit: None },
            octets: Used { used: 150_000_000, limit: Some(150_000_000) },
            ..limit()
        };
        let text = render(&[limit(), group.clone()], &Viewer::utc("2026-11-22T07:00:00Z"));
        let want = "\
UPSTREAM   ACCOUNT              WINDOW  MESSAGES  RECIPIENTS  OCTETS            NEXT FREE
office365  erp@firm.example     minute  30 of 30  41          0 B               07:00:40 (in 40s)
    this limit blocks: 30 of 30 messages a minute
office365  limit group mailbox  5m      30        41          143 MiB of 150MB  07:00:40 (in 40s)
    this limit blocks: 143 MiB of 150MB in 5m
";
        assert_eq!(text, want);
        let blocking = blocking(std::slice::from_ref(&group), "erp@firm.example");
        assert_eq!(blocking, "143 MiB of 150MB in 5m (limit group mailbox)");
        let free = LimitJson { octets: Used { used: 1_000_000, limit: Some(150_000_000) }, ..group };
        assert_eq!(left(&[free]), "142 MiB of 150MB in 5m");
        assert_eq!(window("7d").as_deref(), Ok("week"));
        assert!(window("fortnight").is_err());
    }

    #[test]
    fn tells_what_else_holds_it_back_and_what_was_forgotten() {
        let paused = |account: &str, window: &str| LimitJson {
            account: account.to_owned(),
            window: window.to_owned(),
            reason: Some("a pause: \u{1b}quota".to_owned()),
            ..limit()
        };
        let before = [paused("*", "minute"), paused("*", "hour"), limit()];
        let text = render(&before, &Viewer::utc("2026-11-22T07:00:00Z"));
        let want = "\
UPSTREAM   ACCOUNT           WINDOW  MESSAGES  RECIPIENTS  NEXT FREE
office365  all together      minute  30 of 30  41          07:00:40 (in 40s)
    this limit blocks: 30 of 30 messages a minute
    a pause: \\u001bquota
office365  all together      hour    30 of 30  41          07:00:40 (in 40s)
    this limit blocks: 30 of 30 messages an hour
office365  erp@firm.example  minute  30 of 30  41          07:00:40 (in 40s)
    this limit blocks: 30 of 30 messages a minute
";
        assert_eq!(text, want);
        let none = Used { used: 0, limit: Some(30) };
        let after = before.clone().map(|limit| match limit.window.as_str() {
            "minute" => LimitJson { messages: none, reason: None, ..limit },
            _ => LimitJson { reason: None, ..limit },
        });
        let want = "\
Forgot all together: 30 messages in the last minute
Forgot all together: a pause: \\u001bquota
Forgot erp@firm.example: 30 messages in the last minute
";
        assert_eq!(forgotten(&before, &after), want);
        assert_eq!(forgotten(&after, &after), "Nothing was to be forgotten.\n");
    }
}
