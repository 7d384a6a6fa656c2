//! One message between its client and the upstream.
//!
//! ```text
//! Fresh ──recipient──► Open ──recipient──► Open ──content──► DATA, content
//!   │                    │                   │
//!   └──content──┐        └─(no line)─► Shut  └─(it must go otherwise than it was begun)─┐
//!               └────────► MAIL, all RCPT, DATA, content ◄─────── RSET ─────────────────┘
//! ```
//!
//! A client that makes no progress for too long is shut out, too: a recipient is refused from then on, and a content begins
//! a transaction of its own.
//!
//! Of a transaction that begins with the content, nothing is sent unless each recipient is accepted: the one reply that
//! the client reads then is true for all of them, and nobody gets the message twice.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::open::{Head, Open};
use super::patience::{CONTENT, RECIPIENT, wait_for_upstream};
use super::permit::DirectPermit;
use super::refusal;
use super::routes::DirectRoute;
use super::shared::DirectContext;
use crate::account::{Account, RefusedWhenUsed};
use crate::deliver::content::{Loaded, Unfit, load, make_ready};
use crate::deliver::unfit::Misfit;
use crate::direct::{DirectMessage, DirectRefusal, Opening};
use crate::limits::AccountKey;
use crate::mail::{Address, RecipientRequest};
use crate::smtp::Reply;
use crate::store::Message;
use crate::transform::{Prepared, TransformError};
use crate::upstream::{Offer, TransactionResult};

/// A message between its client and the upstream.
pub(super) struct DirectExchange {
    start: Start,
    state: ExchangeState,
}

/// Where transactions begin.
struct Start {
    shared: Arc<DirectContext>,
    opening: Opening,
}

enum ExchangeState {
    /// The upstream was not asked for anything.
    Fresh,
    /// The upstream has accepted MAIL.
    Open(Box<Open>),
    /// There is no line to it; who asks about a recipient is told so.
    Shut(DirectRefusal),
}

/// What is known of a message when its transaction begins.
#[derive(Clone, Copy)]
enum Draft<'a> {
    /// The reverse-path.
    Announced(&'a Opening),
    /// All of it.
    Here(&'a Message, &'a [u8]),
}

/// A transaction that did not begin.
enum NotBegun {
    Refused {
        refused: DirectRefusal,
        /// Whether the upstream has seen MAIL.
        transacted: bool,
    },
    /// The account can't take the message.
    Unfit(Unfit),
}

impl From<DirectRefusal> for NotBegun {
    fn from(refused: DirectRefusal) -> Self {
        Self::Refused { refused, transacted: false }
    }
}

impl From<NotBegun> for DirectRefusal {
    fn from(not_begun: NotBegun) -> Self {
        match not_begun {
            NotBegun::Refused { refused, .. } => refused,
            NotBegun::Unfit(Unfit { reply, .. }) => refusal::unfit(reply),
        }
    }
}

/// Accounts that can't take the message.
#[derive(Default)]
struct UnfitAccounts(Vec<AccountKey>);

impl UnfitAccounts {
    /// An account can't take the message: what an upstream can't take that only stands in for another is for that one to
    /// take later.
    ///
    /// # Errors
    /// When no other account may take it either.
    fn pass_over(
        &mut self,
        route: Option<&DirectRoute>,
        account: &Account,
        Unfit { reply, misfit }: Unfit,
    ) -> Result<(), DirectRefusal> {
        let Some(candidates) = route.map(|route| &route.candidates).filter(|_| misfit.is_some()) else {
            return Err(refusal::unfit(reply));
        };
        if !candidates.is_own(account) {
            return Err(refusal::unfit_for_fallback(&reply));
        }
        self.0.push(account.key().clone());
        if candidates.own().iter().all(|own| self.0.contains(own.key())) {
            return Err(refusal::unfit(reply));
        }
        Ok(())
    }
}

impl DirectExchange {
    pub(super) fn new(shared: Arc<DirectContext>, opening: Opening) -> Self {
        Self { start: Start { shared, opening }, state: ExchangeState::Fresh }
    }

    /// Asks the upstream about a recipient.
    pub(super) async fn recipient(
        &mut self,
        address: Address,
        request: RecipientRequest,
    ) -> Result<(), DirectRefusal> {
        let until = Instant::now() + RECIPIENT;
        let opened = match std::mem::replace(&mut self.state, ExchangeState::Fresh) {
            ExchangeState::Fresh => self.start.announce(until).await,
            ExchangeState::Open(open) => Ok(open),
            ExchangeState::Shut(refused) => Err(refused),
        };
        let mut open = match opened {
            Ok(open) => open,
            Err(refused) => {
                self.state = ExchangeState::Shut(refused.clone());
                return Err(refused);
            }
        };
        let result = open.recipient(&self.start.shared, (address, request), until).await;
        if open.can_go_on() {
            self.state = ExchangeState::Open(open);
        } else {
            let refused = result.clone().err().unwrap_or_else(|| refusal::too_slow(open.upstream()));
            self.state = ExchangeState::Shut(DirectRefusal { elsewhere: true, ..refused });
            open.end(&self.start.shared, None).await;
        }
        result
    }

