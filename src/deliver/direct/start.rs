//! Transactions begin: over an idle connection or a new one, with all of a message or its reverse-path alone.

use std::sync::Arc;

use tokio::time::Instant;

use super::open::{Head, Open};
use super::patience::wait_for_upstream;
use super::permit::DirectPermit;
use super::refusal;
use super::shared::DirectContext;
use super::whole::Whole;
use crate::account::RefusedWhenUsed;
use crate::deliver::content::{Loaded, NotMadeReady, Unfit, make_ready};
use crate::deliver::unfit::Misfit;
use crate::direct::{DirectRefusal, Opening};
use crate::store::Message;
use crate::transform::{Prepared, TransformError, announced_reverse_path};
use crate::upstream::{Offer, TransactionResult};

/// Where transactions begin.
pub(super) struct Start {
    pub(super) shared: Arc<DirectContext>,
    pub(super) opening: Opening,
}

/// What is known of a message when its transaction begins.
pub(super) enum Draft<'a> {
    /// The reverse-path.
    Announced(&'a Opening),
    /// All of it.
    Here(&'a Message, &'a mut Loaded),
}

/// A transaction that did not begin.
pub(super) enum NotBegun {
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

impl From<NotMadeReady> for NotBegun {
    fn from(not_ready: NotMadeReady) -> Self {
        match not_ready {
            NotMadeReady::Unfit(unfit) => Self::Unfit(unfit),
            NotMadeReady::Unread(_) => refusal::store().into(),
        }
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

impl Start {
    /// Begins a transaction of which only the reverse-path is known; `None` where what carries it wants to see it all first.
    pub(super) async fn announce(&self, until: Instant) -> Result<Option<Box<Open>>, DirectRefusal> {
        let permit = DirectPermit::take(&self.shared, &self.opening.lane, (None, &[]), until).await?;
        if !permit.is_asked_in_steps() {
            permit.end(|end| end).await;
            return Ok(None);
        }
        let mut open = self.begin(permit, Draft::Announced(&self.opening), until).await?;
        open.permit.waits_for_client();
        Ok(Some(open))
    }

    /// Makes a message ready for an upstream that judges it as a whole.
    pub(super) async fn make_whole(
        &self,
        permit: DirectPermit,
        message: (&Message, &mut Loaded),
        until: Instant,
    ) -> Result<Box<Whole>, NotBegun> {
        let shared = &self.shared;
        let opened = wait_for_upstream(shared, permit.upstream(), until, permit.link()).await;
        let not_begun = match opened.and_then(|opened| opened) {
            Ok(link) => {
                let made = ready(shared, &permit, (link.offer(), link.host().to_owned()), message);
                match wait_for_upstream(shared, permit.upstream(), until, made).await {
                    Ok(Ok(prepared)) => return Ok(Box::new(Whole::new(permit, link, prepared))),
                    Ok(Err(not_ready)) => {
                        permit.give_back_link(link);
                        not_ready.into()
                    }
                    Err(refused) => {
                        permit.give_back_link(link);
                        refused.into()
                    }
                }
            }
            Err(refused) => refused.into(),
        };
        permit.end(|end| end).await;
        Err(not_begun)
    }

    pub(super) async fn begin(
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
        mut draft: Draft<'_>,
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
            let drafting = drafted(shared, permit, offered, &mut draft);
            let (head, prepared) = match wait_for_upstream(shared, upstream, until, drafting).await {
                Ok(Ok(drafted)) => drafted,
                Ok(Err(not_ready)) => {
                    permit.give_back(connection);
                    return Err(not_ready.into());
                }
                Err(refused) => {
                    permit.give_back(connection);
                    return Err(refused.into());
                }
            };
            let mail = head.transaction(&[], &[], prepared.as_ref());
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

/// What MAIL says, and where it is here the message, as this upstream takes them.
async fn drafted(
    shared: &DirectContext,
    permit: &DirectPermit,
    offered: (Offer, String),
    draft: &mut Draft<'_>,
) -> Result<(Head, Option<Prepared>), NotMadeReady> {
    match draft {
        Draft::Announced(opening) => {
            let account = (&*permit.settings.upstream, permit.settings.account());
            let path = announced_reverse_path(&opening.reverse_path, account);
            if path.address().is_some_and(|address| offered.0.path(address).is_none()) {
                let reply = TransformError::International("the reverse-path").to_reply();
                return Err(NotMadeReady::Unfit(Unfit { reply, misfit: Some(Misfit::Message) }));
            }
            Ok((Head::announced(opening, path), None))
        }
        Draft::Here(message, loaded) => {
            let prepared = ready(shared, permit, offered, (message, loaded)).await?;
            Ok((Head::of(message, &prepared), Some(prepared)))
        }
    }
}

/// Changes the message as the upstream needs it.
pub(super) async fn ready(
    shared: &DirectContext,
    permit: &DirectPermit,
    (offer, host): (Offer, String),
    message: (&Message, &mut Loaded),
) -> Result<Prepared, NotMadeReady> {
    make_ready(&shared.context.transformer, &permit.settings, (offer, &host), message).await
}
