//! `mailsluice send`

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use serde::Serialize;

use super::client::{ApiRequest, RequestPath, StreamEnd};
use super::context::CliContext;
use super::failure::Failure;
use super::output::{self, size};
use super::viewer::Viewer;
use crate::config;
use crate::control::view::{OutcomeJson, QueuedJson, SendEnd, SendEvent, SendPlan, WaitingJson};
use crate::mail::{Address, QueueId, message_id};
use crate::report::log::escape::printable;
use crate::report::test_mail::{Attachment, TestMail};
use crate::store::RecipientState;
use crate::time::{Clock as _, SystemClock};

/// The subject, unless somebody says another one.
const SUBJECT: &str = "Test of Mailsluice";
/// How long to wait for the outcome, unless somebody says so.
const PATIENCE: &str = "2m";
/// The longest wait for the outcome that the relay grants.
const MOST_PATIENCE: Duration = Duration::from_hours(1);

/// A real mail, in the queue like any other: test mode, the blacklist and the limits hold for it.
///
/// Exit status 0 when all recipients were sent to, or captured as the configuration has it, 1 otherwise. It stays in the queue when it is not waited for any longer.
#[derive(Debug, clap::Args)]
pub(super) struct SendOptions {
    /// A recipient; may be repeated
    #[arg(long, value_name = "ADDRESS", required = true, value_parser = address)]
    to: Vec<Address>,
    /// Who sends it [default: the address of the upstream's sender, else of its account, else `bounce_from`, else postmaster at the relay's name]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    from: Option<Address>,
    /// The subject
    #[arg(long, default_value = SUBJECT)]
    subject: String,
    /// The upstream by which it goes, whoever serves the sender
    #[arg(long)]
    upstream: Option<String>,
    /// A file to attach; may be repeated
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,
    /// How long to wait for the outcome, up to 1h
    #[arg(long, value_name = "DURATION", default_value = PATIENCE, value_parser = patience)]
    timeout: Duration,
}

/// Who has the mail that is not out yet.
pub(super) enum Afterwards {
    /// A relay that runs, and goes on with it.
    Running,
    /// The queue alone, until somebody gives this command.
    Stopped { run: String },
}

impl Afterwards {
    /// Where to look, or what to do.
    fn advice(&self, queue_id: &str) -> String {
        match self {
            Self::Running => format!("mailsluice queue show {queue_id}"),
            Self::Stopped { run } => format!("the relay goes on with it when it runs: {run}"),
        }
    }
}

impl SendOptions {
    /// A test mail to one recipient by one upstream, the rest as usual.
    pub(super) fn to_one(to: Address, upstream: String) -> Self {
        Self {
            to: vec![to],
            from: None,
            subject: SUBJECT.to_owned(),
            upstream: Some(upstream),
            attach: Vec::new(),
            timeout: patience(PATIENCE).expect("it is a time that is allowed"),
        }
    }
}

