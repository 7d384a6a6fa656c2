//! Content that comes by BDAT (RFC 3030), chunk by chunk between other commands.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout_at;

use super::session::{Flow, Follows, SessionDriver};
use crate::session::channel::Gone;
use crate::session::receive::Receiver;
use crate::session::state::{Dialogue, MailTransaction};
use crate::smtp::Reply;
use crate::smtp::command::Chunk;

/// How much is read at once of what is thrown away, in octets.
const DISCARD: usize = 16 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> SessionDriver<'_, S> {
    /// Takes one chunk, and with the last one the message into the queue. Returns the reply to it.
    pub(super) async fn chunk(
        &mut self,
        dialogue: Dialogue,
        chunk: Chunk,
        first: Option<MailTransaction>,
    ) -> Result<(Dialogue, Reply), Gone> {
        let begun = self.chunks.take();
        let mut incoming = match first {
            Some(transaction) => {
                let mut incoming = self.begin(&dialogue, transaction);
                incoming.receiver = incoming.receiver.in_chunks();
                incoming
            }
            None => begun.expect("the dialogue goes on only with what has begun"),
        };
        let octets = self.octets(chunk.octets, Some(&mut incoming.receiver));
        timeout_at(incoming.deadline, octets).await.map_err(|_| Gone::Timeout)??;
        if chunk.last {
            let reply = self.conclude(incoming).await;
            return Ok((dialogue.finish(&reply), reply));
        }
        if let Some(refusal) = incoming.receiver.refusal() {
            return Ok((dialogue.refuse_chunks(), self.give_up(&incoming, &refusal)));
        }
        self.chunks = Some(incoming);
        Ok((dialogue, Reply::new(250, (2, 0, 0), format!("{} octets received", chunk.octets))))
    }

    /// Refuses a chunk where no content may come. What has come behind the command by then never runs; where nothing but the
    /// recipients is wrong, which a client that pipelines can't know yet, the session goes on behind it.
    pub(super) async fn misplaced(
        &mut self,
        dialogue: Dialogue,
        octets: u64,
        reply: &Reply,
    ) -> Result<(Dialogue, Flow), Gone> {
        let is_order = reply.code == 503;
        let reason = if is_order { "order" } else { "no_recipients" };
        self.reject(dialogue.reverse_path(), "", reply, reason);
        // Its line is written: should the session end here, there is no second one to write.
        self.under_way = None;
        if is_order && octets > 0 && self.channel.has_more().await {
            return Ok((self.answer(dialogue, reply, Follows::Nothing).await.0, Flow::Hang));
        }
        self.discard(dialogue, octets, reply).await
    }

    /// Throws a chunk away, then says why. One that is larger than any message is not worth reading.
    pub(super) async fn discard(
        &mut self,
        dialogue: Dialogue,
        octets: u64,
        reply: &Reply,
    ) -> Result<(Dialogue, Flow), Gone> {
        let settings = &self.services.config.session;
        if octets > settings.max_message_size.0 {
            return Ok((self.answer(dialogue, reply, Follows::Nothing).await.0, Flow::Hang));
        }
        let deadline = self.deadline(settings.data_timeout);
        timeout_at(deadline, self.octets(octets, None)).await.map_err(|_| self.too_slow())??;
        Ok(self.answer(dialogue, reply, Follows::Nothing).await)
    }

    /// Reads exactly so many octets, and hands them to the receiver if there is one.
    async fn octets(&mut self, octets: u64, mut receiver: Option<&mut Receiver>) -> Result<(), Gone> {
        let mut left = octets;
        while left > 0 {
            if self.channel.waiting().is_empty() {
                self.channel.flush().await?;
                let room = receiver.as_ref().map_or(DISCARD, |receiver| receiver.room());
                self.channel.read(room).await?;
            }
            let waiting = self.channel.waiting();
            let piece = usize::try_from(left).map_or(waiting.len(), |left| left.min(waiting.len()));
            let taken = match &mut receiver {
                Some(receiver) => receiver.decode(&waiting[..piece]).consumed(),
                None => piece,
            };
            self.channel.consume(taken);
            if let Some(receiver) = &mut receiver {
                receiver.settle().await;
            }
            left -= taken as u64;
        }
        Ok(())
    }
}
