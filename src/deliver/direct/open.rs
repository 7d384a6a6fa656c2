//! A transaction whose MAIL the upstream has accepted, for a client that waits.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::ending::{self, Sent};
use super::patience::wait_for_upstream;
use super::permit::DirectPermit;
use super::refusal;
use super::shared::DirectContext;
use crate::account::{MailFacts, RefusedWhenUsed};
use crate::content::SplitContent;
use crate::deliver::mailboxes;
use crate::direct::{DirectMessage, DirectRefusal, Opening};
use crate::mail::{Address, Body, MessageRequest, RecipientRequest, ReversePath};
use crate::metrics::TimedPhase;
use crate::smtp::Reply;
use crate::store::{MailboxFailure, Message};
use crate::transform::{EditedFields, Prepared, TransformError};
use crate::upstream::{
    Answer, Connection, Offer, Outcome, RecipientResult, Requests, Stage, Steps, Transaction,
    TransactionResult, blacklist_candidate,
};

/// How long we wait for the answer to RSET.
const RESET: Duration = Duration::from_secs(5);

/// What MAIL says.
pub(super) struct Head {
    reverse_path: ReversePath,
    body: Body,
    smtputf8: bool,
    request: Option<MessageRequest>,
    /// The content of what is still to come.
    nothing: SplitContent,
}

impl Head {
    /// For a message whose content is to come: it may have octets over 127 without the client's saying so.
    pub(super) fn announced(opening: &Opening, reverse_path: ReversePath) -> Self {
        Self {
            body: Body::EightBitMime,
            smtputf8: opening.smtputf8 || !reverse_path.as_str().is_ascii(),
            reverse_path,
            request: Some(opening.request.clone()),
            nothing: SplitContent::default(),
        }
    }

    /// For a message that is here. A test copy goes to somebody whom nothing of what was asked for concerns.
    pub(super) fn of(message: &Message, prepared: &Prepared) -> Self {
        Self {
            reverse_path: prepared.reverse_path.clone(),
            body: prepared.body(),
            smtputf8: prepared.smtputf8,
            request: message.decisions.test.is_none().then(|| message.request.clone()),
            nothing: SplitContent::default(),
        }
    }

    /// Whose mail it is. Of what is only announced the reverse-path alone is known.
    pub(super) fn mail(&self) -> MailFacts<'_> {
        MailFacts { id: None, is_report: false, sender: "", reverse_path: &self.reverse_path }
    }

    pub(super) fn transaction<'a>(
        &'a self,
        recipients: &'a [Address],
        requests: &'a [RecipientRequest],
        prepared: Option<&'a Prepared>,
    ) -> Transaction<'a> {
        let content = prepared.map_or(&self.nothing, |prepared| &prepared.content);
        Transaction {
            reverse_path: &self.reverse_path,
            recipients,
            body: self.body,
            smtputf8: self.smtputf8,
            content,
            requests: Requests { message: self.request.as_ref(), recipients: requests },
        }
    }
}

/// A transaction whose MAIL was accepted.
pub(super) struct Open {
    pub(super) permit: DirectPermit,
    /// `None` when it is not needed any more.
    connection: Option<Connection>,
    /// Whether the connection had carried a transaction before: then what it refuses proves nothing.
    is_used: bool,
    /// `None` when the content was sent, or was cut off.
    steps: Option<Steps>,
    head: Head,
    /// All recipients that were asked for.
    asked: Vec<Address>,
    requests: Vec<RecipientRequest>,
    /// Places of those that were accepted.
    accepted: Vec<usize>,
    /// The message as it goes to this upstream.
    pub(super) prepared: Option<Prepared>,
    /// Mailboxes that do not exist.
    missing: Vec<MailboxFailure>,
    sent: Option<Sent>,
}

impl Open {
    pub(super) fn new(
        permit: DirectPermit,
        (connection, is_used, steps): (Connection, bool, Steps),
        head: Head,
        prepared: Option<Prepared>,
    ) -> Self {
        Self {
            permit,
            connection: Some(connection),
            is_used,
            steps: Some(steps),
            head,
            asked: Vec::new(),
            requests: Vec::new(),
            accepted: Vec::new(),
            prepared,
            missing: Vec::new(),
            sent: None,
        }
    }

