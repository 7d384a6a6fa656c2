//! One message between its client and the upstream.
//!
//! ```text
//! Fresh ──recipient──► Open ──recipient──► Open ──content──► DATA, content
//!   │                    │                   │
//!   └──content──┐        └─(no line)─► Shut  └─(it must go otherwise than it was begun)─┐
//!               └────────► MAIL, all RCPT, DATA, content ◄─────── RSET ─────────────────┘
//! ```
//!
//! An upstream that judges a message as a whole is not asked about recipients: they are accepted here, and its one answer comes
//! behind the content.
//!
//! A client that makes no progress for too long is shut out, too: a recipient is refused from then on, and a content begins
//! a transaction of its own.
//!
//! Of a transaction that begins with the content, nothing is sent unless each recipient is accepted: the one reply that
//! the client reads then is true for all of them, and nobody gets the message twice.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::open::Open;
use super::patience::{CONTENT, RECIPIENT, wait_for_upstream};
use super::permit::DirectPermit;
use super::refusal;
use super::routes::DirectRoute;
use super::shared::DirectContext;
use super::start::{Draft, NotBegun, Start, ready};
use super::whole::Whole;
use crate::account::Account;
use crate::deliver::content::{Budgets, Loaded, NotMadeReady, Unfit, load};
use crate::direct::{DirectMessage, DirectRefusal, Opening};
use crate::limits::AccountKey;
use crate::mail::{Address, RecipientRequest};
use crate::smtp::Reply;
use crate::store::Message;

/// A message between its client and the upstream.
pub(super) struct DirectExchange {
    start: Start,
    state: ExchangeState,
}

