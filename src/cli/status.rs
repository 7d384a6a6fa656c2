//! `mailsluice status`

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use super::output::count;
use super::table::TextTable;
use super::viewer::{Viewer, span};
use super::{limits, test_mode};
use crate::control::view::{
    AccountJson, ListenerJson, RefusedSenderJson, RestoredJson, SentCopiesJson, SignInJson, StatusJson,
    StrangeReplyJson, UpstreamJson,
};
use crate::limits::SHARED;
use crate::report::log::escape::printable;
use crate::store::{StoreOrigin, Totals};

/// What an upstream does that is down and due.
const PROBING: &str = "probing now";

#[derive(Debug, clap::Args)]
pub(super) struct StatusOptions {
    /// Exit status 1 when something needs a person
    #[arg(long)]
    check: bool,
}

pub(super) fn execute(options: &StatusOptions, context: &CliContext) -> Result<(), Failure> {
    let reply = context.client()?.get(&RequestPath::path(&["status"]))?;
    context.print(&reply, render)?;
    // Whoever asks how a relay is, and has none, is not to take that for well.
    let is_well = reply.value.running && (!options.check || reply.value.needs_a_person.is_empty());
    if is_well { Ok(()) } else { Err(Failure::Told) }
}

fn render(status: &StatusJson, viewer: &Viewer) -> String {
    let version = printable(&status.version);
    let mut head = vec![if status.running {
        format!("mailsluice {version}, up for {}", span(status.uptime))
    } else {
        format!("mailsluice {version}, not running")
    }];
    head.extend(status.needs_a_person.iter().map(|what| format!("NEEDS A PERSON: {}", printable(what))));
    head.extend(status.restored.as_ref().map(restored));
    head.push(test_mode::describe(&status.test_mode));
    head.extend(status.listeners.iter().map(listener));
    let queue = match &status.queue {
        Some(queue) => format!(
            "Queue: {} (ready {}, deferred {}, held {}, sending {})",
            count(queue.ready + queue.deferred + queue.held + queue.sending, "message"),
            queue.ready,
            queue.deferred,
            queue.held,
            queue.sending
        ),
        None => format!("Queue: {} (the store can't be read)", count(status.queued, "message")),
    };
    let totals = status.totals.as_ref().map_or_else(String::new, totals);
    let (head, totals) = (viewer.sentences(&head.join("\n")), viewer.sentences(&totals));
    let sign_ins = status.sign_ins.iter().map(|one| viewer.sentences(&sign_in(one)) + "\n");
    let sign_ins: String = sign_ins.collect();
    let copies = status.sent_copies.iter().map(|one| viewer.sentences(&sent_copies(one, viewer)) + "\n");
    let copies: String = copies.collect();
    format!("{head}\n\n{}\n{sign_ins}{copies}{queue}\n{totals}", upstreams(&status.upstreams, viewer))
}

/// `Restored: a backup of 2026-11-22T07:00:00.000Z, started 2026-11-22T07:10:00.000Z: 3 of 7 messages are still held; …`
fn restored(restored: &RestoredJson) -> String {
    let RestoredJson { origin, made, begun, messages, held, lost, limits_used } = restored;
    let what = match origin {
        StoreOrigin::Backup => "a backup of",
        StoreOrigin::Salvage => "saved from damaged files at",
    };
    let lost =
        if *lost > 0 { format!("; {} could not be saved", count(*lost, "recipient")) } else { String::new() };
    let limits =
        if *limits_used { "; its limits count as used from then for the length of each window" } else { "" };
    let held = format!("{held} of {} still held", count(*messages, "message"));
    printable(&format!("Restored: {what} {made}, started {begun}: {held}{lost}{limits}"))
}

