//! One attempt: a message under a lease is made ready for its upstream and handed over, and what became of it is noted.

use std::sync::Arc;

use tokio::sync::watch;

use super::carrier::{Carrier, Way};
use super::content::{Loaded, Unfit, load, make_ready, offered, prepare};
use super::context::Phase;
use super::health::Probe;
use super::lane::LaneShared;
use super::lessons::{Mail, Teacher};
use super::outcome::{self, End, Fate, Tried, Why};
use super::pool::Seat;
use crate::config::BlacklistAction;
use crate::mail::{Body, RecipientRequest};
use crate::smtp::Reply;
use crate::store::{MessageKind, QueuedMessage, Route, Treatment};
use crate::throttle::ConnectionSlot;
use crate::transform::{Prepared, UpstreamView};
use crate::upstream::{ConnectError, Stage};
use crate::upstream::{Connection, Connector};
use crate::upstream::{RecipientResult, Requests, Transaction, TransactionResult};
use crate::upstream::{Treatment as Meaning, treat};
use crate::upstream::{Verdict, blacklist_candidate, classify};

/// What an attempt works with.
pub(super) struct Job {
    pub(super) lane: Arc<LaneShared>,
    pub(super) carrier: Arc<Carrier>,
    pub(super) seat: Option<Seat>,
    /// Held while it finds out whether the upstream answers again.
    pub(super) probes: Vec<Probe>,
}

/// Makes one attempt, and settles it.
pub(super) async fn run(job: Job, message: QueuedMessage) {
    let Job { lane, carrier, seat, probes } = job;
    let mut seat = seat;
    let shared = &*lane;
    if stopping(shared) {
        free(&carrier, seat);
        return hand_back(shared, &carrier, message).await;
    }
    let routed = shared.context.router.lane(&message.sender);
    if message.treatment() != Treatment::Captured && routed.as_deref() != Some(&shared.name) {
        free(&carrier, seat);
        return move_on(shared, &carrier, message, routed.unwrap_or_default()).await;
    }
    let message = match without_blacklisted(shared, message).await {
        Ok(message) => message,
        Err(tried) => {
            free(&carrier, seat);
            outcome::settle(shared, Some(&carrier), tried).await;
            return;
        }
    };
    let tried = match (&carrier.way, seat.take()) {
        (Way::Smtp(connector, _), Some(seat)) if message.treatment() != Treatment::Captured => {
            let phase = shared.context.phase.clone();
            let Seat { connection, slot } = seat;
            let attempt = Attempt { shared, carrier: &carrier, connector, slot: Some(slot), phase };
            attempt.run(message, connection).await
        }
        (_, seat) => {
            let tried = into_mailbox(shared, message).await;
            free(&carrier, seat);
            tried
        }
    };
    // What it has found out counts now, and others may go.
    drop(probes);
    carrier.station.signals.notify();
    if tried.handed_back {
        return hand_back(shared, &carrier, tried.message).await;
    }
    outcome::settle(shared, Some(&carrier), tried).await;
}

fn free(carrier: &Carrier, seat: Option<Seat>) {
    if let Some(seat) = seat {
        carrier.pool().give_back(seat);
    }
}

/// An attempt over SMTP.
struct Attempt<'a> {
    shared: &'a LaneShared,
    carrier: &'a Carrier,
    connector: &'a Connector,
    /// The right to its connection; `None` when that has been given back.
    slot: Option<ConnectionSlot>,
    phase: watch::Receiver<Phase>,
}

/// What the dialogue with the upstream came to.
enum Dialogue {
    /// The transaction was tried.
    Tried(TransactionResult, Box<Connection>),
    /// No connection came about.
    NotReady(ConnectError),
    /// The message can't be made ready for this upstream, or is too large for it.
    Unfit(Reply, String),
    /// The relay stops, and no transaction had begun.
    NotBegun,
    /// The relay stops in the middle of a transaction.
    BrokenOff {
        host: String,
        /// Whether the final dot may have arrived.
        possible_duplicate: bool,
    },
}

