//! The shapes of the JSON. Times are RFC 3339 in UTC, sizes octets, durations seconds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deliver::AccountView;
use crate::policy::test_mode::{TestState, action_name};
use crate::queue::UpstreamStatus;
use crate::route::upstream_of;
use crate::store::{
    BlacklistEntry, BlacklistSource, Counts, MessageState, RecipientState, Summary, SummaryRecipient, Totals,
};
use crate::throttle::LimitLine;
use crate::time::{Moment, Timeline};

/// Messages in one answer when nobody says how many.
pub const DEFAULT_LIMIT: u64 = 10_000;
/// Messages in one answer at most.
pub const MAX_LIMIT: u64 = 100_000;

/// One recipient of a message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The forward-path.
    pub address: String,
    /// `waiting sending sent bounced expired dropped captured`
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The last reply; null when there was none.
    pub reply: Option<String>,
}

/// One message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its name.
    pub queue_id: String,
    /// `ready deferred held sending`
    pub state: String,
    /// The reverse-path; empty for a report.
    pub from: String,
    /// All recipients.
    pub to: Vec<Recipient>,
    /// Octets.
    pub size: u64,
    /// The user who logged in.
    pub user: Option<String>,
    /// The client's IP address.
    pub client: String,
    /// The upstream that it will probably take.
    pub upstream: String,
    /// When it was accepted.
    pub accepted_at: String,
    /// When it goes next, as far as is known.
    pub next_attempt: Option<String>,
    /// When it will probably go; null when it is held, its upstream is disabled, or nobody knows.
    pub eta: Option<String>,
    /// `retry limit disabled sign_in release schedule connection`
    pub waiting_for: Option<String>,
    /// What test mode does with it.
    pub test_mode: Option<String>,
}

/// One message with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageDetail {
    /// What a list shows.
    #[serde(flatten)]
    pub message: Message,
    /// The address that routing goes by.
    pub sender: String,
    /// Attempts so far.
    pub attempts: u32,
    /// What the client called itself.
    pub helo: String,
    /// The listener that it came in by.
    pub listener: String,
    /// Where a redirected message goes.
    pub test_address: Option<String>,
    /// Why its upstream takes nothing at present.
    pub upstream_reason: Option<String>,
    /// The upstream that it takes instead at present.
    pub fallback: Option<String>,
}

/// What became of a command to one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Its name.
    pub queue_id: String,
    /// `due`, `deleted`, or `gone`: while it was waited for, it was settled for all recipients.
    pub outcome: String,
}

/// What became of a command to many messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Messages that are due now.
    pub messages: u64,
}

/// One entry of the blacklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlacklistLine {
    /// An address, `@domain` or `*.domain`.
    pub address: String,
    /// Why.
    pub reason: String,
    /// `manual` or `bounce`.
    pub source: String,
    /// When it was added.
    pub added_at: String,
    /// When it ends; null is never.
    pub expires_at: Option<String>,
}

/// Whether an address is on the blacklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlacklistAnswer {
    /// Which address.
    pub address: String,
    /// Whether an entry covers it.
    pub listed: bool,
    /// That entry.
    pub entry: Option<BlacklistLine>,
}

/// What is used of a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Counted in the window.
    pub used: u64,
    /// The ceiling; null is none.
    pub limit: Option<u32>,
}

/// One window of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The upstream.
    pub upstream: String,
    /// The account.
    pub account: String,
    /// `minute hour day week`
    pub window: String,
    /// Messages.
    pub messages: Used,
    /// Recipients.
    pub recipients: Used,
    /// When something may go again; null when it may now.
    pub next_free: Option<String>,
    /// What else holds the account back: a pause by the provider's word, or a pace that its answers have taught.
    pub reason: Option<String>,
}

/// Which limits to reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitReset {
    /// The upstream.
    pub upstream: String,
    /// Which windows; all when there are none.
    #[serde(default)]
    pub windows: Vec<String>,
}

/// Test mode as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestMode {
    /// Whether it is on.
    pub enabled: bool,
    /// `redirect hold capture`
    pub action: String,
    /// Where redirected mail goes.
    pub address: Option<String>,
    /// Who set it.
    pub origin: String,
}

