//! One message between its client and the upstream.
//!
//! ```text
//! Fresh ──recipient──► Open ──recipient──► Open ──content──► DATA, content
//!   │                    │                   │
//!   └──content──┐        └─(no line)─► Shut  └─(it must go otherwise than it was begun)─┐
//!               └────────► MAIL, all RCPT, DATA, content ◄─────── RSET ─────────────────┘
//! ```
//!
//! Of a transaction that begins with the content, nothing is sent unless each recipient is accepted: the one reply that
//! the client reads then is true for all of them, and nobody gets the message twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::open::{Head, Open};
use super::ticket::Ticket;
use super::{Shared, refusal};
use crate::deliver::attempt::is_stale;
use crate::deliver::content::{Loaded, load, make_ready, offered};
use crate::deliver::context::Phase;
use crate::mail::{Address, RecipientRequest};
use crate::queue::direct::{Handed, Opening, Refused};
use crate::smtp::Reply;
use crate::smtp::extension::Capabilities;
use crate::store::QueuedMessage;
use crate::transform::Prepared;
use crate::upstream::TransactionResult;

/// A client waits five minutes for the answer to RCPT (RFC 5321 4.5.3.2.3), and reads ours before.
const RECIPIENT: Duration = Duration::from_mins(4);
/// It waits ten for the answer to the final dot (RFC 5321 4.5.3.2.6).
const CONTENT: Duration = Duration::from_mins(9);

/// One message between its client and the upstream.
pub(super) struct Talk {
    way: Way,
    state: State,
}

/// Where transactions begin.
struct Way {
    shared: Arc<Shared>,
    opening: Opening,
}

enum State {
    /// The upstream was not asked for anything.
    Fresh,
    /// It has accepted MAIL.
    Open(Box<Open>),
    /// There is no line to it; who asks about a recipient is told so.
    Shut(Refused),
}

/// What is known of a message when its transaction begins.
#[derive(Clone, Copy)]
enum Letter<'a> {
    /// The reverse-path.
    Announced(&'a Opening),
    /// All of it.
    Here(&'a QueuedMessage, &'a [u8]),
}

/// A transaction that did not begin.
struct NotBegun {
    refused: Refused,
    /// Whether the upstream has seen MAIL.
    transacted: bool,
}

impl From<Refused> for NotBegun {
    fn from(refused: Refused) -> Self {
        Self { refused, transacted: false }
    }
}

impl Talk {
    pub(super) fn new(shared: Arc<Shared>, opening: Opening) -> Self {
        Self { way: Way { shared, opening }, state: State::Fresh }
    }

    /// Asks the upstream about a recipient.
    pub(super) async fn recipient(
        &mut self,
        address: Address,
        request: RecipientRequest,
    ) -> Result<(), Refused> {
        let until = Instant::now() + RECIPIENT;
        let opened = match std::mem::replace(&mut self.state, State::Fresh) {
            State::Fresh => self.way.announce(until).await,
            State::Open(open) => Ok(open),
            State::Shut(refused) => Err(refused),
        };
        let mut open = match opened {
            Ok(open) => open,
            Err(refused) => {
                self.state = State::Shut(refused.clone());
                return Err(refused);
            }
        };
        let told = open.recipient(&self.way.shared, (address, request), until).await;
        if open.can_go_on() {
            self.state = State::Open(open);
        } else {
            let refused = told.clone().err().unwrap_or_else(|| refusal::too_slow(open.upstream()));
            self.state = State::Shut(Refused { elsewhere: true, ..refused });
            open.end(&self.way.shared, None).await;
        }
        told
    }

    /// Sends the message, answers the client, and writes down what became of it.
    pub(super) async fn content(mut self, handed: Handed, answer: oneshot::Sender<Result<Reply, Refused>>) {
        let told = self.send(&handed, Instant::now() + CONTENT).await;
        if let State::Open(open) = &mut self.state {
            open.release();
        }
        // A session that is gone is not told; the message went its way all the same.
        let _ = answer.send(told);
        if let State::Open(open) = self.state {
            open.end(&self.way.shared, Some((&self.way.opening.session, &handed))).await;
        }
    }

    /// The session is gone, or has begun anew: nothing is sent.
    pub(super) async fn give_up(self) {
        if let State::Open(open) = self.state {
            open.end(&self.way.shared, None).await;
        }
    }

    async fn send(&mut self, handed: &Handed, until: Instant) -> Result<Reply, Refused> {
        let message = &handed.message;
        let shared = self.way.shared.clone();
        let loaded = load((&shared.memory, shared.memory_share), &shared.context, message);
        let Loaded { content, memory } =
            patiently(&shared, &message.route, until, loaded).await?.map_err(|_| refusal::store())?;
        self.adopt(message, &content).await?;
        if !matches!(self.state, State::Open(_)) {
            self.begin_anew(message, &content, until).await?;
        }
        drop(content);
        let State::Open(open) = &mut self.state else {
            return Err(refusal::lost());
        };
        let told = open.finish(&shared, message, until).await;
        drop(memory);
        told
    }

