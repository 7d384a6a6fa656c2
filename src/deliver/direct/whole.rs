//! A message that its upstream takes or refuses as a whole, for a client that waits: nothing is asked before the content is
//! here, and the one answer is for all recipients.

use tokio::time::Instant;

use super::ending::{self, Sent};
use super::patience::wait_for_upstream;
use super::permit::DirectPermit;
use super::refusal;
use super::shared::DirectContext;
use crate::account::{Account, MailFacts};
use crate::direct::{DirectMessage, DirectRefusal};
use crate::mail::Address;
use crate::metrics::TimedPhase;
use crate::smtp::Reply;
use crate::store::Message;
use crate::transform::Prepared;
use crate::upstream::{Answer, Link, Outgoing, RecipientResult, Requests, SendError};

/// A message that is ready to be sent as a whole.
pub(super) struct Whole {
    permit: DirectPermit,
    /// `None` when it is not needed any more.
    link: Option<Link>,
    prepared: Prepared,
    sent: Option<Sent>,
    /// Whether no request of this size is taken.
    is_too_large: bool,
}

impl Whole {
    pub(super) fn new(permit: DirectPermit, link: Link, prepared: Prepared) -> Self {
        Self { permit, link: Some(link), prepared, sent: None, is_too_large: false }
    }

    /// Whether the upstream has said that it takes no message of this size.
    pub(super) fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    /// By whom it goes.
    pub(super) fn account(&self) -> &Account {
        &self.permit.account
    }

    /// Sends it, and returns the upstream's answer.
    pub(super) async fn finish(
        &mut self,
        shared: &DirectContext,
        message: &Message,
        until: Instant,
    ) -> Result<Reply, DirectRefusal> {
        let Some(mut link) = self.link.take() else { return Err(refusal::lost()) };
        self.permit.add_content(message.size).await?;
        let (permit, prepared) = (&mut self.permit, &self.prepared);
        let envelope: Vec<Address> = message.recipients.iter().map(|to| to.address.clone()).collect();
        let outgoing = prepared.outgoing(&message.queue_id, &envelope, Requests::default());
        let outgoing = Outgoing { goes_as_whole: true, ..outgoing };
        let upstream = permit.upstream().to_owned();
        let begun = Instant::now();
        let result = match wait_for_upstream(shared, &upstream, until, link.send(&outgoing)).await {
            Ok(Ok(result)) => {
                shared.context.metrics.took(TimedPhase::Transaction, &upstream, begun.elapsed());
                result
            }
            Ok(Err(SendError::Unreachable(error))) => return Err(permit.unreachable(&error).await),
            Ok(Err(SendError::Unread(error))) => {
                ending::log_unread(message, &upstream, &error);
                return Err(refusal::store());
            }
            Err(refused) => {
                ending::log_cut(message, &upstream, link.is_dot_under_way());
                permit.close();
                return Err(refused);
            }
        };
        permit.close();
        self.is_too_large = result.too_large().is_some();
        let decided = result.recipients.into_iter().next().ok_or_else(refusal::lost)?;
        let ended = self.conclude(message, &decided, link.host()).await;
        self.link = Some(link);
        ended
    }

    /// Notes what became of the message, and what its client reads.
    async fn conclude(
        &mut self,
        message: &Message,
        decided: &RecipientResult,
        host: &str,
    ) -> Result<Reply, DirectRefusal> {
        let Self { permit, prepared, sent, .. } = self;
        let mail = MailFacts::of(message, None).told_as(&prepared.reverse_path);
        let to: Vec<&Address> = prepared.recipients.iter().collect();
        let outcome = permit.judge(&mail, &to, decided).await;
        if let Answer::Accepted(reply) = &decided.answer {
            let edited = prepared.edited;
            *sent = Some(Sent { reply: reply.to_string(), host: host.to_owned(), reports: false, edited });
            return Ok(reply.clone());
        }
        if decided.possible_duplicate() {
            ending::log_cut(message, permit.upstream(), true);
        }
        Err(refusal::by_result(permit.upstream(), decided, outcome))
    }

    /// The link is free for the next message while this one's outcome is written.
    pub(super) fn release(&mut self) {
        if let Some(link) = self.link.take() {
            self.permit.give_back_link(link);
        }
    }

    /// It goes otherwise.
    pub(super) async fn give_up(mut self: Box<Self>) {
        self.release();
        self.permit.end(|end| end).await;
    }

    /// Writes down what became of it.
    pub(super) async fn end(mut self: Box<Self>, shared: &DirectContext, handed: (&str, &DirectMessage)) {
        self.release();
        let Self { permit, prepared, sent, .. } = *self;
        let sent = sent.map(|sent| (sent, handed));
        ending::record(shared, permit, sent, Some(prepared)).await;
    }
}
