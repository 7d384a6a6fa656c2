//! The right to one transaction: its permit, and a connection to use it over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::refusal;
use super::shared::DirectContext;
use super::turn::DirectTurn;
use crate::account::{
    Account, AccountSettings, Answered, Feedback, Grant, MailFacts, Obstacle, PooledConnection, Probe,
    RefusedWhenUsed, say_goodbye,
};
use crate::deliver::settle::log_report;
use crate::direct::DirectRefusal;
use crate::limits::{AccountKey, Amount};
use crate::mail::Address;
use crate::metrics::TimedPhase;
use crate::store::{LaneName, NewPermit, PermitEnd, PermitExtension, PermitId, Permitted};
use crate::upstream::{
    ConnectError, Connection, Link, Outcome, RecipientResult, TransactionResult, Transport, classify,
};

/// How often an outcome is offered to a store that fails.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// Recipients for which a permit is recorded when it is not known how many there will be (RFC 5321 4.5.3.1.8). Until we die
/// in the middle only those count that there are.
const UNKNOWN: u32 = 100;

/// The right to one transaction.
pub(super) struct DirectPermit {
    shared: Arc<DirectContext>,
    pub(super) account: Arc<Account>,
    pub(super) settings: Arc<AccountSettings>,
    /// `None` when it was given back.
    pooled: Mutex<Option<PooledConnection>>,
    permit: Option<PermitId>,
    /// What it counts for.
    taken: Amount,
    /// Recipients that the recorded permit holds.
    recorded: u32,
    /// What it has used, once the transaction has ended.
    used: Option<Amount>,
    /// What was begun over a used connection, before the transaction was made again over a new one.
    before: Amount,
    /// Held while it finds out whether the upstream answers again.
    probes: Vec<Probe>,
}

impl DirectPermit {
    /// Takes a permit for so much; or where that is not known, for one recipient and those that follow. Some accounts are
    /// known to be unfit for the message.
    pub(super) async fn take(
        shared: &Arc<DirectContext>,
        lane: &LaneName,
        (amount, unfit): (Option<Amount>, &[AccountKey]),
        until: Instant,
    ) -> Result<Self, DirectRefusal> {
        let Some(route) = shared.routes.of(lane) else {
            return Err(refusal::disabled(lane.as_str(), "it is not in the configuration"));
        };
        let mut turn = DirectTurn::new(shared, route, until);
        loop {
            let grant = turn.grant(unfit).await?;
            let most = grant.account.recipients_per_message();
            let needed = amount.unwrap_or_else(|| Amount::of_message(1, 0));
            if needed.recipients > most {
                return Err(refusal::too_many(most));
            }
            let recorded = amount.map_or(UNKNOWN.min(most), |amount| amount.recipients);
            let new = NewPermit {
                account: grant.account.key().clone(),
                ceilings: grant.account.ceilings(),
                needed,
                recorded,
            };
            match shared.context.store.take_permit(new).await {
                Ok(Permitted::Granted(permit)) => {
                    return Ok(Self::new(shared, grant, (permit, needed, recorded)));
                }
                Ok(Permitted::Blocked(wait)) => turn.wait_for_room(grant, needed, &wait).await?,
                Err(error) => {
                    tracing::error!(event = "store", upstream = route.upstream.name, reason = %error);
                    return Err(refusal::store());
                }
            }
        }
    }

    fn new(
        shared: &Arc<DirectContext>,
        mut grant: Grant,
        (permit, taken, recorded): (PermitId, Amount, u32),
    ) -> Self {
        Self {
            shared: shared.clone(),
            pooled: Mutex::new(grant.connections.pop()),
            permit: Some(permit),
            taken,
            recorded,
            used: None,
            before: Amount::NONE,
            probes: grant.probes,
            account: grant.account,
            settings: grant.settings,
        }
    }

    /// Makes room for one more recipient behind those that are known.
    pub(super) async fn add(&mut self, known: u32) -> Result<(), DirectRefusal> {
        if known >= self.recorded {
            return Err(refusal::too_many(self.recorded));
        }
        if known < self.taken.recipients {
            return Ok(());
        }
        self.extend(Amount::of_recipients(1)).await
    }

    /// Makes room for the content, once it is known.
    pub(super) async fn add_content(&mut self, octets: u64) -> Result<(), DirectRefusal> {
        match octets.saturating_sub(self.taken.octets) {
            0 => Ok(()),
            more => self.extend(Amount { octets: more, ..Amount::NONE }).await,
        }
    }

    async fn extend(&mut self, more: Amount) -> Result<(), DirectRefusal> {
        let Some(permit) = self.permit else { return Err(refusal::lost()) };
        let extension = PermitExtension { permit, ceilings: self.account.ceilings(), more };
        let context = &self.shared.context;
        match context.store.extend_permit(extension).await {
            Ok(Permitted::Granted(_)) => {
                self.taken += more;
                Ok(())
            }
            Ok(Permitted::Blocked(wait)) => {
                Err(refusal::obstacle(context, self.upstream(), &Obstacle::Limited(wait)))
            }
            Err(error) => {
                tracing::error!(event = "store", upstream = self.upstream(), reason = %error);
                Err(refusal::store())
            }
        }
    }