    /// Goes on with the transaction whose recipients were accepted, if the message can go by it; else ends it.
    async fn adopt(&mut self, message: &QueuedMessage, content: &[u8]) -> Result<(), Refused> {
        let State::Open(mut open) = std::mem::replace(&mut self.state, State::Fresh) else {
            return Ok(());
        };
        if message.route == self.way.opening.lane
            && open.is_for(message)
            && open.can_go_on()
            && let Some(view) = open.offered()
        {
            let ready = ready(&self.way.shared, &open.ticket, view, (message, content)).await;
            match ready {
                Ok(prepared) if open.has_announced(&prepared) => {
                    open.prepared = Some(prepared);
                    self.state = State::Open(open);
                    return Ok(());
                }
                Ok(_) => {}
                Err(refused) => {
                    self.state = State::Open(open);
                    return Err(refused);
                }
            }
        }
        open.end(&self.way.shared, None).await;
        Ok(())
    }

    /// Begins a transaction of which all is known, up to the answers to RCPT.
    async fn begin_anew(
        &mut self,
        message: &QueuedMessage,
        content: &[u8],
        until: Instant,
    ) -> Result<(), Refused> {
        let ticket = Ticket::take(&self.way.shared, &message.route, Some(message.permit()), until).await?;
        let open = self.way.begin(ticket, Letter::Here(message, content), until).await?;
        let State::Open(open) = self.state.put(open) else { return Ok(()) };
        open.all_recipients(&self.way.shared, message, until).await
    }
}

impl Way {
    /// Begins a transaction of which only the reverse-path is known.
    async fn announce(&self, until: Instant) -> Result<Box<Open>, Refused> {
        let ticket = Ticket::take(&self.shared, &self.opening.lane, None, until).await?;
        self.begin(ticket, Letter::Announced(&self.opening), until).await
    }

    async fn begin(
        &self,
        mut ticket: Ticket,
        letter: Letter<'_>,
        until: Instant,
    ) -> Result<Box<Open>, Refused> {
        match self.mail(&ticket, letter, until).await {
            Ok(open) => Ok(Box::new(open(ticket))),
            Err(NotBegun { refused, transacted }) => {
                if transacted {
                    ticket.close();
                }
                ticket.end(|handover| handover).await;
                Err(refused)
            }
        }
    }

    /// MAIL, over an idle connection or a new one. One that was idle may be gone without our knowing.
    async fn mail(
        &self,
        ticket: &Ticket,
        letter: Letter<'_>,
        until: Instant,
    ) -> Result<impl FnOnce(Ticket) -> Open + use<>, NotBegun> {
        let (shared, upstream) = (&self.shared, ticket.upstream());
        loop {
            let idle = ticket.idle();
            let was_idle = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => patiently(shared, upstream, until, ticket.connect()).await??,
            };
            let (head, prepared) = match letter {
                Letter::Announced(opening) => (Head::announced(opening), None),
                Letter::Here(message, content) => {
                    let view = offered(&connection);
                    match ready(shared, ticket, view, (message, content)).await {
                        Ok(prepared) => (Head::of(message, &prepared), Some(prepared)),
                        Err(refused) => {
                            ticket.give_back(connection);
                            return Err(refused.into());
                        }
                    }
                }
            };
            let content = prepared.as_ref().map_or(&[][..], |prepared| &prepared.content);
            let mail = head.transaction(&[], &[], content);
            let cut = |refused| NotBegun { refused, transacted: true };
            match patiently(shared, upstream, until, connection.begin(&mail)).await.map_err(cut)? {
                Ok(steps) => return Ok(move |ticket| Open::new(ticket, (connection, steps), head, prepared)),
                Err(result) => {
                    let whole = TransactionResult { recipients: vec![result.clone()] };
                    if was_idle && is_stale(&whole) {
                        continue;
                    }
                    ticket.learn(&head.mail(), &result).await;
                    ticket.give_back(connection);
                    return Err(cut(refusal::by_result(upstream, &result)));
                }
            }
        }
    }
}

impl State {
    fn put(&mut self, open: Box<Open>) -> &mut Self {
        *self = Self::Open(open);
        self
    }
}

/// Changes the message as the upstream needs it.
async fn ready(
    shared: &Shared,
    ticket: &Ticket,
    view: (Capabilities, String),
    (message, content): (&QueuedMessage, &[u8]),
) -> Result<Prepared, Refused> {
    let message = (message, content.to_vec());
    let ready = make_ready(&shared.context.signer, &ticket.carrier, view, message).await;
    ready.map_err(|unfit| refusal::unfit(unfit.reply))
}

/// Waits for the upstream for as long as the client waits for us, and the relay does not stop.
pub(super) async fn patiently<T>(
    shared: &Shared,
    upstream: &str,
    until: Instant,
    answer: impl Future<Output = T>,
) -> Result<T, Refused> {
    let mut phase = shared.context.phase.clone();
    tokio::select! {
        biased;
        answer = answer => Ok(answer),
        () = sleep_until(until) => Err(refusal::too_slow(upstream)),
        // When the sender is gone, so is the relay.
        _ = phase.wait_for(|phase| *phase >= Phase::Stopping) => Err(refusal::stopping()),
    }
}
