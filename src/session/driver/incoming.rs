//! A message whose content is on its way: what is known of it before, and what becomes of it at its end.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::session::{Incoming, RefusalCause, SessionDriver};
use crate::config;
use crate::direct::Exchange;
use crate::mail::QueueId;
use crate::session::accept::accept;
use crate::session::receive::{Arrival, Receiver, Refusal, Taken};
use crate::session::state::{Dialogue, Hello, MailTransaction};
use crate::session::submission::{Submission, UnreadableFrom};
use crate::smtp::Reply;
use crate::store::StoreError;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> SessionDriver<'_, S> {
    /// Makes ready for the content of a message.
    pub(super) fn begin(&mut self, dialogue: &Dialogue, transaction: MailTransaction) -> Incoming {
        let services = self.services.clone();
        let max_message_size = services.max_message_size(dialogue.user());
        let settings = config::Session { max_message_size, ..services.config.session.clone() };
        let hello = dialogue.hello().cloned().expect("no MAIL is taken before EHLO or HELO");
        let arrival = self.arrival(dialogue, &hello, &transaction);
        let queue_id = arrival.queue_id.clone();
        let upload = services.store.upload(&queue_id);
        let receiver = Receiver::new(arrival, &settings, &services.memory, upload);
        let deadline = Instant::now() + settings.data_timeout;
        let exchange = std::mem::take(&mut self.asked).into_exchange();
        exchange.iter().for_each(Exchange::content_begins);
        Incoming {
            receiver,
            queue_id,
            hello,
            user: dialogue.user().cloned(),
            transaction,
            exchange,
            deadline,
        }
    }

    /// The content has ended: takes the message into the queue. Returns the reply to it.
    pub(super) async fn conclude(&self, incoming: Incoming) -> Reply {
        let Incoming { receiver, queue_id, hello, user, transaction, exchange, .. } = incoming;
        let sender = transaction.envelope.reverse_path.to_string();
        let taken = match receiver.finish().await {
            Ok(taken) => taken,
            Err(refusal) => {
                log_disk(&queue_id, &refusal);
                let reply = refusal.reply();
                self.reject(&sender, "", &reply, refusal.reason());
                return reply;
            }
        };
        let Taken { content, author, label } = taken;
        let unreadable = UnreadableFrom::of(&author, &queue_id, user.as_ref());
        let submission = Submission { queue_id, hello, user, transaction, content, author, label, exchange };
        match accept(&self.services, &self.peer, submission).await {
            Ok(reply) => {
                if let Some(unreadable) = unreadable {
                    unreadable.log(&self.peer, &sender);
                }
                reply
            }
            Err(refused) => {
                let cause = RefusalCause { reason: refused.reason(), rule: refused.rule() };
                let reply = refused.reply();
                self.log_rejected(&sender, "", Some(&reply), cause);
                reply
            }
        }
    }

    /// A part of the content that came by BDAT was refused, and with it the message. Returns the reply.
    pub(super) fn give_up(&self, incoming: &Incoming, refusal: &Refusal) -> Reply {
        log_disk(&incoming.queue_id, refusal);
        let reply = refusal.reply();
        self.reject(incoming.transaction.envelope.reverse_path.as_str(), "", &reply, refusal.reason());
        reply
    }

    fn arrival(&self, dialogue: &Dialogue, hello: &Hello, transaction: &MailTransaction) -> Arrival {
        let envelope = &transaction.envelope;
        let date = self.services.timeline.wall();
        let only = match envelope.recipients() {
            [only] => Some(only.clone()),
            _ => None,
        };
        Arrival {
            queue_id: QueueId::new(date.as_millisecond(), rand::random()),
            helo: hello.name.clone(),
            client: self.peer.ip,
            hostname: self.services.config.hostname.clone(),
            protocol: protocol(envelope.smtputf8, hello.extended, dialogue),
            recipient: only,
            submitter: self.submitter(dialogue, transaction),
            completion: self.services.config.complete_addresses.clone(),
            date,
        }
    }
}

/// A disk that fails is the operator's business, not only the client's.
fn log_disk(queue_id: &QueueId, refusal: &Refusal) {
    let Refusal::Disk(error) = refusal else { return };
    let (path, reason) = match error {
        StoreError::File { path, source } => (Some(path.display()), source.to_string()),
        other => (None, other.to_string()),
    };
    let path = path.map(|path| path.to_string());
    tracing::error!(event = "content_not_written", queue_id = %queue_id, path, reason);
}

/// How the message came, as Received has it (RFC 3848, RFC 6531 3.7.3).
fn protocol(smtputf8: bool, extended: bool, dialogue: &Dialogue) -> &'static str {
    match (smtputf8, extended, dialogue.is_secure(), dialogue.user().is_some()) {
        (true, _, false, false) => "UTF8SMTP",
        (true, _, true, false) => "UTF8SMTPS",
        (true, _, false, true) => "UTF8SMTPA",
        (true, _, true, true) => "UTF8SMTPSA",
        (false, true, false, false) => "ESMTP",
        (false, _, true, false) => "ESMTPS",
        (false, _, false, true) => "ESMTPA",
        (false, _, true, true) => "ESMTPSA",
        (false, false, false, false) => "SMTP",
    }
}