    pub(super) fn upstream(&self) -> &str {
        self.permit.upstream()
    }

    /// What the upstream offers, and its name.
    pub(super) fn offered(&self) -> Option<(Offer, String)> {
        self.connection.as_ref().map(|connection| (connection.offer(), connection.host().to_owned()))
    }

    /// Whether the upstream has not hung up.
    pub(super) fn can_go_on(&mut self) -> bool {
        self.connection.as_mut().is_some_and(Connection::is_open)
    }

    /// Whether this is the transaction for a message: its recipients are those that were accepted.
    pub(super) fn is_for(&self, message: &Message) -> bool {
        let accepted = self.accepted.iter().map(|&place| &self.asked[place]);
        message.decisions.test.is_none()
            && accepted.eq(message.recipients.iter().map(|recipient| &recipient.address))
    }

    /// Whether MAIL has said all that the upstream must know of the message. The reverse-path is another when the upstream has
    /// a sender for mail without one, and the content shows that this is such mail.
    pub(super) fn has_announced(&self, prepared: &Prepared) -> bool {
        self.head.reverse_path == prepared.reverse_path && (self.head.smtputf8 || !prepared.smtputf8)
    }

    /// Asks about one more recipient.
    pub(super) async fn recipient(
        &mut self,
        shared: &DirectContext,
        (address, request): (Address, RecipientRequest),
        until: Instant,
    ) -> Result<(), DirectRefusal> {
        let offer = self.connection.as_ref().map(Connection::offer).unwrap_or_default();
        if offer.path(&address).is_none() {
            return Err(refusal::unfit(TransformError::International("the recipient's").to_reply()));
        }
        self.permit.add(self.asked.len() as u32).await?;
        self.asked.push(address);
        self.requests.push(request);
        match self.ask(shared, until).await?.pop().flatten() {
            None => Ok(()),
            Some((result, outcome)) => {
                self.note_unknown(shared, &result, self.asked.len() - 1);
                Err(refusal::by_result(self.upstream(), &result, outcome))
            }
        }
    }

    /// Asks about all recipients of a message.
    ///
    /// # Errors
    /// When one of them is refused, in the words of a permanent refusal if there is one: the client would try in vain.
    pub(super) async fn all_recipients(
        &mut self,
        shared: &DirectContext,
        message: &Message,
        until: Instant,
    ) -> Result<(), DirectRefusal> {
        let prepared = self.prepared.as_ref().map(|prepared| prepared.recipients.clone());
        self.asked = prepared.unwrap_or_default();
        if message.decisions.test.is_none() {
            self.requests = message.recipients.iter().map(|recipient| recipient.request.clone()).collect();
        }
        let answers = self.ask(shared, until).await?;
        let mut refused: Option<(RecipientResult, Outcome)> = None;
        for (place, result) in answers.into_iter().enumerate() {
            let Some((result, outcome)) = result else { continue };
            if message.decisions.test.is_none() {
                self.note_unknown(shared, &result, place);
            }
            let bounces = outcome == Outcome::Bounced;
            if refused.as_ref().is_none_or(|(_, first)| *first != Outcome::Bounced && bounces) {
                refused = Some((result, outcome));
            }
        }
        let refusal = |(result, outcome)| refusal::by_result(self.upstream(), &result, outcome);
        refused.map_or(Ok(()), |refused| Err(refusal(refused)))
    }

