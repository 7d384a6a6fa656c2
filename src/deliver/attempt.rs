//! One attempt: a message under a lease is made ready for its upstream and handed over, and what became of it is noted.

use std::sync::Arc;

use tokio::sync::{SemaphorePermit, watch};

use super::capture::Mailbox;
use super::classify::{Verdict, blacklist_candidate, classify};
use super::connection::{Connection, Connector};
use super::context::Phase;
use super::error::{ConnectError, Stage};
use super::lane::{LaneShared, Way};
use super::outcome::{self, End, Fate, Tried};
use super::pool::{Pool, Slot};
use super::transaction::{Answer, RecipientResult, Requests, Transaction, TransactionResult};
use crate::config::{BlacklistAction, TestAction};
use crate::mail::{Body, RecipientRequest};
use crate::smtp::Reply;
use crate::store::{Content, QueuedMessage, Route};
use crate::transform::{self, Prepared, UpstreamView};

/// Content of this size is transformed on a thread of its own.
const LARGE: usize = 256 << 10;
/// A transformation holds the content up to this many times.
const COPIES: u64 = 3;

/// The recipients that the provider will count.
pub(super) fn permit(message: &QueuedMessage) -> u32 {
    let one_copy = message.test.as_ref().is_some_and(|test| test.action == TestAction::Redirect);
    if one_copy { 1 } else { message.recipients.len() as u32 }
}

/// Makes one attempt, and settles it.
pub(super) async fn run(
    shared: Arc<LaneShared>,
    captured: Arc<Mailbox>,
    message: QueuedMessage,
    slot: Option<Slot>,
) {
    if stopping(&shared) {
        return hand_back(&shared, message).await;
    }
    let routed = shared.context.router.route(&message.sender).map(|upstream| upstream.name.clone());
    if routed.as_deref() != Some(&shared.upstream.name) {
        return move_on(&shared, message, routed.unwrap_or_default()).await;
    }
    let message = match without_blacklisted(&shared, message).await {
        Ok(message) => message,
        Err(tried) => {
            drop(slot);
            outcome::settle(&shared, tried).await;
            return;
        }
    };
    let capture = message.test.as_ref().is_some_and(|test| test.action == TestAction::Capture);
    match &shared.way {
        Way::Smtp(connector, pool) if !capture => {
            let phase = shared.context.phase.clone();
            Attempt { shared: &shared, connector, pool, slot, phase }.run(message).await;
        }
        _ => into_mailbox(&shared, &captured, message).await,
    }
}

/// An attempt over SMTP.
struct Attempt<'a> {
    shared: &'a LaneShared,
    connector: &'a Connector,
    pool: &'a Pool,
    slot: Option<Slot>,
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
    /// The relay stops. Inside: the transaction had begun.
    BrokenOff(bool),
}

