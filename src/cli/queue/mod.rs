//! `mailsluice queue`

mod bulk;
mod filter;
mod release;
mod view;

use clap::builder::PossibleValuesParser;
use hyper::Method;

use super::client::{ApiAnswer, Client, Page, RequestPath};
use super::context::CliContext;
use super::failure::Failure;
use super::output::JsonArray;
use super::viewer::Viewer;
use super::{output, status};
use crate::control::view::{
    BulkAction, DEFAULT_LIMIT, Done, DoneOutcome, MessageDetail, MessageJson, Release, Retried, StatusJson,
};
use crate::mail::{QueueId, QueueIdError};
use crate::report::log::escape::printable;
use crate::store::QueueCounts;
use filter::MessageFilter;
use view::{Extent, ListedPages};

/// Messages that are asked for at a time: a long list is printed as it comes.
const PAGE: u64 = 5_000;

#[derive(Debug, clap::Subcommand)]
pub(super) enum QueueCommand {
    /// What is in the queue, oldest first: what waits, for what, until when
    #[command(
        after_help = "Example:\n  mailsluice queue list --state deferred --recipient anna@customer.example"
    )]
    List(QueueFilter),
    /// All that is known about a message, also of one that has left
    #[command(after_help = "Example:\n  mailsluice queue show 01M8B598RBW1B5PE")]
    Show {
        /// Its queue id
        #[arg(value_parser = queue_id)]
        id: String,
        /// Print its content instead
        #[arg(long)]
        content: bool,
    },
    /// Try again now; a message that is being sent is waited for
    #[command(after_help = "Example:\n  mailsluice queue retry 01M8B598RBW1B5PE")]
    Retry {
        /// Queue ids
        #[arg(value_name = "ID", value_parser = queue_id, required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All messages that wait for a retry, or those of them that fit
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: MessageFilter,
    },
    /// Keep until it is released; a message that is being sent is waited for
    #[command(after_help = "Example:\n  mailsluice queue hold 01M8B598RBW1B5PE")]
    Hold {
        /// Queue ids
        #[arg(value_name = "ID", value_parser = queue_id, required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All messages, or those that fit
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: MessageFilter,
    },
    /// Let held messages go, to the test address or to their recipients
    #[command(
        after_help = "Example:\n  mailsluice queue release --all --sender erp@firm.example --to recipients"
    )]
    Release {
        /// Queue ids
        #[arg(value_name = "ID", value_parser = queue_id, required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All that are held, or those of them that fit; says how many real recipients that are, and asks
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: MessageFilter,
        /// Where to
        #[arg(long, value_parser = PossibleValuesParser::new(["test", "recipients"]))]
        to: String,
        /// All without asking; and to the test address also what was not accepted in test mode: its recipients never get it
        #[arg(long)]
        yes: bool,
    },
    /// Print a message as a file that mail programs open: > ID.eml
    #[command(after_help = "Example:\n  mailsluice queue export 01M8B598RBW1B5PE > message.eml")]
    Export {
        /// Its queue id
        #[arg(value_parser = queue_id)]
        id: String,
    },
    /// Delete for good, without a report; a message that is being sent is waited for
    #[command(after_help = "Example:\n  mailsluice queue delete 01M8B598RBW1B5PE")]
    Delete {
        /// Queue ids
        #[arg(value_name = "ID", value_parser = queue_id, required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All messages, or those that fit; asks before
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: MessageFilter,
        /// All without asking
        #[arg(long)]
        yes: bool,
    },
}

