//! `mailsluice blacklist`

use hyper::Method;

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use super::table::TextTable;
use super::viewer::Viewer;
use crate::control::view::{BlacklistAnswer, BlacklistLine, BlacklistRequest};
use crate::report::log::escape::printable;

#[derive(Debug, clap::Subcommand)]
pub(super) enum BlacklistCommand {
    /// All entries
    #[command(after_help = "Example:\n  mailsluice blacklist list")]
    List,
    /// Add an address, @domain or *.domain
    #[command(
        after_help = "Example:\n  mailsluice blacklist add @spam.example --reason \"only spam\" --expires 30d"
    )]
    Add {
        /// The address, @domain or *.domain
        address: String,
        /// Why; clients are told
        #[arg(long)]
        reason: Option<String>,
        /// When it ends: a duration (30d), a date (2027-01-31) or never [default: never]
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// Remove an entry
    #[command(after_help = "Example:\n  mailsluice blacklist remove @spam.example")]
    Remove {
        /// The entry, as `list` shows it
        address: String,
    },
    /// Whether mail to an address, @domain or *.domain is refused; exit status 1 when it is not
    #[command(after_help = "Example:\n  mailsluice blacklist check anna@customer.example")]
    Check {
        /// The address, or @domain or *.domain: whether an entry covers all of it
        address: String,
    },
}

pub(super) fn execute(command: BlacklistCommand, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    let root = RequestPath::path(&["blacklist"]);
    match command {
        BlacklistCommand::List => {
            context.print(&client.get(&root)?, |entries: &Vec<BlacklistLine>, viewer| render(entries, viewer))
        }
        BlacklistCommand::Add { address, reason, expires } => {
            let reply =
                client.submit(&Method::POST, &root, &BlacklistRequest { address, reason, expires })?;
            context.print(&reply, |entry: &BlacklistLine, viewer| {
                let end = entry
                    .expires_at
                    .as_deref()
                    .map_or_else(String::new, |e| format!(" until {}", viewer.local(e)));
                viewer.sentences(&format!("{} is on the blacklist{end}", printable(&entry.address)))
            })
        }
        BlacklistCommand::Remove { address } => {
            let reply = client.command(&Method::DELETE, &root.with("address", Some(&address)))?;
            context.print(&reply, |answer: &BlacklistAnswer, _| {
                format!("{} is no longer on the blacklist", printable(&answer.address))
            })
        }
        BlacklistCommand::Check { address } => {
            let target = RequestPath::path(&["blacklist", "check"]).with("address", Some(&address));
            let reply = client.get(&target)?;
            context.print(&reply, |answer, viewer| viewer.sentences(&verdict(answer, viewer)))?;
            if reply.value.listed { Ok(()) } else { Err(Failure::Told) }
        }
    }
}

fn render(entries: &[BlacklistLine], viewer: &Viewer) -> String {
    if entries.is_empty() {
        return "The blacklist is empty.".to_owned();
    }
    let mut table = TextTable::new(&["ADDRESS", "SOURCE", "ADDED", "EXPIRES", "REASON"])
        .folding(&["REASON", "SOURCE", "ADDED", "EXPIRES"]);
    for entry in entries {
        table.row(&[
            entry.address.clone(),
            entry.source.clone(),
            viewer.local(&entry.added_at),
            entry.expires_at.as_deref().map_or_else(|| "never".to_owned(), |time| viewer.local(time)),
            entry.reason.clone(),
        ]);
    }
    table.render(viewer)
}

fn verdict(answer: &BlacklistAnswer, viewer: &Viewer) -> String {
    let address = printable(&answer.address);
    match &answer.entry {
        None => format!("{address} is not on the blacklist"),
        Some(entry) => {
            let (pattern, reason) = (printable(&entry.address), printable(&entry.reason));
            let end = entry
                .expires_at
                .as_deref()
                .map_or_else(String::new, |e| format!(", until {}", viewer.local(e)));
            format!("{address} is on the blacklist: {pattern} ({reason}), {}{end}", printable(&entry.source))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_stands_below_at_80_columns() {
        let entry = |address: &str, reason: &str, expires: Option<&str>| BlacklistLine {
            address: address.to_owned(),
            reason: reason.to_owned(),
            source: "manual".to_owned(),
            added_at: "2026-11-22T06:50:00.000Z".to_owned(),
            expires_at: expires.map(str::to_owned),
        };
        let long = "only spam, complained about by the purchasing department in October";
        let entries = [
            entry("anna.schmidt@purchasing.customer.example", "added by hand", None),
            entry("@spam.example", long, Some("2026-12-22T06:50:00.000Z")),
        ];
        let want = "\
ADDRESS                                   SOURCE  ADDED     EXPIRES
anna.schmidt@purchasing.customer.example  manual  06:50:00  never
    reason: added by hand
@spam.example                             manual  06:50:00  2026-12-22 06:50:00
    reason: only spam, complained about by the purchasing department in October
";
        assert_eq!(render(&entries, &Viewer::utc("2026-11-22T07:00:00Z").with_width(80)), want);
    }
}