/// Where a held message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// `test` or `recipients`.
    pub to: String,
}

/// A reload that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What has changed and is in force only after a restart, in words.
    pub after_restart: Vec<String>,
}

/// Test mode as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestModeChange {
    /// On or off.
    pub enabled: bool,
    /// What it does; as before when absent.
    #[serde(default)]
    pub action: Option<String>,
    /// Where redirected mail goes; as before when absent.
    #[serde(default)]
    pub address: Option<String>,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where it listens.
    pub address: String,
    /// Clients that may relay without AUTH.
    pub relay_from: Vec<String>,
    /// `none starttls implicit`
    pub tls: String,
    /// `none optional required`
    pub auth: String,
}

/// An upstream and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Whether it takes what no filter matches.
    pub default: bool,
    /// `up down disabled limited`
    pub state: String,
    /// Why, when it is not up.
    pub reason: Option<String>,
    /// Until when, as far as is known.
    pub until: Option<String>,
    /// Its host; null for the local mailbox.
    pub host: Option<String>,
    /// Its port; null for the local mailbox.
    pub port: Option<u16>,
    /// The upstream that its mail takes instead at present.
    pub fallback: Option<String>,
    /// Its accounts, in the order of the configuration.
    pub accounts: Vec<Account>,
    /// What is used of its limits, by account and window.
    pub limits: Vec<Limit>,
}

/// A login of an upstream and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name; empty for an upstream without a login.
    pub account: String,
    /// Whether it serves its own address alone.
    pub sender_bound: bool,
    /// `up down disabled limited`
    pub state: String,
    /// Why, when it is not up.
    pub reason: Option<String>,
    /// Until when, as far as is known.
    pub until: Option<String>,
    /// Connections that are open.
    pub connections: u32,
    /// Connections that may be open at present.
    pub most_connections: u32,
    /// The pace that the provider's answers have taught; null when it is as configured.
    pub pace: Option<String>,
}

/// The whole relay at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// Seconds since the start.
    pub uptime: u64,
    /// Test mode.
    pub test_mode: TestMode,
    /// All listeners.
    pub listeners: Vec<Listener>,
    /// All upstreams.
    pub upstreams: Vec<Upstream>,
    /// Messages by state.
    pub queue: Counts,
    /// Recipients since the store was made.
    pub totals: Totals,
    /// Why the store accepts nothing at present.
    pub store_fault: Option<String>,
}

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong and what to do.
    pub error: String,
}

/// A time as the interface writes it.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn wall_ms(ms: i64) -> String {
    rfc3339(Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX))
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Message {
    /// What a list shows of a message, given how its upstream is.
    #[must_use]
    pub fn new(
        summary: &Summary,
        upstream: Option<&UpstreamStatus>,
        eta: Option<Moment>,
        timeline: &Timeline,
    ) -> Self {
        let now = timeline.now();
        let (waiting_for, next) = waiting(summary, upstream, now);
        Self {
            queue_id: summary.queue_id.to_string(),
            state: summary.state.name().to_owned(),
            from: summary.reverse_path.clone(),
            to: summary.recipients.iter().map(Recipient::from).collect(),
            size: summary.size,
            user: summary.client.user.clone(),
            client: summary.client.address.clone(),
            upstream: upstream_of(&summary.route).to_owned(),
            accepted_at: wall_ms(summary.accepted_wall),
            next_attempt: next.map(|moment| rfc3339(timeline.wall_at(moment))),
            eta: eta.map(|moment| rfc3339(timeline.wall_at(moment))),
            waiting_for: waiting_for.map(str::to_owned),
            test_mode: summary.test.as_ref().map(|test| action_name(test.action).to_owned()),
        }
    }
}

