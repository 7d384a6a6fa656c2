//! `mailsluice history`

use hyper::Method;

use super::client::{Client, Page, RequestPath};
use super::context::CliContext;
use super::failure::Failure;
use super::output::{self, JsonArray, count};
use super::table::TextTable;
use super::viewer::Viewer;
use crate::control::view::{Forget, ForgottenJson, HistoryJson, Resend, Resent};
use crate::mail::{Address, QueueId, QueueIdError};
use crate::report::log::escape::printable;

/// Entries that are shown when nobody says how many.
const DEFAULT_LIMIT: u64 = 1_000;
/// Entries that are asked for at a time: a long list is printed as it comes.
const PAGE: u64 = 5_000;
/// The columns that go below the rows of a narrow terminal, one after the other.
const FOLDING: [&str; 5] = ["SUBJECT", "UPSTREAM", "FROM", "QUEUE ID", "TO"];

/// What became of each recipient of mail that has left, the newest first.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct HistoryOptions {
    #[command(flatten)]
    filter: HistoryFilter,
    #[command(subcommand)]
    command: Option<HistoryCommand>,
}

/// Which entries are shown.
#[derive(Debug, clap::Args)]
struct HistoryFilter {
    /// To this recipient
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// From this sender; <> for reports
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// With this in the subject; subjects are kept where [history] says so
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// With this Message-ID
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Not before then: a time, a date (2027-01-31) or a duration before now (2d)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Entries at most [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Debug, clap::Subcommand)]
enum HistoryCommand {
    /// Forget all of an address, as a recipient and as a sender, with the contents of that mail
    #[command(after_help = "Example:\n  mailsluice history forget anna@customer.example")]
    Forget {
        /// The address
        address: String,
    },
    /// Send a message again whose content was kept: as a new one, in the stricter of its own test mode and the one in force
    #[command(
        after_help = "Example:\n  mailsluice history resend 01M8B598RBW1B5PE --to anna@customer.example"
    )]
    Resend {
        /// Its queue id
        #[arg(value_parser = queue_id)]
        id: String,
        /// To this recipient alone; may be repeated [default: all that it had]
        #[arg(long, value_name = "ADDRESS", value_parser = address)]
        to: Vec<Address>,
    },
}