enum ExchangeState {
    /// The upstream was not asked for anything.
    Fresh,
    /// The upstream has accepted MAIL.
    Open(Box<Open>),
    /// What would carry the message judges it as a whole; recipients are accepted here.
    Unasked,
    /// The message is ready to go as a whole, or has gone.
    Whole(Box<Whole>),
    /// There is no line to it; who asks about a recipient is told so.
    Shut(DirectRefusal),
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
            ExchangeState::Open(open) => Ok(Some(open)),
            ExchangeState::Unasked | ExchangeState::Whole(_) => Ok(None),
            ExchangeState::Shut(refused) => Err(refused),
        };
        let mut open = match opened {
            Ok(Some(open)) => open,
            Ok(None) => {
                self.state = ExchangeState::Unasked;
                return Ok(());
            }
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
        match &mut self.state {
            ExchangeState::Open(open) => open.release(),
            ExchangeState::Whole(whole) => whole.release(),
            ExchangeState::Fresh | ExchangeState::Unasked | ExchangeState::Shut(_) => {}
        }
        // A session that is gone is not told; the message went its way all the same.
        let _ = answer.send(result);
        let (shared, of_session) = (&self.start.shared, (&*self.start.opening.session, &handed));
        match self.state {
            ExchangeState::Open(open) => open.end(shared, Some(of_session)).await,
            ExchangeState::Whole(whole) => whole.end(shared, of_session).await,
            ExchangeState::Fresh | ExchangeState::Unasked | ExchangeState::Shut(_) => {}
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
        let budgets = Budgets { share: shared.memory.clone(), all: shared.context.memory.clone() };
        let loading = load(budgets, message, None);
        let mut loaded = wait_for_upstream(&shared, message.lane.as_str(), until, loading)
            .await?
            .map_err(|_| refusal::store())?;
        let unfit = self.adopt(message, &mut loaded, until).await?;
        if !matches!(self.state, ExchangeState::Open(_)) {
            self.begin_anew(message, &mut loaded, unfit, until).await?;
        }
        let result = self.finish(&shared, message, until).await;
        let larger = self.by_large(message).await;
        let result = match larger {
            Some(message) => {
                self.begin_anew(&message, &mut loaded, UnfitAccounts::default(), until).await?;
                self.finish(&shared, &message, until).await
            }
            None => result,
        };
        drop(loaded);
        result
    }

    async fn finish(
        &mut self,
        shared: &DirectContext,
        message: &Message,
        until: Instant,
    ) -> Result<Reply, DirectRefusal> {
        match &mut self.state {
            ExchangeState::Open(open) => open.finish(shared, message, until).await,
            ExchangeState::Whole(whole) => {
                let result = whole.finish(shared, message, until).await;
                let stands_in = |route: &DirectRoute| !route.candidates.is_own(whole.account());
                match result {
                    Err(DirectRefusal { reply, .. })
                        if whole.is_too_large() && shared.routes.of(&message.lane).is_some_and(stands_in) =>
                    {
                        Err(refusal::unfit_for_fallback(&reply))
                    }
                    result => result,
                }
            }
            ExchangeState::Fresh | ExchangeState::Unasked | ExchangeState::Shut(_) => Err(refusal::lost()),
        }
    }

    /// What its own upstream has found too large goes by that one's `large`, where there is one: the message in that lane.
    async fn by_large(&mut self, message: &Message) -> Option<Message> {
        let ExchangeState::Whole(whole) = &self.state else { return None };
        let (shared, route) = (&self.start.shared, self.start.shared.routes.of(&message.lane)?);
        let large = route.upstream.large().filter(|_| whole.is_too_large())?;
        let lane = shared.context.router.lane_of(large, &message.sender)?;
        if let ExchangeState::Whole(whole) = std::mem::replace(&mut self.state, ExchangeState::Fresh) {
            whole.give_up().await;
        }
        let (queue_id, upstream) = (&message.queue_id, &route.upstream.name);
        tracing::info!(event = "by_large", %queue_id, upstream, large, reason = "no request of this size is taken");
        Some(Message { lane, ..message.clone() })
    }

    /// Goes on with the transaction whose recipients were accepted, if the message can go by it; else ends it. Tells which
    /// accounts can't take the message.
    async fn adopt(
        &mut self,
        message: &Message,
        loaded: &mut Loaded,
        until: Instant,
    ) -> Result<UnfitAccounts, DirectRefusal> {
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
            let made = ready(shared, &open.permit, view, (message, loaded));
            match wait_for_upstream(shared, open.upstream(), until, made).await {
                Err(refused) => {
                    self.state = ExchangeState::Open(open);
                    return Err(refused);
                }
                Ok(Ok(prepared)) if open.has_announced(&prepared) => {
                    open.prepared = Some(prepared);
                    self.state = ExchangeState::Open(open);
                    return Ok(unfit);
                }
                Ok(Ok(_)) => {}
                Ok(Err(NotMadeReady::Unread(_))) => {
                    self.state = ExchangeState::Open(open);
                    return Err(refusal::store());
                }
                Ok(Err(NotMadeReady::Unfit(found))) => {
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
        loaded: &mut Loaded,
        mut unfit: UnfitAccounts,
        until: Instant,
    ) -> Result<(), DirectRefusal> {
        let shared = &self.start.shared;
        let begun = loop {
            let wanted = (Some(message.amount()), &unfit.0[..]);
            let permit = DirectPermit::take(shared, &message.lane, wanted, until).await?;
            let account = permit.account.clone();
            let begun = if permit.is_asked_in_steps() {
                let begun = self.start.begin(permit, Draft::Here(message, loaded), until).await;
                begun.map(ExchangeState::Open)
            } else {
                self.start.make_whole(permit, (message, loaded), until).await.map(ExchangeState::Whole)
            };
            match begun {
                Ok(begun) => break begun,
                Err(NotBegun::Unfit(found)) => {
                    unfit.pass_over(shared.routes.of(&message.lane), &account, found)?;
                }
                Err(refused @ NotBegun::Refused { .. }) => return Err(refused.into()),
            }
        };
        self.state = begun;
        let ExchangeState::Open(open) = &mut self.state else { return Ok(()) };
        open.all_recipients(&self.start.shared, message, until).await
    }
}
