//! `mailsluice queue`

mod view;

use clap::builder::PossibleValuesParser;
use hyper::Method;

use super::client::{Client, RequestPath};
use super::context::CliContext;
use super::failure::Failure;
use super::{output, status};
use crate::control::view::{
    DEFAULT_LIMIT, Done, MAX_LIMIT, MessageDetail, MessageJson, Release, Retried, StatusJson,
};
use crate::report::log::escape::printable;
use crate::store::QueueCounts;
use view::Extent;

#[derive(Debug, clap::Subcommand)]
pub(super) enum QueueCommand {
    /// What is in the queue, oldest first: what waits, for what, until when
    List(QueueFilter),
    /// All that is known about a message
    Show {
        /// Its queue id
        id: String,
        /// Print its content instead
        #[arg(long)]
        content: bool,
    },
    /// Try again now; a message that is being sent is waited for
    Retry {
        /// Queue ids
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All messages that wait for a retry
        #[arg(long)]
        all: bool,
    },
    /// Keep until it is released; a message that is being sent is waited for
    Hold {
        /// Queue ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Let held messages go, to the test address or to their recipients
    Release {
        /// Queue ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        /// Where to
        #[arg(long, value_parser = PossibleValuesParser::new(["test", "recipients"]))]
        to: String,
        /// To the test address also what was not accepted in test mode: its recipients never get it
        #[arg(long)]
        yes: bool,
    },
    /// Delete for good, without a report; a message that is being sent is waited for
    Delete {
        /// Queue ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

/// Which messages to list.
#[derive(Debug, clap::Args)]
pub(super) struct QueueFilter {
    /// Of this upstream
    #[arg(long)]
    upstream: Option<String>,
    /// In this state
    #[arg(long, value_parser = PossibleValuesParser::new(["ready", "deferred", "held", "sending"]))]
    state: Option<String>,
    /// From this sender
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// To this recipient
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Messages at most [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
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
        QueueCommand::Retry { all: true, .. } => {
            let reply = client.command::<Retried>(&Method::POST, &RequestPath::path(&["queue", "retry"]))?;
            context.print(&reply, |done, _| format!("{} due now", output::count(done.messages, "message")))
        }
        QueueCommand::Retry { ids, .. } => each(&ids, context, |id| {
            Ok(client.command::<Done>(&Method::POST, &RequestPath::path(&["queue", id, "retry"]))?.value)
        }),
        QueueCommand::Hold { ids } => each(&ids, context, |id| {
            Ok(client.command::<Done>(&Method::POST, &RequestPath::path(&["queue", id, "hold"]))?.value)
        }),
        QueueCommand::Release { ids, to, yes } => each(&ids, context, |id| {
            let target = RequestPath::path(&["queue", id, "release"]);
            let release = Release { to: to.clone(), confirmed: yes };
            Ok(client.submit::<Done>(&Method::POST, &target, &release)?.value)
        }),
        QueueCommand::Delete { ids } => each(&ids, context, |id| {
            let done = client.command::<Done>(&Method::DELETE, &RequestPath::path(&["queue", id]))?.value;
            if done.outcome == "gone" {
                let why = "it was being sent, and is settled now; nothing was left to delete";
                return Err(Failure::new(format!("{id}: {why}")));
            }
            Ok(done)
        }),
    }
}

fn list(filter: &QueueFilter, client: &Client, context: &CliContext) -> Result<(), Failure> {
    let limit = filter.limit.map(|n| n.to_string());
    let target = RequestPath::path(&["queue"])
        .with("upstream", filter.upstream.as_deref())
        .with("state", filter.state.as_deref())
        .with("sender", filter.sender.as_deref())
        .with("recipient", filter.recipient.as_deref())
        .with("limit", limit.as_deref());
    let reply = client.get::<Vec<MessageJson>>(&target)?;
    if context.json || reply.value.is_empty() {
        return context.print(&reply, |messages, when| view::list(messages, Extent::All, when));
    }
    // The list tells what waits for an upstream, the state of the upstreams tells why.
    let mut state = client.get::<StatusJson>(&RequestPath::path(&["status"]))?.value;
    let extent = filter.extent(reply.value.len(), &state.queue);
    state.upstreams.retain(|one| filter.upstream.as_ref().is_none_or(|wanted| one.name == *wanted));
    context.print(&reply, |messages, when| {
        view::list(messages, extent, when) + &status::obstacles(&state.upstreams, when)
    })
}

impl QueueFilter {
    /// How much of what was asked for is listed.
    fn extent(&self, listed: usize, queue: &QueueCounts) -> Extent {
        let limit = self.limit.map_or(DEFAULT_LIMIT, u64::from).min(MAX_LIMIT);
        if (listed as u64) < limit {
            return Extent::All;
        }
        if self.upstream.is_some() || self.sender.is_some() || self.recipient.is_some() {
            return Extent::First;
        }
        let all = match self.state.as_deref() {
            None => queue.ready + queue.deferred + queue.held + queue.sending,
            Some("ready") => queue.ready,
            Some("deferred") => queue.deferred,
            Some("held") => queue.held,
            Some(_) => queue.sending,
        };
        // Between the two answers messages may have left.
        if all > listed as u64 { Extent::FirstOf(all) } else { Extent::All }
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
    ids: &[String],
    context: &CliContext,
    act: impl Fn(&str) -> Result<Done, Failure>,
) -> Result<(), Failure> {
    let mut done = Vec::new();
    let mut failed = false;
    for id in ids {
        match act(id) {
            Ok(one) => done.push(one),
            Err(failure) => {
                let _ = failure.report();
                failed = true;
            }
        }
    }
    let lines: Vec<String> =
        done.iter().map(|d| format!("{} {}", printable(&d.queue_id), outcome(&d.outcome))).collect();
    context.print_value(&done, &lines.join("\n"))?;
    if failed { Err(Failure::Told) } else { Ok(()) }
}

fn outcome(name: &str) -> &'static str {
    match name {
        "due" => "is due now",
        "deleted" => "is deleted",
        _ => "has left the queue: it was being sent, and is settled now",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_much_is_listed() {
        let queue = QueueCounts { ready: 1500, deferred: 4, held: 0, sending: 0 };
        let plain =
            || QueueFilter { upstream: None, state: None, sender: None, recipient: None, limit: Some(5) };
        let deferred = QueueFilter { state: Some("deferred".into()), limit: Some(4), ..plain() };
        let of_one = QueueFilter { upstream: Some("m365".into()), ..plain() };
        for (filter, listed, want) in [
            (plain(), 5, "FirstOf(1504)"),
            (plain(), 4, "All"),
            (deferred, 4, "All"),
            (of_one, 5, "First"),
            (QueueFilter { limit: None, ..plain() }, 1504, "All"),
        ] {
            assert_eq!(format!("{:?}", filter.extent(listed, &queue)), want, "{filter:?}");
        }
    }
}