/// Which messages to list.
#[derive(Debug, clap::Args)]
pub(super) struct QueueFilter {
    #[command(flatten)]
    messages: MessageFilter,
    /// Messages at most [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// A queue id as it was typed, if it is one.
fn queue_id(text: &str) -> Result<String, QueueIdError> {
    QueueId::parse(text).map(|id| id.to_string())
}

pub(super) fn execute(command: QueueCommand, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    match command {
        QueueCommand::List(filter) => list(&filter, &client, context),
        QueueCommand::Show { id, content: true } => print_content(&id, &client, context),
        QueueCommand::Show { id, content: false } => {
            let reply = client.get::<MessageDetail>(&RequestPath::path(&["queue", &id]))?;
            context.print(&reply, view::detail)
        }
        QueueCommand::Retry { all: true, filter, .. } if filter != MessageFilter::default() => {
            bulk::all(BulkAction::Retry, filter, context)
        }
        QueueCommand::Retry { all: true, .. } => {
            let reply = client.command::<Retried>(&Method::POST, &RequestPath::path(&["queue", "retry"]))?;
            let state = client.get::<StatusJson>(&RequestPath::path(&["status"]))?.value;
            context.print(&reply, |done, viewer| view::retried(done, state.upstreams, viewer))
        }
        QueueCommand::Hold { all: true, filter, .. } => bulk::all(BulkAction::Hold, filter, context),
        QueueCommand::Delete { all: true, filter, yes, .. } => {
            if !yes {
                bulk::agree_to_delete(&filter)?;
            }
            bulk::all(BulkAction::Delete, filter, context)
        }
        QueueCommand::Retry { filter, .. }
        | QueueCommand::Hold { filter, .. }
        | QueueCommand::Release { filter, all: false, .. }
        | QueueCommand::Delete { filter, .. }
            if filter != MessageFilter::default() =>
        {
            Err(Failure::Wrong("say --all with a filter, or queue ids without one".to_owned()))
        }
        QueueCommand::Retry { ids, .. } => each(QueueAction::Retry, &ids, context, |id| {
            client.command(&Method::POST, &RequestPath::path(&["queue", id, "retry"]))
        }),
        QueueCommand::Hold { ids, .. } => each(QueueAction::Hold, &ids, context, |id| {
            client.command(&Method::POST, &RequestPath::path(&["queue", id, "hold"]))
        }),
        QueueCommand::Release { all: true, filter, to, yes, .. } => release::all(&filter, &to, yes, context),
        QueueCommand::Release { ids, to, yes, .. } => each(QueueAction::Release, &ids, context, |id| {
            let target = RequestPath::path(&["queue", id, "release"]);
            client.submit(&Method::POST, &target, &Release { to: to.clone(), confirmed: yes })
        }),
        QueueCommand::Export { id } => {
            output::octets(&client.get_octets(&RequestPath::path(&["queue", &id, "export"]))?)
        }
        QueueCommand::Delete { ids, .. } => each(QueueAction::Delete, &ids, context, |id| {
            client.command(&Method::DELETE, &RequestPath::path(&["queue", id]))
        }),
    }
}

fn list(filter: &QueueFilter, client: &Client, context: &CliContext) -> Result<(), Failure> {
    let mut lines = JsonArray::default();
    let (mut pages, viewer) = (ListedPages::default(), Viewer::now());
    let mut left = filter.limit.map_or(DEFAULT_LIMIT, u64::from);
    let mut after: Option<String> = None;
    while left > 0 {
        let most = left.min(PAGE).to_string();
        let target = filter.messages.add_to(RequestPath::path(&["queue"]));
        let target = target.with("limit", Some(&most)).with("after", after.as_deref());
        let Page { answer, next } = client.page::<Vec<MessageJson>>(&target)?;
        left = left.saturating_sub(answer.value.len() as u64);
        if context.json {
            lines.add(&answer.raw)?;
        } else if !answer.value.is_empty() {
            output::text(&pages.page(&answer.value, &viewer))?;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    if context.json {
        return lines.end();
    }
    // The list tells what waits for an upstream, the state of the upstreams tells why.
    let mut state = match client.get::<StatusJson>(&RequestPath::path(&["status"])) {
        Ok(answer) => answer.value,
        // What is listed stands there; only the upstreams are unknown without a configuration.
        Err(_) if client.is_at_rest() => {
            return output::text(&pages.summary(filter.extent(pages.listed, None)));
        }
        Err(failure) => return Err(failure),
    };
    if pages.listed == 0 {
        return output::text(&view::nothing(state.queue.as_ref().map_or(state.queued, all)));
    }
    let is_whole = after.is_none();
    let extent = if is_whole { Extent::All } else { filter.extent(pages.listed, state.queue.as_ref()) };
    // Those whose mail is listed.
    state.upstreams.retain(|one| pages.upstreams.contains(&one.name));
    let obstacles = status::obstacles(&state.upstreams, &viewer);
    let end = format!("{}\n{}", pages.summary(extent), viewer.sentences(&obstacles));
    let zone = viewer.zone_line();
    let gap = if zone.is_empty() || end.ends_with('\n') { "" } else { "\n" };
    output::text(&format!("{end}{gap}{zone}"))
}

/// The messages in the queue, whatever their state.
fn all(queue: &QueueCounts) -> u64 {
    queue.ready + queue.deferred + queue.held + queue.sending
}

impl QueueFilter {
    /// How much of what was asked for is listed, when so many messages are all that was wanted.
    fn extent(&self, listed: u64, queue: Option<&QueueCounts>) -> Extent {
        let MessageFilter { upstream, state, sender, recipient } = &self.messages;
        let by_others = upstream.is_some() || sender.is_some() || recipient.is_some();
        let Some(queue) = queue.filter(|_| !by_others) else { return Extent::First };
        let known = match state.as_deref() {
            None => all(queue),
            Some("ready") => queue.ready,
            Some("deferred") => queue.deferred,
            Some("held") => queue.held,
            Some(_) => queue.sending,
        };
        // Between the two answers messages may have left.
        if known > listed { Extent::FirstOf(known) } else { Extent::All }
    }
}

fn print_content(id: &str, client: &Client, context: &CliContext) -> Result<(), Failure> {
    let octets = client.get_octets(&RequestPath::path(&["queue", id, "content"]))?;
    if context.json {
        let text = String::from_utf8_lossy(&octets);
        return context.print_value(&serde_json::json!({ "queue_id": id, "content": text }), "");
    }
    output::content(&octets)
}

/// Does something with each message; one that fails keeps none of the others from it.
fn each(
    action: QueueAction,
    ids: &[String],
    context: &CliContext,
    act: impl Fn(&str) -> Result<ApiAnswer<Done>, Failure>,
) -> Result<(), Failure> {
    let mut done = Vec::new();
    let mut failed = false;
    for id in ids {
        match act(id) {
            Ok(ApiAnswer { value, .. }) => {
                failed |= action.has_failed(value.outcome);
                done.push(value);
            }
            Err(failure) => {
                let _ = failure.report();
                failed = true;
            }
        }
    }
    let viewer = Viewer::now();
    let line = |done: &Done| match done.waits.as_slice() {
        [] => format!("{} {}\n", printable(&done.queue_id), action.words(done.outcome)),
        waits => {
            let waits: String = waits.iter().map(|wait| view::wait(wait, &viewer)).collect();
            format!("{} is due, but can't go yet:\n{waits}", printable(&done.queue_id))
        }
    };
    let lines: String = done.iter().map(line).collect();
    context.print_value(&done, &(lines + &viewer.zone_line()))?;
    if failed { Err(Failure::Told) } else { Ok(()) }
}

/// What is done to messages.
#[derive(Debug, Clone, Copy)]
enum QueueAction {
    Retry,
    Hold,
    Release,
    Delete,
}

impl QueueAction {
    /// What became of a message, in words.
    fn words(self, outcome: DoneOutcome) -> &'static str {
        match (outcome, self) {
            (DoneOutcome::Due, _) => "is due now",
            (DoneOutcome::Held, _) => "is held until it is released or deleted",
            (DoneOutcome::Released, _) => "is released",
            (DoneOutcome::Deleted, _) => "is deleted",
            (DoneOutcome::Gone, Self::Retry) => "was being sent, and has left the queue",
            (DoneOutcome::Gone, Self::Hold) => "was being sent, and has left the queue: it could not be held",
            (DoneOutcome::Gone, Self::Release) => "has left the queue: there is nothing to release",
            (DoneOutcome::Gone, Self::Delete) => {
                "was being sent, and has left the queue: it could not be deleted"
            }
        }
    }

    /// Whether that is not what was asked for.
    fn has_failed(self, outcome: DoneOutcome) -> bool {
        match self {
            // Whoever wants a message tried again wants it to leave.
            Self::Retry => false,
            Self::Hold | Self::Release | Self::Delete => outcome == DoneOutcome::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_much_is_listed() {
        let queue = QueueCounts { ready: 1500, deferred: 4, held: 0, sending: 0 };
        let filter = |messages| QueueFilter { messages, limit: Some(5) };
        let deferred = MessageFilter { state: Some("deferred".into()), ..MessageFilter::default() };
        let of_one = MessageFilter { upstream: Some("m365".into()), ..MessageFilter::default() };
        for (messages, listed, queue, want) in [
            (MessageFilter::default(), 5, Some(&queue), "FirstOf(1504)"),
            (MessageFilter::default(), 5, None, "First"),
            (deferred.clone(), 4, Some(&queue), "All"),
            (deferred, 3, Some(&queue), "FirstOf(4)"),
            (of_one, 5, Some(&queue), "First"),
        ] {
            let filter = filter(messages);
            assert_eq!(format!("{:?}", filter.extent(listed, queue)), want, "{filter:?}");
        }
    }
}