impl Attempt<'_> {
    async fn run(mut self, message: QueuedMessage) {
        let shared = self.shared;
        let (content, memory) = match load(shared, &message).await {
            Ok(loaded) => loaded,
            Err(reason) => {
                let reply = Reply::new(451, (4, 3, 0), reason);
                let tried = Tried::all(message, &End::DEFERRED, &reply.to_string());
                outcome::settle(shared, tried).await;
                return;
            }
        };
        let dialogue = self.dialogue(&message, content).await;
        drop(memory);
        let tried = self.judge(message, dialogue).await;
        // The connection is free for the next message while this one's outcome is written.
        drop(self.slot.take());
        shared.signal.notify_one();
        if tried.handed_back {
            return hand_back(shared, tried.message).await;
        }
        outcome::settle(shared, tried).await;
    }

    /// Speaks with the upstream. A connection that was idle may be gone without our knowing; then a new one is made.
    async fn dialogue(&mut self, message: &QueuedMessage, content: Vec<u8>) -> Dialogue {
        let mut content = content;
        let mut idle = self.pool.take();
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
            let dialogue = self.transaction(message, content, connection).await;
            match (dialogue, spare) {
                (Dialogue::Tried(result, _), Some(spare)) if result.never_began() => content = spare,
                (dialogue, _) => return dialogue,
            }
        }
    }

    async fn open(&mut self) -> Result<Connection, Dialogue> {
        tokio::select! {
            opened = self.connector.open() => opened.map_err(Dialogue::NotReady),
            () = stop(&mut self.phase, Phase::Stopping) => Err(Dialogue::BrokenOff(false)),
        }
    }

    async fn transaction(
        &mut self,
        message: &QueuedMessage,
        content: Vec<u8>,
        mut connection: Connection,
    ) -> Dialogue {
        let offered = connection.capabilities();
        let view = UpstreamView {
            sign: self.shared.upstream.sign,
            eight_bit_mime: offered.eight_bit_mime,
            smtputf8: offered.smtputf8,
            local: false,
        };
        let limit = offered.max_size();
        let prepared = match prepare(self.shared, message, content, view).await {
            Ok(prepared) => prepared,
            Err(reply) => {
                self.pool.give_back(connection);
                return Dialogue::Unfit(reply, String::new());
            }
        };
        if let Some(limit) = limit.filter(|&limit| prepared.content.len() as u64 > limit) {
            let text = format!(
                "the message has {} octets, {} takes {limit}",
                prepared.content.len(),
                connection.host()
            );
            let host = connection.host().to_owned();
            self.pool.give_back(connection);
            return Dialogue::Unfit(Reply::new(552, (5, 3, 4), text), host);
        }
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
            () = stop(&mut self.phase, Phase::Stopping) => Dialogue::BrokenOff(true),
        }
    }

    /// What the dialogue means for each recipient, and for the upstream.
    async fn judge(&self, message: QueuedMessage, dialogue: Dialogue) -> Tried {
        match dialogue {
            Dialogue::Tried(result, connection) => {
                let host = connection.host().to_owned();
                let reports = connection.capabilities().dsn;
                self.pool.give_back(*connection);
                self.learn(&result).await;
                let fates = fates(&message, &result);
                Tried { host, fates, reports, transacted: true, ..Tried::new(message) }
            }
            Dialogue::NotReady(error) => {
                let reason = error.to_string();
                self.unreachable(&reason);
                Tried { host: error.host, ..Tried::all(message, &End::UPSTREAM, &reason) }
            }
            Dialogue::Unfit(reply, host) => {
                self.shared.health.probe_now(self.shared.context.timeline.now());
                let end = if reply.is_permanent() { End::Bounced } else { End::DEFERRED };
                Tried { host, ..Tried::all(message, &end, &reply.to_string()) }
            }
            Dialogue::BrokenOff(false) => Tried { handed_back: true, ..Tried::new(message) },
            Dialogue::BrokenOff(true) => {
                let end = End::Deferred { possible_duplicate: true, by_upstream: true };
                let tried = Tried::all(message, &end, "broken off: the relay was stopped");
                Tried { transacted: true, ..tried }
            }
        }
    }

    /// Notes what a transaction teaches about the upstream.
    async fn learn(&self, result: &TransactionResult) {
        let answers = || result.recipients.iter();
        let broken =
            |result: &&RecipientResult| matches!(result.answer, Answer::Failed(_) | Answer::Unknown(_));
        if let Some(at_fault) = answers().find(|result| classify(result) == Verdict::Upstream) {
            self.unreachable(&at_fault.to_string());
        } else if let Some(broken) = answers().find(broken) {
            let now = self.shared.context.timeline.now();
            let queue = &self.shared.context.config.queue;
            if let Some(down) = self.shared.health.broke(&broken.to_string(), now, queue) {
                self.shared.is_down(&down);
            }
        } else {
            self.shared.is_up().await;
        }
    }

    fn unreachable(&self, reason: &str) {
        let now = self.shared.context.timeline.now();
        let down = self.shared.health.unreachable(reason, now, &self.shared.context.config.queue);
        self.shared.is_down(&down);
    }
}