impl<'a> Attempt<'a> {
    async fn run(mut self, message: QueuedMessage, idle: Option<Connection>) -> Tried {
        let dialogue = match self.load(&message).await {
            Ok(loaded) => self.dialogue(&message, loaded, idle).await,
            Err(dialogue) => {
                if let Some(connection) = idle {
                    self.give_back(connection);
                }
                dialogue
            }
        };
        self.judge(message, dialogue).await
    }

    async fn load(&mut self, message: &QueuedMessage) -> Result<Loaded<'a>, Dialogue> {
        let loaded = tokio::select! {
            loaded = load(self.shared.memory(), &self.shared.context, message) => loaded,
            () = stop(&mut self.phase, Phase::Stopping) => return Err(Dialogue::NotBegun),
        };
        loaded.map_err(|reason| Dialogue::Unfit(Reply::new(451, (4, 3, 0), reason), String::new()))
    }

    /// Speaks with the upstream. A connection that was idle may be gone without our knowing; then a new one is made.
    async fn dialogue(
        &mut self,
        message: &QueuedMessage,
        loaded: Loaded<'a>,
        mut idle: Option<Connection>,
    ) -> Dialogue {
        let Loaded { mut content, mut memory } = loaded;
        loop {
            let reused = idle.is_some();
            let connection = match idle.take() {
                Some(connection) => connection,
                None => match self.open().await {
                    Ok(connection) => connection,
                    Err(dialogue) => return dialogue,
                },
            };
            // The original is needed again only if this connection may turn out to be gone.
            let spare = reused.then(|| content.clone());
            let signer = &self.shared.context.signer;
            let ready = make_ready(signer, self.carrier, offered(&connection), (message, content)).await;
            let prepared = match ready {
                Ok(prepared) => prepared,
                Err(Unfit { reply, host }) => {
                    self.give_back(connection);
                    return Dialogue::Unfit(reply, host);
                }
            };
            if let Some(memory) = &mut memory
                && spare.is_none()
            {
                memory.keep(prepared.content.len());
            }
            let dialogue = self.transaction(message, &prepared, connection).await;
            match (dialogue, spare) {
                (Dialogue::Tried(result, _), Some(spare)) if is_stale(&result) => content = spare,
                (dialogue, _) => return dialogue,
            }
        }
    }

    /// The connection is free for the next message while this one's outcome is written.
    fn give_back(&mut self, connection: Connection) {
        if let Some(slot) = self.slot.take() {
            self.carrier.pool().give_back(Seat { connection: Some(connection), slot });
        }
    }

    async fn open(&mut self) -> Result<Connection, Dialogue> {
        tokio::select! {
            opened = self.connector.open() => opened.map_err(Dialogue::NotReady),
            () = stop(&mut self.phase, Phase::Stopping) => Err(Dialogue::NotBegun),
        }
    }

    async fn transaction(
        &mut self,
        message: &QueuedMessage,
        prepared: &Prepared,
        mut connection: Connection,
    ) -> Dialogue {
        let asked: Vec<RecipientRequest> = message.recipients.iter().map(|r| r.request.clone()).collect();
        // A test copy goes to somebody whom nothing of this concerns.
        let requests = match message.test {
            Some(_) => Requests::default(),
            None => Requests { message: Some(&message.request), recipients: &asked },
        };
        let transaction = Transaction {
            reverse_path: &message.reverse_path,
            recipients: &prepared.recipients,
            body: if prepared.eight_bit { Body::EightBitMime } else { Body::SevenBit },
            smtputf8: prepared.smtputf8,
            content: &prepared.content,
            requests,
        };
        tokio::select! {
            result = connection.send(&transaction) => Dialogue::Tried(result, Box::new(connection)),
            () = stop(&mut self.phase, Phase::Stopping) => Dialogue::BrokenOff {
                host: connection.host().to_owned(),
                possible_duplicate: connection.is_dot_under_way(),
            },
        }
    }

    /// What the dialogue means for each recipient, and for the upstream.
    async fn judge(&mut self, message: QueuedMessage, dialogue: Dialogue) -> Tried {
        match dialogue {
            Dialogue::Tried(result, connection) => {
                let host = connection.host().to_owned();
                let reports = connection.capabilities().dsn;
                self.give_back(*connection);
                self.teacher().transaction(&Mail::of(&message), &result.recipients).await;
                let fates = fates(&message, &result);
                Tried { host, fates, reports, transacted: true, ..Tried::new(message) }
            }
            Dialogue::NotReady(error) => {
                self.teacher().not_ready(&error).await;
                let tried = Tried::all(message, &End::UPSTREAM, &error.words());
                Tried { host: error.host, ..tried }
            }
            Dialogue::Unfit(reply, host) => {
                let end = if reply.is_permanent() { End::Bounced } else { End::DEFERRED };
                Tried { host, ..Tried::all(message, &end, &reply.to_string()) }
            }
            Dialogue::NotBegun => Tried { handed_back: true, ..Tried::new(message) },
            Dialogue::BrokenOff { host, possible_duplicate } => {
                let end = End::Deferred { possible_duplicate, why: Why::Upstream };
                let tried = Tried::all(message, &end, "broken off: the relay was stopped");
                Tried { host, transacted: true, ..tried }
            }
        }
    }

    fn teacher(&self) -> Teacher<'_> {
        let context = &self.shared.context;
        Teacher { context, carrier: self.carrier, now: context.timeline.now() }
    }
}