fn listener(listener: &ListenerJson) -> String {
    let networks = printable(&listener.relay_from.join(", "));
    let who = match (listener.auth.as_str(), networks.as_str()) {
        // Nobody else comes as far as RCPT.
        ("required", _) | ("optional", "") => "who logs in".to_owned(),
        ("optional", networks) => format!("{networks} and who logs in"),
        (_, "") => "nobody".to_owned(),
        (_, networks) => networks.to_owned(),
    };
    let tls = match listener.tls.as_str() {
        "starttls" => " with STARTTLS",
        "implicit" => " with TLS",
        _ => "",
    };
    format!("Listening on {}{tls}, relays for {who}", printable(&listener.address))
}

/// `Sign-in m365 as chief@firm.example: in order`
fn sign_in(sign_in: &SignInJson) -> String {
    let whose = sign_in.account.as_ref().map_or_else(String::new, |account| format!(" as {account}"));
    let reason =
        sign_in.reason.as_deref().or_else(|| sign_in.tokens.iter().find_map(|token| token.reason.as_deref()));
    let state = match (reason, &sign_in.action) {
        (Some(reason), Some(action)) => format!("{reason}; {action}"),
        (Some(reason), None) => reason.to_owned(),
        (None, _) if sign_in.tokens.is_empty() => "not in use".to_owned(),
        (None, _) => "in order".to_owned(),
    };
    printable(&format!("Sign-in {}{whose}: {state}", sign_in.name))
}

/// `Sent folder of me@firm.example (main): 2 copies wait since 07:00:40 (5m ago): connect: no answer`
fn sent_copies(waiting: &SentCopiesJson, viewer: &Viewer) -> String {
    let SentCopiesJson { upstream, account, copies, since, reason, .. } = waiting;
    let (number, age) = (
        if *copies == 1 { "1 copy waits".to_owned() } else { format!("{copies} copies wait") },
        viewer.age(since),
    );
    let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let since = viewer.local(since);
    printable(&format!("Sent folder of {account} ({upstream}): {number} since {since} ({age} ago){reason}"))
}

fn upstreams(upstreams: &[UpstreamJson], viewer: &Viewer) -> String {
    let mut table = TextTable::new(&["UPSTREAM", "STATE", "UNTIL", "HOST", "LIMITS LEFT"]).folding(&[
        "LIMITS LEFT",
        "HOST",
        "UNTIL",
    ]);
    for upstream in upstreams {
        table.row(&[
            format!("{}{}", upstream.name, if upstream.default { " (default)" } else { "" }),
            state(&upstream.state, upstream.tried).to_owned(),
            until(&upstream.state, upstream.until.as_deref(), viewer),
            host(upstream),
            limits_left(upstream),
        ]);
        for note in notes(upstream, viewer) {
            table.note(&note);
        }
    }
    table.render(viewer)
}

/// What is left of the limits of all accounts together, and of an account that is the only one.
pub(super) fn limits_left(upstream: &UpstreamJson) -> String {
    let only = upstream.accounts.len() < 2;
    let limits = upstream.limits.iter().filter(|limit| only || limit.account == SHARED);
    limits::left(&limits.cloned().collect::<Vec<_>>())
}

/// What stands below an upstream: why it is not up, what its mail takes instead, and its accounts where these tell more.
pub(super) fn notes(upstream: &UpstreamJson, viewer: &Viewer) -> Vec<String> {
    let mut notes: Vec<String> = why(upstream).into_iter().collect();
    notes.extend(upstream.not_in_file.clone());
    notes.extend(upstream.fallback.as_ref().map(|via| format!("its mail takes the fallback {via}")));
    let several = upstream.accounts.len() > 1;
    let tells_more = |account: &&AccountJson| several || account.pace.is_some();
    notes.extend(
        upstream.accounts.iter().filter(tells_more).map(|account| describe(account, upstream, viewer)),
    );
    notes.extend(upstream.refused_senders.iter().map(|refused| refused_sender(refused, several, viewer)));
    notes.extend(upstream.strange_replies.iter().map(|strange| strange_reply(strange, several, viewer)));
    let probed = upstream.state == "disabled" && upstream.until.is_some();
    let how = if probed { "it is tried by itself then; to try at once" } else { "to let it send again" };
    notes.extend(upstream.action.as_ref().map(|action| format!("{how}: {action}")));
    notes
}

