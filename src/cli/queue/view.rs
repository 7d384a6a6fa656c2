//! The queue as a person wants to see it.

use std::collections::BTreeSet;

use crate::cli::output::{count, size};
use crate::cli::status;
use crate::cli::table::TextTable;
use crate::cli::viewer::Viewer;
use crate::control::view::{MessageDetail, MessageJson, RecipientJson, Retried, UpstreamJson, WaitJson};
use crate::mail::AddressKey;
use crate::report::log::escape::printable;

/// The columns of a list that go below the rows of a narrow terminal, one after the other.
const FOLDING: [&str; 7] = ["GOES ABOUT", "UPSTREAM", "NEXT ATTEMPT", "WAITS FOR", "SIZE", "TO", "FROM"];
/// Where the values begin of what is known of a message.
const VALUES: usize = 14;

/// How much of the queue a list shows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    /// All that was asked for.
    All,
    /// The first of so many.
    FirstOf(u64),
    /// The first of nobody knows how many.
    First,
}

/// The states of messages, in the order in which they are told.
const STATES: [&str; 4] = ["ready", "deferred", "held", "sending"];

/// A list of messages, which is printed page by page.
#[derive(Default)]
pub(super) struct ListedPages {
    /// How wide the columns are so far.
    widths: Option<Vec<usize>>,
    /// Messages so far.
    pub(super) listed: u64,
    /// Of them, in each of the [`STATES`].
    in_state: [u64; STATES.len()],
    /// The upstreams of these messages.
    pub(super) upstreams: BTreeSet<String>,
}

impl ListedPages {
    /// The next page: a row for each message, below it the last reply.
    pub(super) fn page(&mut self, messages: &[MessageJson], viewer: &Viewer) -> String {
        let table = table(messages, self.widths.take(), viewer);
        self.widths = Some(table.widths());
        self.listed += messages.len() as u64;
        for message in messages {
            let state = STATES.iter().position(|state| *state == message.state);
            if let Some(count) = state.and_then(|at| self.in_state.get_mut(at)) {
                *count += 1;
            }
            if !self.upstreams.contains(&message.upstream) {
                self.upstreams.insert(message.upstream.clone());
            }
        }
        table.render(viewer)
    }

    /// `3 messages: 1 ready, 2 deferred`
    pub(super) fn summary(&self, extent: Extent) -> String {
        let states = STATES.iter().zip(self.in_state).filter(|(_, n)| *n > 0);
        let states: Vec<String> = states.map(|(state, n)| format!("{n} {state}")).collect();
        let listed = self.listed;
        let how_many = match extent {
            Extent::All => count(listed, "message"),
            Extent::FirstOf(all) => format!("The first {listed} of {}", count(all, "message")),
            Extent::First => format!("The first {}, there may be more", count(listed, "message")),
        };
        format!("{how_many}: {}", states.join(", "))
    }
}

/// A row for each message, below it the last reply.
fn table(messages: &[MessageJson], goes_on: Option<Vec<usize>>, viewer: &Viewer) -> TextTable {
    let table = TextTable::new(&[
        "QUEUE ID",
        "STATE",
        "WAITS FOR",
        "NEXT ATTEMPT",
        "GOES ABOUT",
        "AGE",
        "SIZE",
        "UPSTREAM",
        "FROM",
        "TO",
    ])
    .folding(&FOLDING);
    let mut table = match goes_on {
        Some(widths) => table.going_on(widths),
        None => table,
    };
    for message in messages {
        let state = if message.test_mode.is_some() { "TEST " } else { "" }.to_owned() + &message.state;
        table.row(&[
            message.queue_id.clone(),
            state,
            message.waiting_for.clone().unwrap_or_default(),
            next_attempt(message, viewer),
            message.eta.as_deref().map_or_else(String::new, |time| viewer.until(time)),
            viewer.age(&message.accepted_at),
            size(message.size),
            message.upstream.clone(),
            path(&message.from),
            recipients(&message.to),
        ]);
        if let Some(reply) = last_reply(&message.to) {
            table.note(reply);
        }
    }
    table
}