/// Whether it is only that the idle connection had ended. A provider that says with its 421 that we are too fast means it.
pub(super) fn is_stale(result: &TransactionResult) -> bool {
    let is_plain = |answer: &RecipientResult| {
        let row = answer.reply().map(|reply| treat(answer.stage, reply).treatment);
        row.is_none_or(|row| matches!(row, Meaning::Unavailable { .. }))
    };
    result.never_began() && result.recipients.iter().all(is_plain)
}

/// What a transaction means for each recipient of the message. In test redirect one answer stands for all.
fn fates(message: &QueuedMessage, result: &TransactionResult) -> Vec<Fate> {
    let alone = message.recipients.len() == 1 && message.others_waiting == 0;
    // A report of ours that the upstream takes from nobody stops nothing, and can't wait for a person.
    let hopeless = |answer: &RecipientResult| {
        message.kind == MessageKind::Report
            && answer.stage >= Stage::Mail
            && answer.reply().is_some_and(|reply| {
                matches!(treat(answer.stage, reply).treatment, Meaning::Stop { .. } | Meaning::StopSender(_))
            })
    };
    (0..message.recipients.len())
        .filter_map(|place| result.recipients.get(place).or(result.recipients.last()).map(|r| (place, r)))
        .map(|(place, answer)| {
            let end = match classify(answer) {
                Verdict::Upstream | Verdict::Sender if hopeless(answer) => End::Bounced,
                Verdict::Sent => End::Sent,
                Verdict::Bounce => End::Bounced,
                Verdict::Later => End::Later,
                Verdict::Upstream => End::UPSTREAM,
                Verdict::Sender => End::Deferred { possible_duplicate: false, why: Why::Sender },
                Verdict::Defer { possible_duplicate } => {
                    End::Deferred { possible_duplicate, why: Why::Message }
                }
            };
            let names_it = answer.stage == Stage::Rcpt || (answer.stage == Stage::FinalDot && alone);
            let candidate = end == End::Bounced
                && names_it
                && message.test.is_none()
                && answer.reply().is_some_and(blacklist_candidate);
            Fate { place, end, reply: answer.to_string(), candidate }
        })
        .collect()
}