    /// Asks about the recipients that were not asked for yet. Returns `None` for those that are accepted. When a connection
    /// that was used before refuses all alike, they are asked for again over a new one.
    async fn ask(
        &mut self,
        shared: &DirectContext,
        until: Instant,
    ) -> Result<Vec<Option<(RecipientResult, Outcome)>>, DirectRefusal> {
        let mut answers = self.ask_once(shared, until).await?;
        if self.is_used && answers.len() == self.asked.len() && answers.iter().all(Option::is_some) {
            let refused = TransactionResult { recipients: answers.iter().flatten().cloned().collect() };
            if self.permit.is_in_doubt(&refused, true) {
                let carried = self.begin_again(shared, until).await?;
                let refused = RefusedWhenUsed { result: refused, carried };
                answers = self.ask_once(shared, until).await?;
                let again = TransactionResult { recipients: answers.iter().flatten().cloned().collect() };
                self.permit.tried_again(&refused, &again);
            }
        }
        let first = self.asked.len() - answers.len();
        let mut judged = Vec::new();
        for (place, answer) in (first..).zip(answers) {
            judged.push(match answer {
                None => {
                    self.accepted.push(place);
                    None
                }
                Some(result) => {
                    let outcome = self.permit.judge(&self.head.mail(), &[&self.asked[place]], &result).await;
                    Some((result, outcome))
                }
            });
        }
        Ok(judged)
    }

    /// Begins the transaction anew over a new connection. Tells how many messages the old one had carried.
    async fn begin_again(&mut self, shared: &DirectContext, until: Instant) -> Result<u32, DirectRefusal> {
        let Self { permit, connection, steps, is_used, head, prepared, .. } = self;
        (*steps, *is_used) = (None, false);
        let Some(old) = connection.take() else { return Err(refusal::lost()) };
        let carried = old.messages();
        permit.repeat();
        permit.retire(old).await;
        let mut new = wait_for_upstream(shared, permit.upstream(), until, permit.connect()).await??;
        let mail = head.transaction(&[], &[], prepared.as_ref());
        match wait_for_upstream(shared, permit.upstream(), until, new.begin(&mail)).await? {
            Ok(begun) => {
                (*connection, *steps) = (Some(new), Some(begun));
                Ok(carried)
            }
            Err(result) => {
                let outcome = permit.judge(&head.mail(), &[], &result).await;
                permit.give_back(new);
                Err(refusal::by_result(permit.upstream(), &result, outcome))
            }
        }
    }

    async fn ask_once(
        &mut self,
        shared: &DirectContext,
        until: Instant,
    ) -> Result<Vec<Option<RecipientResult>>, DirectRefusal> {
        let Self { permit, connection, steps, head, asked, requests, prepared, .. } = self;
        let (Some(steps), Some(connection)) = (steps, connection) else { return Err(refusal::lost()) };
        let transaction = head.transaction(asked, requests, prepared.as_ref());
        let asking = connection.ask(steps, &transaction);
        Ok(wait_for_upstream(shared, permit.upstream(), until, asking).await?.to_vec())
    }

    /// Sends the content, and returns the upstream's reply to it. When a connection that was used before refuses DATA, it is sent
    /// over a new one.
    pub(super) async fn finish(
        &mut self,
        shared: &DirectContext,
        message: &Message,
        until: Instant,
    ) -> Result<Reply, DirectRefusal> {
        self.permit.add_content(message.size).await?;
        let mut decided = self.send(shared, message, until).await?;
        let refused = TransactionResult { recipients: vec![decided.clone()] };
        if self.permit.is_in_doubt(&refused, self.is_used) {
            let carried = self.begin_again(shared, until).await?;
            self.ask_accepted(shared, until).await?;
            decided = self.send(shared, message, until).await?;
            let again = TransactionResult { recipients: vec![decided.clone()] };
            self.permit.tried_again(&RefusedWhenUsed { result: refused, carried }, &again);
        }
        self.conclude(shared, message, &decided).await
    }