/// That nothing is listed, and whether there is something else.
pub(super) fn nothing(in_the_queue: u64) -> String {
    match in_the_queue {
        0 => "Nothing in the queue.".to_owned(),
        1 => "No message matches; 1 is in the queue.".to_owned(),
        n => format!("No message matches; {n} are in the queue."),
    }
}

/// What became of all that waited for a retry.
pub(super) fn retried(done: &Retried, mut upstreams: Vec<UpstreamJson>, viewer: &Viewer) -> String {
    // What is down is tried at once, and so is a login that was refused.
    upstreams.retain(|one| done.upstreams.contains(&one.name) && !is_tried_now(one));
    let obstacles = viewer.sentences(&status::obstacles(&upstreams, viewer));
    let verb = if done.messages == 1 { "is" } else { "are" };
    format!("{} {verb} due now\n{obstacles}", count(done.messages, "message"))
}

fn is_tried_now(upstream: &UpstreamJson) -> bool {
    match upstream.state.as_str() {
        "down" => true,
        "disabled" => upstream.until.is_some(),
        _ => false,
    }
}

/// All that is known about one message.
pub(super) fn detail(detail: &MessageDetail, viewer: &Viewer) -> String {
    let message = &detail.message;
    let mut lines = vec![
        ("Queue id", message.queue_id.clone()),
        ("State", message.state.clone()),
        ("Waits for", message.waiting_for.clone().unwrap_or_default()),
        ("Because", detail.upstream_reason.clone().filter(|_| detail.fallback.is_some()).unwrap_or_default()),
        (
            "Fallback",
            detail.fallback.as_ref().map_or_else(String::new, |via| format!("it takes {via} instead")),
        ),
        ("Next attempt", next_attempt(message, viewer)),
        ("Goes about", message.eta.as_deref().map_or_else(String::new, |time| viewer.until(time))),
        ("Attempts", detail.attempts.to_string()),
        (
            "Accepted",
            format!("{} ({} ago)", viewer.local(&message.accepted_at), viewer.age(&message.accepted_at)),
        ),
        ("Left", detail.left_at.as_deref().map_or_else(String::new, |time| viewer.local(time))),
        ("Size", size(message.size)),
        ("Message-ID", detail.message_id.clone().unwrap_or_default()),
        ("Subject", detail.subject.clone().unwrap_or_default()),
        ("From", path(&message.from)),
        ("Upstream", message.upstream.clone()),
        ("Client", client(detail)),
        ("User", message.user.clone().unwrap_or_default()),
    ];
    if detail.sender != AddressKey::of_text(&message.from).as_str() {
        lines.push(("Sender", detail.sender.clone()));
    }
    if let Some(action) = &message.test_mode {
        let to = detail.test_address.as_ref().map_or_else(String::new, |address| format!(" to {address}"));
        lines.push(("Test mode", format!("{action}{to}")));
    }
    lines.push(("Rules", detail.rules.join(", ")));
    lines.push(("Decided", detail.ruled.join("; ")));
    let lines: Vec<String> = lines
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| viewer.field(name, &printable(&value), VALUES))
        .collect();
    let mut table = TextTable::new(&["RECIPIENT", "STATE", "ATTEMPTS"]);
    for recipient in &message.to {
        table.row(&[recipient.address.clone(), recipient.state.clone(), recipient.attempts.to_string()]);
        if let Some(reply) = &recipient.reply {
            table.note(reply);
        }
    }
    let waits: String = detail.waits.iter().map(|one| wait(one, viewer)).collect();
    let waits = if waits.is_empty() { waits } else { format!("{waits}\n") };
    format!("{}\n\n{waits}{}", lines.join("\n"), table.render(viewer))
}

/// Something that a message waits for: whose affair it is and why, and below that what happens next.
pub(super) fn wait(wait: &WaitJson, viewer: &Viewer) -> String {
    let who = match (wait.applies_to.as_str(), &wait.name, wait.recipients.as_slice()) {
        ("recipient", _, [only]) => only.clone(),
        ("recipient", _, [first, others @ ..]) => format!("{first} +{}", others.len()),
        ("account" | "upstream", Some(name), _) => format!("the {} {name}", wait.applies_to),
        (other, ..) => format!("the {other}"),
    };
    let state = match wait.state.as_str() {
        "deferred" => "deferred for its own sake",
        "in_doubt" => "may have arrived several times already",
        other => other,
    };
    let reason = if wait.reason.is_empty() { String::new() } else { format!(": {}", wait.reason) };
    let next = match wait.next.as_deref().map(|time| viewer.until(time)).as_deref() {
        None => String::new(),
        Some("now") => " now".to_owned(),
        Some(time) => format!(" at {time}"),
    };
    let action = wait.action.as_ref().map_or_else(String::new, |action| format!(" ({action})"));
    let then = format!("{}{next}{action}", wait.then);
    let lines = format!("{}\n    {}", printable(&format!("{who}: {state}{reason}")), printable(&then));
    viewer.sentences(&lines) + "\n"
}