/// `refuses mail from me@firm.example since 07:00:40 (5m ago): 553 5.7.1 not owned by auth user`
fn refused_sender(refused: &RefusedSenderJson, several: bool, viewer: &Viewer) -> String {
    let RefusedSenderJson { sender, account, since, reply, .. } = refused;
    let by = if several { format!("{account}: ") } else { String::new() };
    let (since, age) = (viewer.local(since), viewer.age(since));
    format!("{by}refuses mail from {sender} since {since} ({age} ago): {reply}")
}

/// `has answered since 07:00:40 (5m ago) what is not known here: 451 4.3.0 418 Teapot: … (request 7c3e)`
fn strange_reply(strange: &StrangeReplyJson, several: bool, viewer: &Viewer) -> String {
    let StrangeReplyJson { account, since, reply, .. } = strange;
    let by = if several { format!("{account}: ") } else { String::new() };
    let (since, age) = (viewer.local(since), viewer.age(since));
    format!("{by}has answered since {since} ({age} ago) what is not known here: {reply}")
}

/// `erp@firm.example: limited until 07:00:40 (in 40s): limit per minute; slowed down to 20 messages a minute`
fn describe(account: &AccountJson, upstream: &UpstreamJson, viewer: &Viewer) -> String {
    let until = until(&account.state, account.until.as_deref(), viewer);
    let until = match until.as_str() {
        "" | "now" => String::new(),
        PROBING => format!(", {PROBING}"),
        time => format!(" until {time}"),
    };
    let reason = account.reason.as_ref().map_or_else(String::new, |reason| {
        let figures = figures(&account.state, &limits::blocking(&upstream.limits, &account.account));
        format!(": {reason}{figures}")
    });
    let pace = account.pace.as_ref().map_or_else(String::new, |pace| format!("; slowed down to {pace}"));
    let name = if account.account.is_empty() { "without a login" } else { &account.account };
    format!("{name}: {}{until}{reason}{pace}", state(&account.state, account.tried))
}

/// How an upstream or an account is. Nobody knows whether one works that was not tried yet.
pub(super) fn state(state: &str, tried: bool) -> &str {
    if state == "up" && !tried { "not tried yet" } else { state }
}

/// Why an upstream takes nothing; of a limit with its figures, where there is but one account.
fn why(upstream: &UpstreamJson) -> Option<String> {
    let reason = upstream.reason.as_ref()?;
    let figures = match upstream.accounts.as_slice() {
        [only] => figures(&upstream.state, &limits::blocking(&upstream.limits, &only.account)),
        _ => String::new(),
    };
    Some(format!("{reason}{figures}"))
}

fn figures(state: &str, blocking: &str) -> String {
    if state != "limited" || blocking.is_empty() { String::new() } else { format!(" ({blocking})") }
}

pub(super) fn host(upstream: &UpstreamJson) -> String {
    match (&upstream.host, upstream.port) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.clone(),
        (None, _) => "local mailbox".to_owned(),
    }
}

/// Until when an upstream, or an account, takes nothing. One that is down and due is being tried at this moment.
pub(super) fn until(state: &str, until: Option<&str>, viewer: &Viewer) -> String {
    match until.map(|time| viewer.until(time)) {
        Some(time) if time == "now" && matches!(state, "down" | "disabled") => PROBING.to_owned(),
        time => time.unwrap_or_default(),
    }
}