/// Puts a message into the local mailbox.
async fn into_mailbox(shared: &LaneShared, message: QueuedMessage) -> Tried {
    let local = UpstreamView { sign: false, eight_bit_mime: true, smtputf8: true, local: true };
    let envelope = outcome::envelope_header(&message);
    let put = async {
        let Loaded { content, memory } = load(shared.memory(), &shared.context, &message).await?;
        let prepared = prepare(&shared.context.signer, &message, content, local)
            .await
            .map_err(|reply| reply.to_string())?;
        let (mailbox, id) = (shared.captured.clone(), message.queue_id.clone());
        let task = tokio::task::spawn_blocking(move || mailbox.put(&id, &envelope, &prepared.content));
        let put = task.await.map_err(|error| error.to_string())?;
        drop(memory);
        put.map_err(|error| error.to_string())
    };
    match put.await {
        Ok(()) => Tried::all(message, &End::Captured, "250 2.0.0 kept in the local mailbox"),
        Err(reason) => Tried::all(message, &End::DEFERRED, &reason),
    }
}

/// Takes out who is on the blacklist by now. When nobody is left, that is the outcome.
async fn without_blacklisted(shared: &LaneShared, message: QueuedMessage) -> Result<QueuedMessage, Tried> {
    if message.test.is_some() {
        return Ok(message);
    }
    let now = shared.context.timeline.now();
    let mut listed = Vec::new();
    for (place, recipient) in message.recipients.iter().enumerate() {
        match shared.context.store.blacklist_match(recipient.address.key(), now).await {
            Ok(Some(entry)) => listed.push((place, entry.reason)),
            Ok(None) => {}
            Err(error) => {
                let reason = format!("451 4.3.0 cannot ask the blacklist: {error}");
                return Err(Tried::all(message, &End::DEFERRED, &reason));
            }
        }
    }
    if listed.is_empty() {
        return Ok(message);
    }
    let end = match shared.context.config.blacklist.action {
        BlacklistAction::Reject => End::Bounced,
        BlacklistAction::Drop => End::Dropped,
    };
    let fates = listed.into_iter().map(|(place, reason)| {
        let address = &message.recipients[place].address;
        let reply = format!("550 5.7.1 <{address}> is on the blacklist ({reason})");
        Fate { place, end: end.clone(), reply, candidate: false }
    });
    let fates: Vec<Fate> = fates.collect();
    // Whoever is left goes with the next claim, at once: this one settles those who do not.
    Err(Tried { fates, ..Tried::new(message) })
}

/// Gives up the lease of a message that was not tried. While the store fails it is tried again: the message would stay
/// in an attempt that is none.
async fn hand_back(shared: &LaneShared, carrier: &Carrier, message: QueuedMessage) {
    outcome::end_permit(shared, carrier, &message, None);
    outcome::persist(shared, &message, || shared.context.store.hand_back(vec![message.id])).await;
}

/// Moves a message whose sender is now served by another lane.
async fn move_on(shared: &LaneShared, carrier: &Carrier, message: QueuedMessage, to: String) {
    let context = &shared.context;
    let from = Route { route: shared.name.clone(), sender: message.sender.clone() };
    hand_back(shared, carrier, message).await;
    let now = context.timeline.now();
    let credit = context.wake.limit_wait(&from.route, now) - context.wake.limit_wait(&to, now);
    if let Err(error) = context.store.reroute(from, to.clone(), credit).await {
        tracing::error!(event = "store", upstream = to, reason = %error);
    }
    context.wake.wake(&to);
}

fn stopping(shared: &LaneShared) -> bool {
    *shared.context.phase.borrow() >= Phase::Finishing
}

/// Waits until the relay is at a phase.
async fn stop(phase: &mut watch::Receiver<Phase>, at: Phase) {
    // When the sender is gone, so is the relay.
    let _ = phase.wait_for(|now| *now >= at).await;
}