    /// The connection that was idle, once.
    pub(super) fn idle(&self) -> Option<Connection> {
        let link = self.pooled().as_mut()?.take()?;
        match link {
            Link::Smtp(connection) => Some(*connection),
            Link::Graph(_) | Link::Capture(_) => None,
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection, DirectRefusal> {
        match self.open().await? {
            Link::Smtp(connection) => Ok(*connection),
            Link::Graph(_) | Link::Capture(_) => {
                Err(refusal::disabled(self.upstream(), "it takes no message step by step"))
            }
        }
    }

    /// Whether the upstream is asked about a message step by step; else it judges it as a whole.
    pub(super) fn is_asked_in_steps(&self) -> bool {
        matches!(self.settings.transport, Transport::Smtp(_))
    }

    /// The link that was idle, or a new one.
    pub(super) async fn link(&self) -> Result<Link, DirectRefusal> {
        let idle = self.pooled().as_mut().and_then(PooledConnection::take);
        match idle {
            Some(link) => Ok(link),
            None => self.open().await,
        }
    }

    async fn open(&self) -> Result<Link, DirectRefusal> {
        let begun = Instant::now();
        match self.settings.transport.open().await {
            Ok(link) => {
                self.shared.context.metrics.took(TimedPhase::Connect, self.upstream(), begun.elapsed());
                if let Some(pooled) = &mut *self.pooled() {
                    pooled.note_ready();
                }
                Ok(link)
            }
            Err(error) => Err(self.unreachable(&error).await),
        }
    }

    /// The upstream could not be reached.
    pub(super) async fn unreachable(&self, error: &ConnectError) -> DirectRefusal {
        self.feedback().connection_failed(error).await;
        refusal::unreachable(self.upstream(), error)
    }

    /// A connection that is not needed any more.
    pub(super) fn give_back(&self, connection: Connection) {
        self.give_back_link(Link::Smtp(Box::new(connection)));
    }

    /// A link that is not needed any more.
    pub(super) fn give_back_link(&self, link: Link) {
        if let Some(mut pooled) = self.pooled().take() {
            pooled.put(link);
        }
    }

    fn pooled(&self) -> MutexGuard<'_, Option<PooledConnection>> {
        self.pooled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upstream's name.
    pub(super) fn upstream(&self) -> &str {
        &self.account.key().upstream
    }

    /// What an answer means for recipients, with what it teaches about the upstream.
    pub(super) async fn judge(
        &self,
        mail: &MailFacts<'_>,
        to: &[&Address],
        result: &RecipientResult,
    ) -> Outcome {
        let mut answers: Vec<Answered<'_>> = to.iter().map(|to| (Some(*to), result)).collect();
        if answers.is_empty() {
            answers.push((None, result));
        }
        let judgement = self.feedback().transaction(mail, &answers).await;
        judgement.outcomes.first().copied().unwrap_or_else(|| classify(result))
    }

    /// Whether a transaction is to be made again over a new connection.
    pub(super) fn is_in_doubt(&self, result: &TransactionResult, is_used: bool) -> bool {
        self.feedback().is_in_doubt(result, is_used)
    }

    /// What became of it there.
    pub(super) fn tried_again(&self, before: &RefusedWhenUsed, after: &TransactionResult) {
        self.feedback().tried_again(before, after);
    }

    /// Ends a connection that is followed by another in its place.
    pub(super) async fn retire(&self, connection: Connection) {
        say_goodbye(Link::Smtp(Box::new(connection))).await;
        if let Some(pooled) = &mut *self.pooled() {
            pooled.note_gone();
        }
    }

    fn feedback(&self) -> Feedback<'_> {
        Feedback { accounts: &self.shared.context.accounts, account: &self.account }
    }

    /// What comes next is up to the client: whether the upstream answers again, others may find out meanwhile.
    pub(super) fn waits_for_client(&mut self) {
        self.probes.clear();
    }

    /// The transaction has ended: what the provider may have counted of it is known.
    pub(super) fn close(&mut self) {
        self.used = Some(self.taken.plus(self.before));
    }

    /// The transaction is made again: what was begun of it may have been counted, too.
    pub(super) fn repeat(&mut self) {
        self.before = self.taken;
        self.close();
    }

    /// Records what became of the transaction. One that was not closed never began, and its permit is returned.
    pub(super) async fn end(mut self, outcome: impl FnOnce(PermitEnd) -> PermitEnd) {
        if let Some(permit) = self.permit.take() {
            end_permit(&self.shared, &self.account, outcome(PermitEnd::without_message(permit, self.used)))
                .await;
        }
    }
}

/// When an exchange is cut off in the middle nobody knows what the provider has counted, so all of it counts.
impl Drop for DirectPermit {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        // Without a runtime the relay is gone: the next start counts what was recorded.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let end = PermitEnd::without_message(permit, Some(self.taken.plus(self.before)));
        let (shared, account) = (Arc::downgrade(&self.shared), self.account.clone());
        runtime.spawn(async move {
            if let Some(shared) = shared.upgrade() {
                end_permit(&shared, &account, end).await;
            }
        });
    }
}

/// Offers the end of a permit to the store until it takes it.
async fn end_permit(shared: &DirectContext, account: &Account, end: PermitEnd) {
    let context = &shared.context;
    while let Err(error) = context.store.end_permit(end.clone()).await {
        tracing::error!(event = "store", reason = %error, effect = "offered again");
        if context.is_stopping() {
            return;
        }
        sleep(STORE_RETRY).await;
    }
    account.note_copy();
    account.permit_ended(end.used.is_none());
    for report in &end.reports {
        log_report(context, report, None);
    }
}