/// The upstreams that take nothing at present, a line each; below a list of the queue.
pub(super) fn obstacles(upstreams: &[UpstreamJson], viewer: &Viewer) -> String {
    let line = |upstream: &UpstreamJson| {
        let until = match until(&upstream.state, upstream.until.as_deref(), viewer).as_str() {
            "" => String::new(),
            PROBING => format!(", {PROBING}"),
            time => format!(" until {time}"),
        };
        let reason = why(upstream).map_or_else(String::new, |reason| format!(": {}", printable(&reason)));
        let via = upstream
            .fallback
            .as_deref()
            .map(|via| format!("; its mail takes the fallback {}", printable(via)));
        let reason = reason + &via.unwrap_or_default();
        format!("{} is {}{until}{reason}\n", printable(&upstream.name), printable(&upstream.state))
    };
    upstreams.iter().filter(|upstream| upstream.state != "up").map(line).collect()
}

/// The sum that must always hold.
fn totals(t: &Totals) -> String {
    let left = t.accepted + t.generated;
    let right = t.sent + t.bounced + t.expired + t.dropped + t.captured + t.deleted + t.queued;
    let verdict = if left == right { "" } else { " -- THE SUMS DIFFER: please report this" };
    format!(
        "Recipients: {} accepted + {} generated = {} sent + {} bounced + {} expired + {} dropped + {} captured + {} \
         deleted + {} queued{verdict}",
        t.accepted, t.generated, t.sent, t.bounced, t.expired, t.dropped, t.captured, t.deleted, t.queued
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::view::TestModeJson;
    use crate::store::{QueueCounts, TestModeCounts};

    fn account(name: &str, state: &str, reason: Option<&str>) -> AccountJson {
        AccountJson {
            account: name.to_owned(),
            sender_bound: false,
            state: state.to_owned(),
            tried: true,
            reason: reason.map(str::to_owned),
            until: None,
            action: None,
            connections: 1,
            most_connections: 3,
            pace: (state == "up").then(|| "20 messages a minute".to_owned()),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a picture of everything, and what it is made of")]
    fn tells_at_a_glance_what_is_stuck() {
        let status = StatusJson {
            running: true,
            restored: None,
            version: "0.1.0".to_owned(),
            uptime: 12_000,
            test_mode: TestModeJson {
                not_in_file: None,
                counts: Some(TestModeCounts::default()),
                enabled: true,
                action: "redirect".to_owned(),
                address: Some("test@firm.example".to_owned()),
                origin: "command".to_owned(),
                users: Vec::new(),
            },
            listeners: [
                ("127.0.0.1:2525", vec!["::1/128"], "none", "none"),
                ("192.0.2.9:587", vec!["192.0.2.0/24"], "starttls", "optional"),
                ("[::]:465", vec![], "implicit", "required"),
            ]
            .into_iter()
            .map(|(address, relay_from, tls, auth)| ListenerJson {
                address: address.to_owned(),
                relay_from: relay_from.into_iter().map(str::to_owned).collect(),
                tls: tls.to_owned(),
                auth: auth.to_owned(),
            })
            .collect(),
            upstreams: vec![UpstreamJson {
                not_in_file: None,
                name: "m365".to_owned(),
                default: true,
                state: "down".to_owned(),
                tried: true,
                reason: Some("connect: \u{1b}refused".to_owned()),
                until: Some("2026-11-22T07:04:00.000Z".to_owned()),
                action: Some("mailsluice upstream enable m365".to_owned()),
                host: Some("smtp.example.net".to_owned()),
                port: Some(587),
                fallback: Some("backup".to_owned()),
                accounts: vec![
                    account("a@firm.example", "up", None),
                    account("b@firm.example", "disabled", Some("535 no")),
                ],
                limits: vec![],
                refused_senders: vec![RefusedSenderJson {
                    sender: "me@firm.example".to_owned(),
                    account: "a@firm.example".to_owned(),
                    since: "2026-11-22T06:50:00.000Z".to_owned(),
                    reply: "553 no".to_owned(),
                    action: "use its own account".to_owned(),
                }],
                strange_replies: vec![StrangeReplyJson {
                    account: "a@firm.example".to_owned(),
                    since: "2026-11-22T06:50:00.000Z".to_owned(),
                    reply: "451 4.3.0 418 Teapot: no (request 7c3e)".to_owned(),
                    action: "look its code up".to_owned(),
                }],
            }],
            sign_ins: vec![SignInJson {
                name: "m365".to_owned(),
                flow: "device_code".to_owned(),
                account: Some("chief@firm.example".to_owned()),
                signed_in_at: None,
                renewed_at: None,
                reason: Some("the sign-in was revoked".to_owned()),
                action: Some("run `mailsluice connect m365`".to_owned()),
                tokens: Vec::new(),
            }],
            sent_copies: vec![SentCopiesJson {
                upstream: "m365".to_owned(),
                account: "a@firm.example".to_owned(),
                copies: 2,
                size: 9,
                since: "2026-11-22T06:50:00Z".to_owned(),
                reason: Some("the IMAP server refuses the login: no".to_owned()),
            }],
            queued: 3,
            queue: Some(QueueCounts { ready: 1, deferred: 2, held: 0, sending: 0 }),
            totals: Some(Totals {
                accepted: 5,
                generated: 1,
                sent: 2,
                bounced: 0,
                expired: 0,
                dropped: 0,
                captured: 0,
                deleted: 1,
                queued: 3,
            }),
            store_fault: None,
            needs_a_person: vec!["upstream m365 account b@firm.example: 535 \u{1b}no".to_owned()],
        };
        let viewer = Viewer::utc("2026-11-22T07:00:00Z");
        let want = "\
mailsluice 0.1.0, up for 3h 20m
NEEDS A PERSON: upstream m365 account b@firm.example: 535 \\u001bno
Test mode: ON, all mail goes to test@firm.example (set by command)
Listening on 127.0.0.1:2525, relays for ::1/128
Listening on 192.0.2.9:587 with STARTTLS, relays for 192.0.2.0/24 and who logs
  in
Listening on [::]:465 with TLS, relays for who logs in

UPSTREAM        STATE  UNTIL             HOST                  LIMITS LEFT
m365 (default)  down   07:04:00 (in 4m)  smtp.example.net:587
    connect: \\u001brefused
    its mail takes the fallback backup
    a@firm.example: up; slowed down to 20 messages a minute
    b@firm.example: disabled: 535 no
    a@firm.example: refuses mail from me@firm.example since 06:50:00 (10m ago): 553 no
    a@firm.example: has answered since 06:50:00 (10m ago) what is not known here: 451 4.3.0 418 Teapot: no (request 7c3e)
    to let it send again: mailsluice upstream enable m365

Sign-in m365 as chief@firm.example: the sign-in was revoked; run
  `mailsluice connect m365`
Sent folder of a@firm.example (m365): 2 copies wait since 06:50:00 (10m ago):
  the IMAP server refuses the login: no
Queue: 3 messages (ready 1, deferred 2, held 0, sending 0)
Recipients: 5 accepted + 1 generated = 2 sent + 0 bounced + 0 expired +
  0 dropped + 0 captured + 1 deleted + 3 queued";
        assert_eq!(render(&status, &viewer), want);
        assert_eq!(
            obstacles(&status.upstreams, &viewer),
            "m365 is down until 07:04:00 (in 4m): connect: \\u001brefused; its mail takes the fallback backup\n"
        );
        let due = Viewer::utc("2026-11-22T07:04:00Z");
        assert_eq!(
            obstacles(&status.upstreams, &due),
            "m365 is down, probing now: connect: \\u001brefused; its mail takes the fallback backup\n"
        );
        let wrong = status.totals.map(|totals| Totals { sent: 1, ..totals });
        let wrong = StatusJson { totals: wrong, ..status };
        assert!(render(&wrong, &viewer).contains("THE SUMS DIFFER"));
        let broken = StatusJson { totals: None, queue: None, ..wrong };
        assert!(render(&broken, &viewer).ends_with("Queue: 3 messages (the store can't be read)\n"));
    }
}