    /// Sends the message, answers the client, and writes down what became of it.
    pub(super) async fn content(
        mut self,
        handed: DirectMessage,
        answer: oneshot::Sender<Result<Reply, DirectRefusal>>,
    ) {
        let result = self.send(&handed, Instant::now() + CONTENT).await;
        if let ExchangeState::Open(open) = &mut self.state {
            open.release();
        }
        // A session that is gone is not told; the message went its way all the same.
        let _ = answer.send(result);
        if let ExchangeState::Open(open) = self.state {
            open.end(&self.start.shared, Some((&self.start.opening.session, &handed))).await;
        }
    }

    /// Whether the upstream waits for us: its connection can serve nobody else.
    pub(super) fn holds_connection(&self) -> bool {
        matches!(self.state, ExchangeState::Open(_))
    }

    /// The client has made no progress for too long: others may use the connection. It may begin anew.
    pub(super) async fn idle_for_too_long(&mut self) {
        let refused = ExchangeState::Shut(refusal::idle());
        if let ExchangeState::Open(open) = std::mem::replace(&mut self.state, refused) {
            let (session, upstream) = (&self.start.opening.session, open.upstream().to_owned());
            let reason = "no recipient and no content for a minute: the upstream's connection serves others";
            tracing::info!(event = "broken_off", session, upstream, reason);
            open.end(&self.start.shared, None).await;
        }
    }

    /// The session is gone, or has begun anew: nothing is sent.
    pub(super) async fn give_up(self) {
        if let ExchangeState::Open(open) = self.state {
            open.end(&self.start.shared, None).await;
        }
    }

    async fn send(&mut self, handed: &DirectMessage, until: Instant) -> Result<Reply, DirectRefusal> {
        let message = &handed.message;
        let shared = self.start.shared.clone();
        let loaded = load((&shared.memory, &shared.context.memory), message);
        let Loaded { octets: content, memory } =
            wait_for_upstream(&shared, message.lane.as_str(), until, loaded)
                .await?
                .map_err(|_| refusal::store())?;
        let unfit = self.adopt(message, &content).await?;
        if !matches!(self.state, ExchangeState::Open(_)) {
            self.begin_anew(message, &content, unfit, until).await?;
        }
        drop(content);
        let ExchangeState::Open(open) = &mut self.state else {
            return Err(refusal::lost());
        };
        let result = open.finish(&shared, message, until).await;
        drop(memory);
        result
    }

    /// Goes on with the transaction whose recipients were accepted, if the message can go by it; else ends it. Tells which
    /// accounts can't take the message.
    async fn adopt(&mut self, message: &Message, content: &[u8]) -> Result<UnfitAccounts, DirectRefusal> {
        let mut unfit = UnfitAccounts::default();
        let ExchangeState::Open(mut open) = std::mem::replace(&mut self.state, ExchangeState::Fresh) else {
            return Ok(unfit);
        };
        let shared = &self.start.shared;
        if message.lane == self.start.opening.lane
            && open.is_for(message)
            && open.can_go_on()
            && let Some(view) = open.offered()
        {
            match ready(shared, &open.permit, view, (message, content)).await {
                Ok(prepared) if open.has_announced(&prepared) => {
                    open.prepared = Some(prepared);
                    self.state = ExchangeState::Open(open);
                    return Ok(unfit);
                }
                Ok(_) => {}
                Err(found) => {
                    let passed =
                        unfit.pass_over(shared.routes.of(&message.lane), &open.permit.account, found);
                    if let Err(refused) = passed {
                        self.state = ExchangeState::Open(open);
                        return Err(refused);
                    }
                }
            }
        }
        open.end(shared, None).await;
        Ok(unfit)
    }

    /// Begins a transaction of which all is known, up to the answers to RCPT.
    async fn begin_anew(
        &mut self,
        message: &Message,
        content: &[u8],
        mut unfit: UnfitAccounts,
        until: Instant,
    ) -> Result<(), DirectRefusal> {
        let shared = &self.start.shared;
        let open = loop {
            let wanted = (Some(message.amount()), &unfit.0[..]);
            let permit = DirectPermit::take(shared, &message.lane, wanted, until).await?;
            let account = permit.account.clone();
            match self.start.begin(permit, Draft::Here(message, content), until).await {
                Ok(open) => break open,
                Err(NotBegun::Unfit(found)) => {
                    unfit.pass_over(shared.routes.of(&message.lane), &account, found)?;
                }
                Err(refused @ NotBegun::Refused { .. }) => return Err(refused.into()),
            }
        };
        let ExchangeState::Open(open) = self.state.put(open) else { return Ok(()) };
        open.all_recipients(&self.start.shared, message, until).await
    }
}

