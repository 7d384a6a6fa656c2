//! What must have become of it all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use mailsluice::lane::LaneState;
use mailsluice::store::ListFilter;
use tokio::time::{Instant, sleep};

use super::provider::Provider;
use super::script::{self, CLOSED, DropAt, Fate, GREYLISTING, REFUSALS, RESTART, Script};
use super::support::simulation::{Simulation, secs};

/// Transactions in a minute, as configured.
const PER_MINUTE: usize = 60;
/// How often a message may be kept without a word about it before it is left alone.
const MOST_KEPT: u32 = 3;
/// Attempts of a message that breaks every dialogue, while the good ones go: at once, and after 5, 15 and 35 minutes.
const TRIES: usize = 4;
/// Transactions that a restart breaks: one for each connection.
const BROKEN: usize = 3;
/// Connections that are turned away: seven of the first ten; after the first restart or closing none of those that were known to
/// be too many; now and then it is tried with one more.
const MOST_TURNED_AWAY: u32 = 12;
/// Sessions that find out how much one carries. One with refused recipients carries fewer messages, so it takes more than two.
const MOST_FULL: u32 = 20;

fn is_put_off(fate: Fate) -> bool {
    matches!(fate, Fate::PutOff(_))
}

fn is_refused(fate: Fate) -> bool {
    matches!(fate, Fate::Refused(_))
}

/// The time that the limits, the outages and the greylisting need together.
///
/// Every transaction takes up room in the minute: one for each message; another for what is put off, which goes after one
/// pause; a report for each message with refused recipients; the repeated ones of dialogues that break. The first minute's go
/// at once, so they cost no time. While the upstream is closed or restarts nothing goes. At the end the last of the put off
/// has to wait, when nothing else is left.
pub(crate) fn needed(script: &Script) -> Duration {
    let count = |what: &dyn Fn(&script::ScriptedMessage) -> bool| {
        script.messages.iter().filter(|message| what(message)).count()
    };
    let dropped = count(&|message| message.dropped.is_some());
    let transactions = script.messages.len()
        + count(&|message| message.has(is_put_off))
        + count(&|message| message.has(is_refused))
        + dropped * (TRIES - 1)
        + script.restarts.len() * BROKEN;
    let limits = Duration::from_mins(1).mul_f64((transactions - PER_MINUTE) as f64 / PER_MINUTE as f64);
    limits + CLOSED + RESTART * 2 + GREYLISTING
}

/// Whether a recipient is refused, and told so: what a dialogue says that breaks before DATA is answered may be disbelieved,
/// where the replies come in a group.
fn may_expire(message: &script::ScriptedMessage, fate: Fate) -> (bool, bool) {
    match (message.dropped, fate) {
        (Some(DropAt::Data), Fate::Refused(_)) => (true, true),
        (_, Fate::Refused(_)) => (true, false),
        (dropped, _) => (false, dropped.is_some()),
    }
}

/// All that is left in the queue is of messages that break every dialogue.
pub(crate) async fn only_dropped_wait(sim: &Simulation, script: &Script) {
    let all = sim.store().list(ListFilter { limit: 100_000, ..ListFilter::default() }).await.unwrap();
    let dropped = script.messages.iter().filter(|message| message.dropped.is_some()).count();
    assert!(!all.is_empty() && all.len() <= dropped, "{} wait, {dropped} are dropped", all.len());
    for message in all {
        let first = script.of(&message.recipients[0].address);
        let is_dropped = first.is_some_and(|(number, _)| script.messages[number].dropped.is_some());
        assert!(is_dropped, "it waits, and nothing is wrong with it: {message:?}");
    }
}

/// A message that comes now is taken within this time.
pub(crate) async fn takes_fresh_mail(sim: &mut Simulation, up: &Provider, to: &str, within: Duration) {
    sim.submit_by("192.0.2.99", "fresh@firm.example", &[to]).await;
    let start = Instant::now();
    while !up.book().kept.contains_key(to) {
        assert!(start.elapsed() <= within, "a fresh message waits: {:?}", sim.lane("main"));
        sleep(Duration::from_millis(100)).await;
    }
}

/// What the upstream has kept, and how fast it came.
pub(crate) fn upstream_saw(up: &Provider, script: &Script) {
    let book = up.book();
    for (message, to) in script.recipients() {
        let kept = book.kept.get(&to.address).copied().unwrap_or_default();
        let (number, fate) = script.of(&to.address).unwrap();
        let most = if book.unsaid.contains(&number) { MOST_KEPT } else { 1 };
        let want = match (message.dropped, fate) {
            (_, Fate::Refused(_)) | (Some(DropAt::Data), _) => 0..=0,
            (Some(DropAt::Dot), _) => MOST_KEPT..=MOST_KEPT,
            (None, _) => 1..=most,
        };
        assert!(
            want.contains(&kept),
            "{} was kept {kept} times: {fate:?}, {:?}",
            to.address,
            message.dropped
        );
    }
    assert!(book.turned_away <= MOST_TURNED_AWAY, "{} connections were turned away", book.turned_away);
    assert!(book.full <= MOST_FULL, "{} sessions were to carry more than they may", book.full);
    // A dot may come up to a few seconds behind the permit that counts, and one before it: a minute has one second less here.
    let dots = &book.dots;
    for (place, at) in dots.iter().enumerate().skip(PER_MINUTE) {
        let apart = *at - dots[place - PER_MINUTE];
        assert!(apart >= secs(59), "{PER_MINUTE} messages and one came within {apart:?}");
    }
}