/// What has come of a mail, as `--json` has it.
#[derive(Debug, Default, Serialize)]
struct SentJson {
    #[serde(flatten)]
    queued: Option<QueuedJson>,
    recipients: Vec<OutcomeJson>,
    end: Option<SendEnd>,
    /// What it waits for, if it does.
    waiting: Option<WaitingJson>,
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

fn patience(text: &str) -> Result<Duration, String> {
    let read =
        config::duration(text).filter(|duration| (Duration::from_secs(1)..=MOST_PATIENCE).contains(duration));
    read.ok_or_else(|| "write a time from 1s to 1h, such as \"90s\" or \"5m\"".to_owned())
}

pub(super) fn execute(options: &SendOptions, context: &CliContext) -> Result<(), Failure> {
    send(options, context, &Afterwards::Running)
}

/// Sends it through the relay that runs, and says what comes of it.
pub(super) fn send(
    options: &SendOptions,
    context: &CliContext,
    afterwards: &Afterwards,
) -> Result<(), Failure> {
    let client = context.client()?;
    let path = || RequestPath::path(&["send"]).with("upstream", options.upstream.as_deref());
    let plan = path().with("from", options.from.as_ref().map(Address::as_str));
    let plan: SendPlan = client.get(&plan)?.value;
    let from = address(&plan.from).map_err(Failure::new)?;
    let body = build(options, &plan, &from)?;
    let seconds = options.timeout.as_secs().to_string();
    let target = path().with("from", Some(from.as_str())).with("timeout", Some(&seconds));
    let target = options.to.iter().fold(target, |target, to| target.with("to", Some(to.as_str())));
    let (viewer, mut sent, mut said) = (Viewer::now(), SentJson::default(), String::new());
    let request = ApiRequest { method: &Method::POST, target: &target, body };
    let ended = client.follow(request, |event: SendEvent| {
        let text = if context.json { String::new() } else { render(&event, &viewer) };
        sent.note(event);
        if text.is_empty() || text == said {
            return Ok(());
        }
        said.clone_from(&text);
        output::text(&text)
    });
    match (ended, &sent.queued) {
        (Ok(ended), _) => conclude(&sent, ended, context, afterwards),
        (Err(failure), Some(QueuedJson { queue_id, .. })) => {
            Err(failure
                .and_so(&format!("it stays in the queue: {}", afterwards.advice(&printable(queue_id)))))
        }
        (Err(failure), None) => Err(failure),
    }
}

/// The mail itself, no larger than what is taken.
fn build(options: &SendOptions, plan: &SendPlan, from: &Address) -> Result<Vec<u8>, Failure> {
    let read = |path: &PathBuf| {
        let content = fs::read(path)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Attachment { name, content })
    };
    let attachments = options.attach.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    let date = SystemClock.wall();
    let id = QueueId::new(date.as_millisecond(), rand::random());
    let mail = TestMail {
        from,
        to: &options.to,
        subject: &options.subject,
        hostname: &plan.hostname,
        message_id: &message_id::generate(&id, &plan.hostname),
        date,
        attachments,
    };
    let octets = mail.build();
    if octets.len() as u64 > plan.max_size {
        let (has, most) = (size(octets.len() as u64), size(plan.max_size));
        let upstream = &plan.upstream;
        return Err(Failure::new(format!(
            "the mail would have {has} with its attachments, and by upstream {upstream} may have {most} (message_size, max_message_size)"
        )));
    }
    Ok(octets)
}

impl SentJson {
    fn note(&mut self, event: SendEvent) {
        match event {
            SendEvent::Queued(queued) => self.queued = Some(queued),
            SendEvent::Waiting(waiting) => self.waiting = Some(waiting),
            SendEvent::Recipient(outcome) => {
                self.recipients.retain(|known| known.address != outcome.address);
                self.recipients.push(outcome);
            }
            SendEvent::Ended { end } => self.end = Some(end),
        }
    }

    /// Whether each recipient's mail went where the configuration sends it.
    fn went_as_configured(&self) -> bool {
        let ends = [RecipientState::Sent, RecipientState::Captured].map(RecipientState::name);
        self.end == Some(SendEnd::Settled)
            && self.recipients.iter().all(|one| ends.contains(&one.state.as_str()))
    }
}

fn conclude(
    sent: &SentJson,
    ended: StreamEnd,
    context: &CliContext,
    afterwards: &Afterwards,
) -> Result<(), Failure> {
    if context.json {
        context.print_value(sent, "")?;
    }
    let Some(QueuedJson { queue_id, .. }) = &sent.queued else {
        return Err(Failure::new("interrupted: it may be in the queue (mailsluice queue list)"));
    };
    let id = printable(queue_id);
    let advice = afterwards.advice(&id);
    if ended == StreamEnd::Interrupted {
        return Err(Failure::new(format!("it stays in the queue: {advice}")));
    }
    let told = match sent.end {
        Some(SendEnd::Settled) => return if sent.went_as_configured() { Ok(()) } else { Err(Failure::Told) },
        Some(SendEnd::Held) => format!("it is held: {advice}"),
        Some(SendEnd::Waiting) => format!("not sent yet, it stays in the queue: {advice}"),
        Some(SendEnd::Gone) => format!("{id} has left the queue in another way: the relay's log tells how"),
        None => format!("the relay is stopping; it stays in the queue: {advice}"),
    };
    Err(Failure::new(told))
}

/// What has happened, in words; nothing where there is nothing new.
fn render(event: &SendEvent, viewer: &Viewer) -> String {
    match event {
        SendEvent::Queued(queued) => render_queued(queued, viewer),
        SendEvent::Waiting(waiting) => render_waiting(waiting, viewer),
        SendEvent::Recipient(OutcomeJson { address, state, reply, next }) => {
            let mut text = format!("{}: {}", printable(address), printable(state));
            if let Some(reply) = reply {
                let _ = write!(text, ": {}", printable(reply));
            }
            if let Some(next) = next {
                let _ = write!(text, "; it is tried again at {}", viewer.until(next));
            }
            text
        }
        SendEvent::Ended { .. } => String::new(),
    }
}