impl Start {
    /// Begins a transaction of which only the reverse-path is known.
    async fn announce(&self, until: Instant) -> Result<Box<Open>, DirectRefusal> {
        let permit = DirectPermit::take(&self.shared, &self.opening.lane, (None, &[]), until).await?;
        Ok(self.begin(permit, Draft::Announced(&self.opening), until).await?)
    }

    async fn begin(
        &self,
        mut permit: DirectPermit,
        draft: Draft<'_>,
        until: Instant,
    ) -> Result<Box<Open>, NotBegun> {
        match self.mail(&permit, draft, until).await {
            Ok(open) => Ok(Box::new(open(permit))),
            Err(not_begun) => {
                if matches!(not_begun, NotBegun::Refused { transacted: true, .. }) {
                    permit.close();
                }
                permit.end(|handover| handover).await;
                Err(not_begun)
            }
        }
    }

    /// MAIL, over an idle connection or a new one. One that was idle may be gone without our knowing.
    async fn mail(
        &self,
        permit: &DirectPermit,
        draft: Draft<'_>,
        until: Instant,
    ) -> Result<impl FnOnce(DirectPermit) -> Open + use<>, NotBegun> {
        let (shared, upstream) = (&self.shared, permit.upstream());
        let mut before: Option<RefusedWhenUsed> = None;
        loop {
            let idle = permit.idle();
            let was_idle = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => wait_for_upstream(shared, upstream, until, permit.connect()).await??,
            };
            let is_used = connection.is_used();
            let offered = (connection.offer(), connection.host().to_owned());
            let (head, prepared) = match drafted(shared, permit, offered, draft).await {
                Ok(drafted) => drafted,
                Err(unfit) => {
                    permit.give_back(connection);
                    return Err(NotBegun::Unfit(unfit));
                }
            };
            let content = prepared.as_ref().map_or(&[][..], |prepared| &prepared.content);
            let mail = head.transaction(&[], &[], content);
            let cut = |refused| NotBegun::Refused { refused, transacted: true };
            match wait_for_upstream(shared, upstream, until, connection.begin(&mail)).await.map_err(cut)? {
                Ok(steps) => {
                    if let Some(before) = &before {
                        permit.tried_again(before, &TransactionResult { recipients: Vec::new() });
                    }
                    return Ok(move |permit| Open::new(permit, (connection, is_used, steps), head, prepared));
                }
                Err(result) => {
                    let whole = TransactionResult { recipients: vec![result.clone()] };
                    if was_idle && permit.is_in_doubt(&whole, is_used) {
                        before = Some(RefusedWhenUsed { result: whole, carried: connection.messages() });
                        permit.retire(connection).await;
                        continue;
                    }
                    if let Some(before) = &before {
                        permit.tried_again(before, &whole);
                    }
                    let outcome = permit.judge(&head.mail(), &[], &result).await;
                    permit.give_back(connection);
                    return Err(cut(refusal::by_result(upstream, &result, outcome)));
                }
            }
        }
    }
}

impl ExchangeState {
    fn put(&mut self, open: Box<Open>) -> &mut Self {
        *self = Self::Open(open);
        self
    }
}

/// What MAIL says, and where it is here the message, as this upstream takes them.
async fn drafted(
    shared: &DirectContext,
    permit: &DirectPermit,
    offered: (Offer, String),
    draft: Draft<'_>,
) -> Result<(Head, Option<Prepared>), Unfit> {
    match draft {
        Draft::Announced(opening) => {
            if opening.reverse_path.address().is_some_and(|address| offered.0.path(address).is_none()) {
                let reply = TransformError::International("the reverse-path").to_reply();
                return Err(Unfit { reply, misfit: Some(Misfit::Message) });
            }
            Ok((Head::announced(opening), None))
        }
        Draft::Here(message, content) => {
            let prepared = ready(shared, permit, offered, (message, content)).await?;
            Ok((Head::of(message, &prepared), Some(prepared)))
        }
    }
}

/// Changes the message as the upstream needs it.
async fn ready(
    shared: &DirectContext,
    permit: &DirectPermit,
    (offer, host): (Offer, String),
    (message, content): (&Message, &[u8]),
) -> Result<Prepared, Unfit> {
    let message = (message, content.to_vec());
    make_ready(&shared.context.transformer, &permit.settings, (offer, &host), message).await
}