/// When a message is tried; or what must happen before, where nobody knows when that is.
fn next_attempt(message: &MessageJson, viewer: &Viewer) -> String {
    match (message.next_attempt.as_deref(), message.waiting_for.as_deref()) {
        (Some(time), _) => viewer.until(time),
        (None, Some("disabled")) => format!("when {} is enabled", message.upstream),
        (None, Some("release")) => "when it is released".to_owned(),
        (None, _) => String::new(),
    }
}

fn client(detail: &MessageDetail) -> String {
    let helo = if detail.helo.is_empty() { String::new() } else { format!(" ({})", detail.helo) };
    let listener =
        if detail.listener.is_empty() { String::new() } else { format!(" at {}", detail.listener) };
    format!("{}{helo}{listener}", detail.message.client)
}

/// The reverse-path; `<>` when it is null.
fn path(from: &str) -> String {
    if from.is_empty() { "<>".to_owned() } else { from.to_owned() }
}

/// The first recipient that is not settled, and how many there are besides.
fn recipients(to: &[RecipientJson]) -> String {
    let open = to.iter().find(|r| is_open(r)).or(to.first());
    let first = open.map_or("", |recipient| recipient.address.as_str());
    match to.len() {
        0 | 1 => first.to_owned(),
        n => format!("{first} +{}", n - 1),
    }
}

fn last_reply(to: &[RecipientJson]) -> Option<&str> {
    to.iter().filter(|r| is_open(r)).find_map(|recipient| recipient.reply.as_deref())
}

