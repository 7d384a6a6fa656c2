//! A message that enters a lane whose ask stands is taken by the transaction that accepts it.
//!
//! It is never written as one that waits, nobody reads it back, and its lease needs no commit of its own. Only what would be next
//! by the rule of turns is taken so: while anything else of its lane is due, it waits behind that.

use super::blacklist::ListedAt;
use super::lease;
use super::queue_place::QueueEntry;
use super::writing::Writing;
use crate::store::{
    AskOnFile, Disposition, Leased, Message, MessageId, NewMessage, QueuedRecipient, Reservation, TakenAtOnce,
};

/// What takes a message that enters.
pub(super) struct Taker {
    ask: AskOnFile,
    reservation: Reservation,
    /// Recipients of one transaction at most.
    recipients: u32,
}

/// Who takes a message that enters: nobody while it is not due, others are, there is no room for it, or the account can't take it.
pub(super) fn taker(
    db: &Writing,
    message: &NewMessage,
    entry: &QueueEntry,
) -> rusqlite::Result<Option<Taker>> {
    if message.held || entry.due > entry.accepted {
        return Ok(None);
    }
    let Some(ask) = db.standing().of(&message.lane) else { return Ok(None) };
    let wanted = ask.ask();
    let is_next = db
        .turns()
        .lane(&message.lane)
        .is_some_and(|lane| lane.due(entry.accepted).is_none_or(|due| due > entry.accepted));
    if !is_next || wanted.max_size.is_some_and(|most| message.content.len() > most) {
        return Ok(None);
    }
    let needed = lease::least(message.decisions.disposition(), message.content.len());
    let Ok(room) = db.room(&wanted.ceilings, &needed)? else { return Ok(None) };
    let recipients = wanted.recipients_per_message.min(room.recipients).max(1);
    Ok(ask.reserve().map(|reservation| Taker { ask, reservation, recipients }))
}

impl Taker {
    /// Takes the message, which has been written as one that is being sent.
    pub(super) fn take(
        self,
        db: &Writing,
        id: MessageId,
        new: &NewMessage,
        entry: &QueueEntry,
    ) -> rusqlite::Result<TakenAtOnce> {
        let message = Message {
            queue_id: new.queue_id.clone(),
            kind: new.kind,
            lane: new.lane.clone(),
            accepted: entry.accepted,
            accepted_wall: entry.accepted_wall,
            age_base: entry.age_base(new),
            reverse_path: new.reverse_path.clone(),
            sender: new.sender.clone(),
            body: new.body,
            smtputf8: new.smtputf8,
            request: new.request.clone(),
            client: new.client.clone(),
            decisions: new.decisions.clone(),
            recipients: self.recipients(db, new, entry)?,
            size: new.content.len(),
            content: new.content.clone(),
        };
        let others_waiting = (entry.waiting as u32).saturating_sub(message.recipients.len() as u32);
        let lease = lease::record(db, id, &message, Some(&self.ask.ask().account))?;
        let copied = new.recipients.are_copies();
        let leased = Leased { lease, message, warned: false, attempts: 0, others_waiting, copied };
        let taken = TakenAtOnce::new(self.reservation, leased);
        db.takes(taken.clone());
        Ok(taken)
    }

    /// Those that go in one transaction, as a claim would take them.
    fn recipients(
        &self,
        db: &Writing,
        new: &NewMessage,
        entry: &QueueEntry,
    ) -> rusqlite::Result<Vec<QueuedRecipient>> {
        let is_sent = new.decisions.disposition() == Disposition::Sent;
        let most = if is_sent { self.recipients } else { u32::MAX };
        let listed = ListedAt { listed: db.knowledge.listed(), now: entry.accepted };
        let (mut taken, mut going) = (Vec::new(), 0);
        for (index, recipient) in (0..).zip(new.recipients.iter()).filter(|(_, recipient)| !recipient.dropped)
        {
            if going >= most {
                break;
            }
            let entry = if is_sent { listed.find(db, recipient.address.as_str())? } else { None };
            going += u32::from(entry.is_none());
            let untried =
                QueuedRecipient::untried(index, recipient.address.clone(), recipient.request.clone());
            taken.push(QueuedRecipient { listed: entry.map(|entry| entry.reason), ..untried });
        }
        Ok(taken)
    }
}