fn render_queued(queued: &QueuedJson, viewer: &Viewer) -> String {
    let QueuedJson { queue_id, from, upstream, eta, test_mode, test_address } = queued;
    let mut text =
        format!("{} from {} is queued for {}", printable(queue_id), printable(from), printable(upstream));
    if let Some(mode) = test_mode {
        let _ = write!(text, ", in test mode ({}", printable(mode));
        if let Some(to) = test_address {
            let _ = write!(text, " to {}", printable(to));
        }
        text.push(')');
    }
    if let Some(eta) = eta {
        let _ = write!(text, "; it will probably go at {}", viewer.until(eta));
    }
    text
}

fn render_waiting(waiting: &WaitingJson, viewer: &Viewer) -> String {
    let WaitingJson { state, waiting_for, reason, until } = waiting;
    // What it rests for was told with its recipient.
    let Some(what) = waiting_for.as_deref().filter(|what| *what != "retry") else {
        return if state == "sending" { "it is being sent".to_owned() } else { String::new() };
    };
    let mut text = match what {
        "limit" => "it waits for a limit".to_owned(),
        "connection" => "it waits for a connection".to_owned(),
        "disabled" => "it waits for its upstream, which is disabled".to_owned(),
        "sign_in" => "it waits for somebody to sign in".to_owned(),
        "release" => "it waits for a person to release it".to_owned(),
        other => format!("it waits for: {}", printable(other)),
    };
    if let Some(reason) = reason {
        let _ = write!(text, ": {}", printable(reason));
    }
    if let Some(until) = until {
        let _ = write!(text, ", until {}", viewer.until(until));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_what_the_configuration_wants() {
        for (end, states, want) in [
            (SendEnd::Settled, &["sent", "captured"][..], true),
            (SendEnd::Settled, &["sent", "bounced"], false),
            (SendEnd::Settled, &["dropped"], false),
            (SendEnd::Held, &["captured"], false),
        ] {
            let mut sent = SentJson::default();
            for (n, state) in states.iter().enumerate() {
                let address = format!("x{n}@dest.example");
                let state = (*state).to_owned();
                sent.note(SendEvent::Recipient(OutcomeJson { address, state, reply: None, next: None }));
            }
            sent.note(SendEvent::Ended { end });
            assert_eq!(sent.went_as_configured(), want, "{end:?} {states:?}");
        }
    }

    #[test]
    fn tells_what_happens() {
        let viewer = Viewer::utc("2026-11-22T07:00:00Z");
        let at = || Some("2026-11-22T07:00:40.000Z".to_owned());
        let queued = QueuedJson {
            queue_id: "0DMA".to_owned(),
            from: "a@firm.example".to_owned(),
            upstream: "m365".to_owned(),
            eta: None,
            test_mode: None,
            test_address: None,
        };
        let test = QueuedJson {
            test_mode: Some("redirect".to_owned()),
            test_address: Some("t@firm.example".to_owned()),
            eta: at(),
            ..queued.clone()
        };
        let waiting = |what: Option<&str>, reason: Option<&str>| {
            SendEvent::Waiting(WaitingJson {
                state: "ready".to_owned(),
                waiting_for: what.map(str::to_owned),
                reason: reason.map(str::to_owned),
                until: what.and_then(|_| at()),
            })
        };
        let outcome = |state: &str, reply: &str, next: Option<String>| {
            let address = "b@dest.example".to_owned();
            SendEvent::Recipient(OutcomeJson {
                address,
                state: state.to_owned(),
                reply: Some(reply.to_owned()),
                next,
            })
        };
        for (event, want) in [
            (SendEvent::Queued(queued), "0DMA from a@firm.example is queued for m365"),
            (
                SendEvent::Queued(test),
                "0DMA from a@firm.example is queued for m365, in test mode (redirect to t@firm.example); it will probably \
                 go at 07:00:40 (in 40s)",
            ),
            (waiting(None, None), ""),
            (waiting(Some("retry"), None), ""),
            (
                waiting(Some("limit"), Some("limit per minute")),
                "it waits for a limit: limit per minute, until 07:00:40 (in 40s)",
            ),
            (outcome("sent", "250 2.0.0 OK\u{1b}", None), "b@dest.example: sent: 250 2.0.0 OK\\u001b"),
            (
                outcome("deferred", "451 4.3.0 later", at()),
                "b@dest.example: deferred: 451 4.3.0 later; it is tried again at 07:00:40 (in 40s)",
            ),
        ] {
            assert_eq!(render(&event, &viewer), want);
        }
    }
}