/// What a transaction means for each recipient of the message. In test redirect one answer stands for all.
fn fates(message: &QueuedMessage, result: &TransactionResult) -> Vec<Fate> {
    let alone = message.recipients.len() == 1 && message.others_waiting == 0;
    (0..message.recipients.len())
        .filter_map(|place| result.recipients.get(place).or(result.recipients.last()).map(|r| (place, r)))
        .map(|(place, answer)| {
            let end = match classify(answer) {
                Verdict::Sent => End::Sent,
                Verdict::Bounce => End::Bounced,
                Verdict::Later => End::Later,
                Verdict::Upstream => End::UPSTREAM,
                Verdict::Defer { possible_duplicate } => {
                    End::Deferred { possible_duplicate, by_upstream: false }
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

/// Reads the content. Content in a file waits until there is memory for it.
async fn load<'a>(
    shared: &'a LaneShared,
    message: &QueuedMessage,
) -> Result<(Vec<u8>, Option<SemaphorePermit<'a>>), String> {
    let path = match &message.content {
        Content::Inline(data) => return Ok((data.clone(), None)),
        Content::File(path) => path,
    };
    let budget = shared.context.config.session.memory_budget.0;
    let needed = u32::try_from((message.size * COPIES).min(budget)).unwrap_or(u32::MAX);
    let memory =
        shared.context.memory.acquire_many(needed).await.map_err(|_| "the relay stops".to_owned())?;
    match tokio::fs::read(path).await {
        Ok(content) => Ok((content, Some(memory))),
        Err(error) => {
            tracing::error!(event = "store", queue_id = %message.queue_id, path = %path.display(), reason = %error);
            Err(format!("cannot read the stored content: {error}"))
        }
    }
}

async fn prepare(
    shared: &LaneShared,
    message: &QueuedMessage,
    content: Vec<u8>,
    view: UpstreamView,
) -> Result<Prepared, Reply> {
    let signer = shared.context.signer.clone();
    let prepared = if content.len() < LARGE {
        transform::prepare(message, content, &view, &signer)
    } else {
        let mut message = message.clone();
        message.content = Content::Inline(Vec::new());
        let task = tokio::task::spawn_blocking(move || transform::prepare(&message, content, &view, &signer));
        task.await.map_err(|_| Reply::new(451, (4, 3, 0), "the message could not be prepared"))?
    };
    prepared.map_err(|error| error.to_reply())
}

/// Puts a message into the local mailbox.
async fn into_mailbox(shared: &LaneShared, captured: &Arc<Mailbox>, message: QueuedMessage) {
    let local = UpstreamView { sign: false, eight_bit_mime: true, smtputf8: true, local: true };
    let envelope = outcome::envelope_header(&message);
    let put = async {
        let (content, memory) = load(shared, &message).await?;
        let prepared = prepare(shared, &message, content, local).await.map_err(|reply| reply.to_string())?;
        let (mailbox, id) = (captured.clone(), message.queue_id.clone());
        let task = tokio::task::spawn_blocking(move || mailbox.put(&id, &envelope, &prepared.content));
        let put = task.await.map_err(|error| error.to_string())?;
        drop(memory);
        put.map_err(|error| error.to_string())
    };
    let tried = match put.await {
        Ok(()) => Tried::all(message, &End::Captured, "250 2.0.0 kept in the local mailbox"),
        Err(reason) => Tried::all(message, &End::DEFERRED, &reason),
    };
    outcome::settle(shared, tried).await;
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

/// Gives up the lease of a message that was not tried.
async fn hand_back(shared: &LaneShared, message: QueuedMessage) {
    shared.context.throttle.end(&shared.upstream.name, &shared.account, permit(&message), None);
    if let Err(error) = shared.context.store.hand_back(vec![message.id]).await {
        tracing::error!(event = "store", queue_id = %message.queue_id, reason = %error);
    }
}

/// Moves a message whose sender is now served by another upstream.
async fn move_on(shared: &LaneShared, message: QueuedMessage, to: String) {
    let context = &shared.context;
    let from = Route { route: shared.upstream.name.clone(), sender: message.sender.clone() };
    hand_back(shared, message).await;
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