/// What a message waits for, and until when as far as is known.
fn waiting(
    summary: &Summary,
    upstream: Option<&UpstreamStatus>,
    now: Moment,
) -> (Option<&'static str>, Option<Moment>) {
    let state = summary.state;
    match state {
        MessageState::Held => return (Some("release"), None),
        MessageState::Sending => return (None, None),
        MessageState::Ready | MessageState::Deferred => {}
    }
    let until = upstream.filter(|u| u.via.is_none()).and_then(|u| u.until);
    let later = Some(until.map_or(summary.due, |until| until.max(summary.due)));
    // While the limit opens before the message is due, the limit does not hold it up.
    let due_behind_limit = summary.due > until.unwrap_or(now).max(now);
    // While another upstream stands in, it is not held up by its own.
    match upstream.filter(|u| u.via.is_none()).map_or("up", |u| u.state) {
        "disabled" => (Some("disabled"), until),
        // When the upstream answers again all of its mail is due at once, so what counts is the next try at it.
        "down" => (Some("connection"), until.or(Some(summary.due))),
        "limited" if !due_behind_limit => (Some("limit"), later),
        _ if state == MessageState::Deferred => (Some("retry"), Some(summary.due)),
        _ => (None, Some(summary.due)),
    }
}

impl MessageDetail {
    /// All that is known about a message.
    #[must_use]
    pub fn new(
        summary: &Summary,
        upstream: Option<&UpstreamStatus>,
        eta: Option<Moment>,
        timeline: &Timeline,
    ) -> Self {
        Self {
            message: Message::new(summary, upstream, eta, timeline),
            sender: summary.sender.clone(),
            attempts: summary.attempts,
            helo: summary.client.helo.clone(),
            listener: summary.client.listener.clone(),
            test_address: summary.test.as_ref().and_then(|t| t.address.as_ref()).map(ToString::to_string),
            upstream_reason: upstream.filter(|u| u.state != "up").and_then(|u| some_text(&u.reason)),
            fallback: upstream.and_then(|u| u.via.clone()),
        }
    }
}

impl From<&SummaryRecipient> for Recipient {
    fn from(recipient: &SummaryRecipient) -> Self {
        Self {
            address: recipient.address.clone(),
            state: RecipientState::name(recipient.state).to_owned(),
            attempts: recipient.attempts,
            reply: some_text(&recipient.reply),
        }
    }
}

impl BlacklistLine {
    /// An entry as the interface shows it.
    #[must_use]
    pub fn new(entry: BlacklistEntry, timeline: &Timeline) -> Self {
        let source = match entry.source {
            BlacklistSource::Manual => "manual",
            BlacklistSource::Bounce => "bounce",
        };
        Self {
            address: entry.pattern,
            reason: entry.reason,
            source: source.to_owned(),
            added_at: wall_ms(entry.added),
            expires_at: entry.expires.map(|moment| rfc3339(timeline.wall_at(moment))),
        }
    }
}

impl Limit {
    /// A line of the throttle as the interface shows it.
    #[must_use]
    pub fn new(line: LimitLine, timeline: &Timeline) -> Self {
        Self {
            upstream: line.upstream,
            account: line.account,
            window: line.window.name().to_owned(),
            messages: Used { used: line.messages_used, limit: line.messages_limit },
            recipients: Used { used: line.recipients_used, limit: line.recipients_limit },
            next_free: line.next_free.map(|moment| rfc3339(timeline.wall_at(moment))),
            reason: line.reason,
        }
    }
}

impl Account {
    /// A login as the interface shows it.
    #[must_use]
    pub fn new(view: AccountView, timeline: &Timeline) -> Self {
        let status = UpstreamStatus::new(view.account, &view.state, None);
        Self {
            account: status.name,
            sender_bound: view.sender_bound,
            state: status.state.to_owned(),
            reason: some_text(&status.reason),
            until: status.until.map(|until| rfc3339(timeline.wall_at(until))),
            connections: view.load.connections,
            most_connections: view.load.most_connections,
            pace: view.load.pace,
        }
    }
}

impl From<TestState> for TestMode {
    fn from(state: TestState) -> Self {
        Self {
            enabled: state.enabled,
            action: action_name(state.action).to_owned(),
            address: state.address.map(|a| a.to_string()),
            origin: state.origin,
        }
    }
}
