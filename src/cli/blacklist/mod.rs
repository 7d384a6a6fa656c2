//! `mailsluice blacklist`

mod file;
mod learn;
mod list;
mod sources;

use std::path::PathBuf;

use hyper::Method;

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use super::viewer::Viewer;
use crate::control::view::{BlacklistAnswer, BlacklistLine, BlacklistRequest};
use crate::report::log::escape::printable;

#[derive(Debug, clap::Subcommand)]
pub(super) enum BlacklistCommand {
    /// The entries, or those that have a text in their address or reason
    #[command(after_help = "Example:\n  mailsluice blacklist list --search @customer.example")]
    List {
        /// Only entries with this text. One with an @ is looked up as an address (`anna@`, `@customer.example`), at once however
        /// long the list is
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// So many entries at most [default: all]
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
    },
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
    /// Add the entries of a CSV file; exit status 1 when lines of it are no entries
    ///
    /// The columns are address, reason, source, added and expires: in any order below a header line that names them, of which
    /// only address is needed, or in this order without one. An entry takes the place of one that is there. Lines that are no
    /// entries are told with their numbers, and the others are taken.
    #[command(after_help = "Example:\n  mailsluice blacklist import blacklist.csv")]
    Import {
        /// The file; - reads standard input
        file: PathBuf,
    },
    /// Write all entries as CSV, which `import` reads again
    #[command(after_help = "Example:\n  mailsluice blacklist export > blacklist.csv")]
    Export,
    /// Add the mailboxes that do not exist, as delivery reports say that came by mail
    ///
    /// Reads reports (RFC 3464, and what qmail, Exim, Postfix, Exchange and Google write) from files with one message or many
    /// (mbox), from Maildirs, and from standard input. Only what says without doubt that a mailbox does not exist is taken, at
    /// once, with the source `learned`; what is no report is told and passed over. Whoever can send mail to where the reports
    /// arrive can write one: look with --dry-run first.
    #[command(after_help = "Example:\n  mailsluice blacklist learn --dry-run ~/Maildir/.Bounces")]
    Learn {
        /// Files, Maildirs, or - for standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn execute(command: BlacklistCommand, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    let root = RequestPath::path(&["blacklist"]);
    match command {
        BlacklistCommand::List { search, limit } => list::list(search.as_deref(), limit, &client, context),
        BlacklistCommand::Import { file } => file::import(&file, &client, context),
        BlacklistCommand::Export => file::export(&client),
        BlacklistCommand::Learn { files, dry_run } => {
            learn::learn(&files, (!dry_run).then_some(&client), context)
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