    /// Sends the content. Tells what became of all that were accepted.
    async fn send(
        &mut self,
        shared: &DirectContext,
        message: &Message,
        until: Instant,
    ) -> Result<RecipientResult, DirectRefusal> {
        let Self { permit, connection, steps, head, asked, requests, accepted, prepared, .. } = self;
        let (Some(steps), Some(connection), Some(prepared)) = (steps.take(), connection, prepared) else {
            return Err(refusal::lost());
        };
        let transaction = head.transaction(asked, requests, Some(&*prepared));
        let begun = Instant::now();
        let sending = connection.finish(steps, &transaction);
        let result = match wait_for_upstream(shared, permit.upstream(), until, sending).await {
            Ok(Ok(result)) => {
                shared.context.metrics.took(TimedPhase::Transaction, permit.upstream(), begun.elapsed());
                result
            }
            Ok(Err(error)) => {
                ending::log_unread(message, permit.upstream(), &error);
                return Err(refusal::store());
            }
            Err(refused) => {
                let unknown = connection.is_dot_under_way();
                ending::log_cut(message, permit.upstream(), unknown);
                return Err(refused);
            }
        };
        // What comes behind RCPT is the same for all.
        let first = accepted.first().and_then(|&place| result.recipients.get(place));
        first.cloned().ok_or_else(refusal::lost)
    }

    /// Asks once more for those that were accepted. Who is refused now has its client come again: at RCPT it is told why.
    async fn ask_accepted(&mut self, shared: &DirectContext, until: Instant) -> Result<(), DirectRefusal> {
        let accepted = std::mem::take(&mut self.accepted);
        let requests = accepted.iter().filter_map(|&place| self.requests.get(place).cloned()).collect();
        self.asked = accepted.iter().map(|&place| self.asked[place].clone()).collect();
        self.requests = requests;
        let refused = self.ask(shared, until).await?.into_iter().flatten().next();
        refused.map_or(Ok(()), |(result, _)| {
            Err(refusal::by_result(self.upstream(), &result, Outcome::DEFERRED))
        })
    }

    /// Notes what became of the message, and what its client reads.
    async fn conclude(
        &mut self,
        shared: &DirectContext,
        message: &Message,
        decided: &RecipientResult,
    ) -> Result<Reply, DirectRefusal> {
        let Self { permit, connection, head, asked, accepted, .. } = self;
        let mail = MailFacts::of(message, None).told_as(&head.reverse_path);
        let to: Vec<&Address> = accepted.iter().map(|&place| &asked[place]).collect();
        let outcome = permit.judge(&mail, &to, decided).await;
        let alone =
            accepted.len() == 1 && message.decisions.test.is_none() && decided.stage == Stage::FinalDot;
        if let (Answer::Accepted(reply), Some(connection)) = (&decided.answer, connection) {
            let (host, reports) = (connection.host().to_owned(), connection.capabilities().dsn);
            let edited = EditedFields::default();
            self.sent = Some(Sent { reply: reply.to_string(), host, reports, edited });
            return Ok(reply.clone());
        }
        if alone {
            self.note_unknown(shared, decided, self.accepted[0]);
        }
        if decided.possible_duplicate() {
            ending::log_cut(message, self.upstream(), true);
        }
        Err(refusal::by_result(self.upstream(), decided, outcome))
    }

    /// Notes a mailbox that does not exist.
    fn note_unknown(&mut self, shared: &DirectContext, result: &RecipientResult, place: usize) {
        if let Some(reply) = result.reply().filter(|reply| blacklist_candidate(reply)) {
            let failure = mailboxes::failure(&shared.context, &self.asked[place], reply.to_string());
            self.missing.extend(failure);
        }
    }

    /// The connection is free for the next message while this one's outcome is written.
    pub(super) fn release(&mut self) {
        if self.steps.is_none()
            && let Some(connection) = self.connection.take()
        {
            self.permit.give_back(connection);
            self.permit.close();
        }
    }

    /// Ends the transaction and writes down what became of it: of the message of a session, if it has come to that.
    pub(super) async fn end(
        mut self: Box<Self>,
        shared: &DirectContext,
        handed: Option<(&str, &DirectMessage)>,
    ) {
        if let (Some(_), Some(connection)) = (self.steps.take(), &mut self.connection)
            && timeout(RESET, connection.reset()).await.is_err()
        {
            tracing::debug!(event = "direct", upstream = self.upstream(), reason = "no answer to RSET");
        }
        self.release();
        let Self { permit, missing, sent, prepared, .. } = *self;
        mailboxes::note(&shared.context, missing, handed.map(|(_, handed)| &handed.message.queue_id)).await;
        ending::record(shared, permit, sent.zip(handed), prepared).await;
    }
}