/// Each sender has got one report about each recipient that came to nothing, with the upstream's words.
pub(crate) fn reports(up: &Provider, script: &Script) {
    let book = up.book();
    let mut told: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for report in book.reports.iter().filter(|report| !report.to.starts_with("fresh@")) {
        let text = report.content.replace("\n ", " ").replace("\n\t", " ");
        let blocks = text.split("\n\n").filter(|block| block.contains("Final-Recipient:"));
        for block in blocks {
            let line = block.lines().find(|line| line.starts_with("Final-Recipient:")).unwrap();
            assert!(block.contains("Action: failed"), "{block}");
            let about = line.rsplit([' ', ';']).next().unwrap().to_owned();
            told.entry(about).or_default().push((report.to.clone(), block.to_owned()));
        }
    }
    for (message, to) in script.recipients() {
        let of = told.remove(&to.address).unwrap_or_default();
        if message.is_good(to) {
            assert!(of.is_empty(), "{} is told to have failed: {of:?}", to.address);
            continue;
        }
        let [(reader, block)] = of.as_slice() else {
            panic!("{}: one report is wanted, not {of:?}", to.address);
        };
        assert_eq!(*reader, script::sender(message.client), "{}", to.address);
        let expired = block.contains("Status: 4.4.7");
        match (may_expire(message, to.fate), to.fate) {
            ((true, true), _) => {}
            ((is_refused, _), Fate::Refused(text)) => {
                assert!(is_refused && !expired, "{} is refused: {block}", to.address);
                // Of the words in brackets as of all others nothing is lost.
                assert!(block.contains(REFUSALS[text].0), "{} is refused: {block}", to.address);
            }
            _ => assert!(expired, "{} expires: {block}", to.address),
        }
    }
    assert!(told.is_empty(), "reports about nobody: {told:?}");
}

/// The blacklist, suspensions and totals.
pub(crate) async fn store_agrees(sim: &Simulation, up: &Provider, script: &Script) {
    let store = sim.store();
    let unknown = |message: &script::ScriptedMessage, fate| match fate {
        Fate::Refused(text) => REFUSALS[text].1 && message.dropped != Some(DropAt::Data),
        _ => false,
    };
    let must: BTreeSet<String> = script
        .recipients()
        .filter(|(message, to)| unknown(message, to.fate))
        .map(|(_, to)| to.address.clone())
        .collect();
    let listed: BTreeMap<String, String> = store
        .blacklist_page(mailsluice::store::BlacklistFilter::default())
        .await
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| (entry.pattern, entry.reason))
        .collect();
    for (address, reason) in &listed {
        let fate = script.of(address).map(|(_, fate)| fate);
        let is_right = matches!(fate, Some(Fate::Refused(text)) if REFUSALS[text].1);
        assert!(is_right, "{address} is on the blacklist: {reason}");
    }
    assert!(must.iter().all(|address| listed.contains_key(address)), "{must:?} are not all in {listed:?}");

    assert_eq!(store.suspensions().await.unwrap(), []);
    let accounts = &sim.core.as_ref().unwrap().context.accounts;
    let view = accounts.view("main").await.unwrap().unwrap();
    assert_eq!(view.state, LaneState::Up, "{view:?}");

    let mut ends = [0_u64; 3];
    let mut either = 0;
    for (message, to) in script.recipients() {
        match may_expire(message, to.fate) {
            (true, true) => either += 1,
            (true, false) => ends[1] += 1,
            (false, true) => ends[2] += 1,
            (false, false) => ends[0] += 1,
        }
    }
    let [good, bounced, expired] = ends;
    let reports = up.book().reports.iter().filter(|report| !report.to.starts_with("fresh@")).count() as u64;
    let totals = store.totals().await.unwrap();
    assert_eq!(totals.accepted, script.recipients().count() as u64 + 2, "{totals:?}");
    assert_eq!(totals.generated, reports, "{totals:?}");
    assert_eq!(totals.sent, good + reports + 2, "{totals:?}");
    assert!((bounced..=bounced + either).contains(&totals.bounced), "{totals:?}: {bounced} bounce");
    assert!((expired..=expired + either).contains(&totals.expired), "{totals:?}: {expired} expire");
    assert_eq!(totals.bounced + totals.expired, bounced + expired + either, "{totals:?}");
    assert_eq!((totals.dropped, totals.captured, totals.deleted, totals.queued), (0, 0, 0, 0), "{totals:?}");
}