/// A queue id as it was typed, if it is one.
fn queue_id(text: &str) -> Result<String, QueueIdError> {
    QueueId::parse(text).map(|id| id.to_string())
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

pub(super) fn execute(options: &HistoryOptions, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    match &options.command {
        None => list(&options.filter, &client, context),
        Some(HistoryCommand::Forget { address }) => {
            let target = RequestPath::path(&["history", "forget"]);
            let reply = client.submit(&Method::POST, &target, &Forget { address: address.clone() })?;
            context.print(&reply, |done: &ForgottenJson, viewer| viewer.sentences(&forgotten(done)))
        }
        Some(HistoryCommand::Resend { id, to }) => {
            let target = RequestPath::path(&["history", id, "resend"]);
            let to = to.iter().map(ToString::to_string).collect();
            let reply = client.submit(&Method::POST, &target, &Resend { to })?;
            context.print(&reply, |done: &Resent, viewer| {
                format!("{}\n{}", viewer.sentences(&resent(done, viewer)), viewer.zone_line())
            })
        }
    }
}

impl HistoryFilter {
    fn target(&self) -> RequestPath {
        RequestPath::path(&["history"])
            .with("to", self.to.as_deref())
            .with("from", self.from.as_deref())
            .with("subject", self.subject.as_deref())
            .with("message_id", self.message_id.as_deref())
            .with("since", self.since.as_deref())
    }
}

fn list(filter: &HistoryFilter, client: &Client, context: &CliContext) -> Result<(), Failure> {
    let (mut lines, mut shown, viewer) = (JsonArray::default(), ShownEntries::default(), Viewer::now());
    let mut left = filter.limit.map_or(DEFAULT_LIMIT, u64::from);
    let mut after: Option<String> = None;
    while left > 0 {
        let most = left.min(PAGE).to_string();
        let target = filter.target().with("limit", Some(&most)).with("after", after.as_deref());
        let Page { answer, next } = client.page::<Vec<HistoryJson>>(&target)?;
        left = left.saturating_sub(answer.value.len() as u64);
        if context.json {
            lines.add(&answer.raw)?;
        } else if !answer.value.is_empty() {
            output::text(&shown.page(&answer.value, &viewer))?;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    if context.json {
        return lines.end();
    }
    output::text(&shown.end(after.is_some(), &viewer))
}

/// A list of entries, which is printed page by page.
#[derive(Default)]
struct ShownEntries {
    /// How wide the columns are so far.
    widths: Option<Vec<usize>>,
    count: u64,
}

impl ShownEntries {
    /// The next page: a row for each entry, below it the reply.
    fn page(&mut self, entries: &[HistoryJson], viewer: &Viewer) -> String {
        let table = TextTable::new(&["WHEN", "STATE", "TO", "QUEUE ID", "FROM", "UPSTREAM", "SUBJECT"])
            .folding(&FOLDING);
        let mut table = match self.widths.take() {
            Some(widths) => table.going_on(widths),
            None => table,
        };
        for entry in entries {
            table.row(&[
                viewer.local(&entry.at),
                if entry.test_mode.is_some() { "TEST " } else { "" }.to_owned() + &entry.state,
                entry.to.clone(),
                entry.queue_id.clone(),
                if entry.from.is_empty() { "<>".to_owned() } else { entry.from.clone() },
                entry.upstream.clone().unwrap_or_default(),
                entry.subject.clone().unwrap_or_default(),
            ]);
            if let Some(reply) = &entry.reply {
                table.note(reply);
            }
        }
        self.widths = Some(table.widths());
        self.count += entries.len() as u64;
        table.render(viewer)
    }

    /// What stands below the list.
    fn end(&self, has_more: bool, viewer: &Viewer) -> String {
        let how_many = match (self.count, has_more) {
            (0, _) => return "Nothing in the history matches.".to_owned(),
            (1, false) => "1 recipient".to_owned(),
            (all, false) => count(all, "recipient"),
            (all, true) => format!("The newest {all}, there may be more: say --limit, --since or whose mail"),
        };
        format!("{how_many}\n{}", viewer.zone_line())
    }
}

fn forgotten(done: &ForgottenJson) -> String {
    let address = printable(&done.address);
    if (done.entries, done.contents) == (0, 0) {
        return format!("The history has nothing of {address}.");
    }
    let entries = if done.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", done.entries) };
    let contents = count(done.contents, "content");
    format!(
        "Of {address} {entries} and {contents} are forgotten. The queue, the blacklist, the log and backups may still have it."
    )
}

fn resent(done: &Resent, viewer: &Viewer) -> String {
    let to = printable(&done.to.join(", "));
    let queue_id = printable(&done.queue_id);
    let mut lines = vec![match (&done.test_mode, &done.test_address) {
        (_, _) if done.to.is_empty() => format!("Nobody gets {} again.", printable(&done.original)),
        (None, _) => format!("{} goes again to {to}, as {queue_id}.", printable(&done.original)),
        (Some(_), Some(address)) => format!(
            "{} is a test: it goes again to {} in place of {to}, as {queue_id}.",
            printable(&done.original),
            printable(address)
        ),
        (Some(action), None) => format!(
            "{} is a test ({}): it does not go to {to}. It is {queue_id} now.",
            printable(&done.original),
            printable(action)
        ),
    }];
    if done.held {
        lines.push(format!("It is held until it is released: mailsluice queue release {queue_id}"));
    }
    if let Some(eta) = &done.eta {
        lines.push(format!("It goes about {}.", viewer.until(eta)));
    }
    if !done.dropped.is_empty() {
        lines.push(format!("On the blacklist, and dropped: {}", printable(&done.dropped.join(", "))));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> HistoryJson {
        HistoryJson {
            queue_id: "1HK2M3N4P5Q6R7S8".to_owned(),
            message_id: Some("<1@firm.example>".to_owned()),
            subject: None,
            from: String::new(),
            to: "anna@customer.example".to_owned(),
            state: "bounced".to_owned(),
            upstream: Some("m365".to_owned()),
            reply: Some("550 5.1.1 \u{1b}[2J no such user".to_owned()),
            at: "2026-11-22T06:50:00.000Z".to_owned(),
            test_mode: None,
        }
    }

    #[test]
    fn the_list_tells_what_became_of_each() {
        let mut shown = ShownEntries::default();
        let viewer = Viewer::utc("2026-11-22T07:00:00Z");
        let redirected = HistoryJson {
            from: "erp@firm.example".to_owned(),
            state: "sent".to_owned(),
            test_mode: Some("redirect".to_owned()),
            reply: None,
            ..entry()
        };
        let text = shown.page(&[entry(), redirected], &viewer) + &shown.end(false, &viewer);
        let want = "\
WHEN      STATE      TO                     QUEUE ID          FROM              UPSTREAM  SUBJECT
06:50:00  bounced    anna@customer.example  1HK2M3N4P5Q6R7S8  <>                m365
    550 5.1.1 \\u001b[2J no such user
06:50:00  TEST sent  anna@customer.example  1HK2M3N4P5Q6R7S8  erp@firm.example  m365
2 recipients
Times are in UTC (UTC+00:00).
";
        assert_eq!(text, want);
        assert_eq!(ShownEntries::default().end(false, &viewer), "Nothing in the history matches.");
    }

    #[test]
    fn a_resend_tells_whom_it_reaches() {
        let viewer = Viewer::utc("2026-11-22T07:00:00Z");
        let real = Resent {
            queue_id: "2HK2M3N4P5Q6R7S8".to_owned(),
            original: "1HK2M3N4P5Q6R7S8".to_owned(),
            to: vec!["a@x.example".to_owned(), "b@x.example".to_owned()],
            dropped: vec![],
            upstream: "m365".to_owned(),
            eta: None,
            held: false,
            test_mode: None,
            test_address: None,
        };
        assert_eq!(
            resent(&real, &viewer),
            "1HK2M3N4P5Q6R7S8 goes again to a@x.example, b@x.example, as 2HK2M3N4P5Q6R7S8."
        );
        let test = Resent {
            test_mode: Some("redirect".to_owned()),
            test_address: Some("t@firm.example".to_owned()),
            held: true,
            ..real.clone()
        };
        let want = "1HK2M3N4P5Q6R7S8 is a test: it goes again to t@firm.example in place of a@x.example, b@x.example, as \
                    2HK2M3N4P5Q6R7S8.\nIt is held until it is released: mailsluice queue release 2HK2M3N4P5Q6R7S8";
        assert_eq!(resent(&test, &viewer), want);
        let captured = Resent { test_mode: Some("capture".to_owned()), ..real };
        assert!(resent(&captured, &viewer).contains("does not go to a@x.example"));
    }
}