fn is_open(recipient: &RecipientJson) -> bool {
    matches!(recipient.state.as_str(), "waiting" | "sending")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(messages: &[MessageJson], extent: Extent, viewer: &Viewer) -> String {
        let mut pages = ListedPages::default();
        let page = pages.page(messages, viewer);
        format!("{page}{}\n", pages.summary(extent))
    }

    fn recipient(address: &str, state: &str, reply: Option<&str>) -> RecipientJson {
        RecipientJson {
            address: address.to_owned(),
            state: state.to_owned(),
            attempts: 2,
            reply: reply.map(str::to_owned),
        }
    }

    fn message() -> MessageJson {
        MessageJson {
            queue_id: "1HK2M3N4P5Q6R7S8".to_owned(),
            state: "deferred".to_owned(),
            from: String::new(),
            to: vec![
                recipient("gone@x.example", "sent", Some("250 OK")),
                recipient("late@x.example", "waiting", Some("450 4.2.0 \u{1b}[2J busy")),
            ],
            size: 10_240,
            user: None,
            client: "127.0.0.1".to_owned(),
            upstream: "m365".to_owned(),
            accepted_at: "2026-11-22T06:50:00.000Z".to_owned(),
            next_attempt: Some("2026-11-22T07:04:00.000Z".to_owned()),
            eta: Some("2026-11-22T07:05:00.000Z".to_owned()),
            waiting_for: Some("retry".to_owned()),
            test_mode: None,
        }
    }

    #[test]
    fn the_list_tells_what_waits_why_and_until_when() {
        let text = list(&[message()], Extent::All, &Viewer::utc("2026-11-22T07:00:00Z"));
        let want = "\
QUEUE ID          STATE     WAITS FOR  NEXT ATTEMPT      GOES ABOUT        AGE  SIZE    UPSTREAM  FROM  TO
1HK2M3N4P5Q6R7S8  deferred  retry      07:04:00 (in 4m)  07:05:00 (in 5m)  10m  10 KiB  m365      <>    late@x.example +1
    450 4.2.0 \\u001b[2J busy
1 message: 1 deferred
";
        assert_eq!(text, want);
    }

    #[test]
    fn at_80_columns_addresses_stay_whole_and_everything_is_there() {
        let disabled = MessageJson {
            from: "newsletter@marketing.firm.example".to_owned(),
            to: vec![recipient("anna.schmidt@purchasing.customer.example", "waiting", None)],
            waiting_for: Some("disabled".to_owned()),
            next_attempt: None,
            eta: None,
            ..message()
        };
        let held = MessageJson { waiting_for: Some("release".to_owned()), next_attempt: None, ..message() };
        let viewer = Viewer::utc("2026-11-22T07:00:00Z").with_width(80);
        let want = "\
QUEUE ID          STATE     AGE  FROM
1HK2M3N4P5Q6R7S8  deferred  10m  newsletter@marketing.firm.example
    waits for: disabled; next attempt: when m365 is enabled; size: 10 KiB
    upstream: m365; to: anna.schmidt@purchasing.customer.example
1HK2M3N4P5Q6R7S8  deferred  10m  <>
    waits for: release; next attempt: when it is released
    goes about: 07:05:00 (in 5m); size: 10 KiB; upstream: m365
    to: late@x.example +1
    450 4.2.0 \\u001b[2J busy
2 messages: 2 deferred
";
        assert_eq!(list(&[disabled, held], Extent::All, &viewer), want);
    }

    #[test]
    fn a_message_shows_each_recipient_with_its_reply() {
        let detail = super::detail(
            &MessageDetail {
                message: message(),
                message_id: Some("<1@firm.example>".to_owned()),
                subject: Some("Grüße \u{1b}[2J".to_owned()),
                sender: "erp@firm.example".to_owned(),
                attempts: 2,
                helo: "evil\u{9b}2J".to_owned(),
                listener: "127.0.0.1:2525".to_owned(),
                test_address: None,
                upstream_reason: None,
                fallback: Some("backup".to_owned()),
                rules: Vec::new(),
                ruled: Vec::new(),
                waits: vec![
                    WaitJson {
                        applies_to: "recipient".to_owned(),
                        name: None,
                        recipients: vec!["late@x.example".to_owned()],
                        state: "deferred".to_owned(),
                        reason: "450 4.2.0 \u{1b}[2J busy".to_owned(),
                        then: "it is tried again".to_owned(),
                        next: Some("2026-11-22T07:04:00.000Z".to_owned()),
                        action: Some("mailsluice queue retry 1HK2M3N4P5Q6R7S8".to_owned()),
                    },
                    WaitJson {
                        applies_to: "upstream".to_owned(),
                        name: Some("m365".to_owned()),
                        recipients: vec![],
                        state: "disabled".to_owned(),
                        reason: "535 no".to_owned(),
                        then: "nothing, until a person has seen to it".to_owned(),
                        next: None,
                        action: Some("mailsluice upstream enable m365".to_owned()),
                    },
                ],
                left_at: None,
            },
            &Viewer::utc("2026-11-22T07:00:00Z"),
        );
        let want = "\
Queue id:     1HK2M3N4P5Q6R7S8
State:        deferred
Waits for:    retry
Fallback:     it takes backup instead
Next attempt: 07:04:00 (in 4m)
Goes about:   07:05:00 (in 5m)
Attempts:     2
Accepted:     06:50:00 (10m ago)
Size:         10 KiB
Message-ID:   <1@firm.example>
Subject:      Grüße \\u001b[2J
From:         <>
Upstream:     m365
Client:       127.0.0.1 (evil\\u009b2J) at 127.0.0.1:2525
Sender:       erp@firm.example

late@x.example: deferred for its own sake: 450 4.2.0 \\u001b[2J busy
    it is tried again at 07:04:00 (in 4m)
      (mailsluice queue retry 1HK2M3N4P5Q6R7S8)
the upstream m365: disabled: 535 no
    nothing, until a person has seen to it (mailsluice upstream enable m365)

RECIPIENT       STATE    ATTEMPTS
gone@x.example  sent     2
    250 OK
late@x.example  waiting  2
    450 4.2.0 \\u001b[2J busy
";
        assert_eq!(detail, want);
    }
}
