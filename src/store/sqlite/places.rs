//! The places of all that waits in a lane: the rule of [`place`](super::place), for many messages at the cost of one walk
//! over the index.

use std::collections::HashMap;

use rusqlite::Connection;

use super::turns::{IN_SUCCESSION, PRIORITIES};
use crate::limits::Load;
use crate::store::{LaneName, MessageId, Priority};
use crate::time::Moment;

/// Read from `message_turn` alone, in its order: submitters one after the other, of each the longest due first.
const WAITING: &str = "SELECT priority, submitter, due, id, waiting FROM message WHERE route = ?1 AND state = 0 \
    ORDER BY priority, submitter, due, id LIMIT ?2";

/// What one priority has waiting.
#[derive(Default)]
struct Class {
    /// Of each submitter, one after the other.
    messages: Vec<DueMessage>,
    /// What all submitters have due in each round together, added up: a message of each.
    rounds: Vec<Load>,
    /// What is due, the longest due first, added up.
    due: Vec<Load>,
}

struct DueMessage {
    id: i64,
    due: Moment,
    recipients: u64,
    /// What its submitter has due before it.
    own: Load,
    /// What its submitter has due up to the end of its own round.
    own_rounds: Load,
}

/// What goes before each message of a lane; nothing when more than `most` wait.
pub(super) fn places(
    db: &Connection,
    lane: &LaneName,
    now: Moment,
    most: u32,
) -> rusqlite::Result<HashMap<MessageId, Load>> {
    let mut classes: [Class; PRIORITIES.len()] = Default::default();
    let mut read = 0;
    let mut select = db.prepare_cached(WAITING)?;
    let mut rows = select.query((lane.as_str(), i64::from(most) + 1))?;
    let mut submitter: Option<(u8, String)> = None;
    while let Some(row) = rows.next()? {
        read += 1;
        let (priority, name): (u8, String) = (row.get(0)?, row.get(1)?);
        let Some(class) = classes.get_mut(usize::from(priority)) else { continue };
        let here = (priority, name);
        let is_first = submitter.as_ref() != Some(&here);
        submitter = Some(here);
        let recipients = row.get::<_, i64>(4)?.unsigned_abs();
        class.push(is_first, (row.get(3)?, Moment(row.get(2)?), recipients), now);
    }
    if read > most {
        return Ok(HashMap::new());
    }
    for class in &mut classes {
        class.finish(now);
    }
    let places = (0..classes.len()).flat_map(|priority| {
        let classes = &classes;
        classes[priority].messages.iter().map(move |m| (MessageId(m.id), ahead(classes, priority, m)))
    });
    Ok(places.collect())
}

fn ahead(classes: &[Class], priority: usize, message: &DueMessage) -> Load {
    let own = &classes[priority];
    let mut ahead = message.own;
    let rounds = up_to(&own.rounds, ahead.messages + 1);
    ahead.messages += rounds.messages - message.own_rounds.messages;
    ahead.recipients += rounds.recipients - message.own_rounds.recipients;
    let report = Priority::Report as usize;
    if priority == report {
        return ahead;
    }
    let mut share = ahead.messages / IN_SUCCESSION;
    for class in &classes[priority + 1..] {
        let gone = up_to(&class.due, share);
        share -= gone.messages;
        ahead += gone;
    }
    for class in classes[report + 1..priority].iter().rev() {
        ahead += up_to(&class.due, IN_SUCCESSION * (ahead.messages + 1));
    }
    ahead += up_to(&classes[report].due, u64::MAX);
    ahead
}

/// The sum of the first so many.
fn up_to(sums: &[Load], most: u64) -> Load {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(sums.len());
    most.checked_sub(1).map_or_else(Load::default, |last| sums[last])
}

impl Class {
    fn push(&mut self, is_first: bool, (id, due, recipients): (i64, Moment, u64), now: Moment) {
        let before = self.messages.last().filter(|_| !is_first);
        let own = before.map_or_else(Load::default, |before| before.up_to_here(now));
        self.messages.push(DueMessage { id, due, recipients, own, own_rounds: own });
        if due <= now {
            let round = own.messages as usize;
            if self.rounds.len() <= round {
                self.rounds.push(Load::default());
            }
            self.rounds[round] += Load { messages: 1, recipients, octets: 0 };
        }
    }

    /// Adds up what was pushed.
    fn finish(&mut self, now: Moment) {
        for message in &mut self.messages {
            // Its own round is counted with all the others', and taken off again.
            message.own_rounds = message.up_to_here(now);
        }
        let mut due: Vec<&DueMessage> = self.messages.iter().filter(|message| message.due <= now).collect();
        due.sort_unstable_by_key(|message| (message.due, message.id));
        self.due = due
            .iter()
            .map(|message| Load { messages: 1, recipients: message.recipients, octets: 0 })
            .collect();
        add_up(&mut self.due);
        add_up(&mut self.rounds);
    }
}

fn add_up(sums: &mut [Load]) {
    let mut sum = Load::default();
    for one in sums {
        sum += *one;
        *one = sum;
    }
}

impl DueMessage {
    /// What its submitter has due before it, and itself if it is due.
    fn up_to_here(&self, now: Moment) -> Load {
        let mut sum = self.own;
        if self.due <= now {
            sum += Load { messages: 1, recipients: self.recipients, octets: 0 };
        }
        sum
    }
}
