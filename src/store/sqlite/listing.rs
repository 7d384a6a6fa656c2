//! What people ask about the queue.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params_from_iter, types::Value};

use super::loads::Loads;
use super::rows::{self, HELD, SENDING, WAITING};
use crate::mail::{AddressKey, QueueId};
use crate::store::{
    Content, HeldMessage, HeldPortion, HeldWalk, LaneSender, ListFilter, MessageId, MessageState,
    QueueCounts, QueueFigures, RecipientState, Summary, SummaryRecipient, TestModeCounts, Totals,
};
use crate::time::Moment;

pub(super) fn lanes_in_use(db: &Connection) -> rusqlite::Result<Vec<LaneSender>> {
    let mut select = db.prepare("SELECT DISTINCT route, sender FROM message")?;
    let rows =
        select.query_map([], |row| Ok(LaneSender { lane: rows::lane(row, 0)?, sender: row.get(1)? }))?;
    rows.collect()
}

pub(super) fn list(db: &Connection, filter: &ListFilter) -> rusqlite::Result<Vec<Summary>> {
    let (conditions, mut values) = conditions(filter);
    values.push(Value::Integer(i64::from(filter.limit)));
    let sql = format!(
        "SELECT id, queue_id, state, attempts, route, reverse_path, sender, size, client, helo, user, listener, \
         accepted_wall, due, decisions FROM message WHERE {conditions} ORDER BY id LIMIT ?"
    );
    let mut select = db.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(values), summary)?;
    rows.map(|row| with_recipients(db, row?)).collect()
}

pub(super) fn show(db: &Connection, queue_id: &QueueId) -> rusqlite::Result<Option<Summary>> {
    let mut select = db.prepare_cached(
        "SELECT id, queue_id, state, attempts, route, reverse_path, sender, size, client, helo, user, listener, \
         accepted_wall, due, decisions FROM message WHERE queue_id = ?1",
    )?;
    let row = select.query_row([queue_id.as_str()], summary).optional()?;
    row.map(|row| with_recipients(db, row)).transpose()
}

/// The next portion of a walk over held messages.
pub(super) fn held(db: &Connection, walk: &HeldWalk) -> rusqlite::Result<HeldPortion> {
    let (conditions, mut values) = conditions(&walk.filter);
    let bounds = [walk.after.0, walk.up_to.0, i64::from(walk.most)];
    values.extend(bounds.map(Value::Integer));
    // By the key alone, so that each portion begins where the last has ended; what fits is judged for these rows only.
    let sql = format!(
        "SELECT id, queue_id, waiting, decisions, ({conditions}) FROM message NOT INDEXED \
         WHERE state = {HELD} AND id > ? AND id <= ? ORDER BY id LIMIT ?"
    );
    let mut select = db.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(values), |row| {
        let message = HeldMessage {
            id: MessageId(row.get(0)?),
            queue_id: rows::queue_id(row, 1)?,
            recipients: row.get::<_, i64>(2)?.unsigned_abs(),
            decisions: rows::decisions(row, 3)?,
        };
        Ok((message, row.get::<_, bool>(4)?))
    })?;
    let found: Vec<(HeldMessage, bool)> = rows.collect::<rusqlite::Result<_>>()?;
    let next = found.last().filter(|_| found.len() == walk.most as usize).map(|(last, _)| last.id);
    let messages = found.into_iter().filter(|(_, fits)| *fits).map(|(message, _)| message).collect();
    Ok(HeldPortion { messages, next })
}

/// The content of a message; `None` when there is no such message.
pub(super) fn content(
    db: &Connection,
    queue_id: &QueueId,
    folder: &Path,
) -> rusqlite::Result<Option<Content>> {
    let sql = "SELECT data, size, in_file, checksum FROM message LEFT JOIN content ON message = id WHERE queue_id = ?1";
    let found = db.prepare_cached(sql)?.query_row([queue_id.as_str()], |row| {
        let (size, checksum) = (row.get::<_, i64>(1)?.unsigned_abs(), rows::checksum(row, 3)?);
        if row.get(2)? {
            return Ok(rows::in_file(folder, queue_id, size, checksum));
        }
        Ok(Content::found(row.get::<_, Option<Vec<u8>>>(0)?.unwrap_or_default(), size, checksum))
    });
    found.optional()
}

/// How the queue is, without a look at each message: all of them, and those that are sent or held, have tables or indexes that are
/// counted at one instant. What waits in each lane, and how many of that were tried, is known in memory, as of the last commit.
pub(super) fn figures(db: &Connection, loads: &Loads) -> rusqlite::Result<QueueFigures> {
    let sql = "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM lease), \
               (SELECT count(*) FROM message WHERE state = 2), (SELECT accepted FROM message ORDER BY id LIMIT 1)";
    let (all, sending, held, oldest) = db.prepare_cached(sql)?.query_row([], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok((number(0)?, number(1)?, number(2)?, row.get::<_, Option<i64>>(3)?))
    })?;
    let waiting = loads.all();
    let all_waiting = all.saturating_sub(sending + held);
    let deferred = waiting.iter().map(|(_, waiting)| waiting.tried).sum::<u64>().min(all_waiting);
    Ok(QueueFigures {
        counts: QueueCounts { ready: all_waiting - deferred, deferred, held, sending },
        oldest: oldest.map(Moment),
        waiting: waiting.into_iter().map(|(lane, waiting)| (lane, waiting.load)).collect(),
        totals: sums(db, "SELECT name, count FROM total")?,
    })
}

/// What test mode makes of the mail of clients. Tests and reports have indexes; the others are what is left of all.
pub(super) fn test_mode_counts(db: &Connection) -> rusqlite::Result<TestModeCounts> {
    const TESTS: &str =
        "message INDEXED BY message_test WHERE kind = 0 AND json_extract(decisions, '$.test') IS NOT NULL";
    const REPORTS: &str = "message INDEXED BY message_report WHERE kind <> 0";
    let sql = format!(
        "SELECT count(*), (SELECT count(*) FROM message WHERE state = {HELD}), \
         (SELECT count(*) FROM {REPORTS}), (SELECT count(*) FROM {REPORTS} AND state = {HELD}), \
         (SELECT count(*) FROM {TESTS}), (SELECT count(*) FROM {TESTS} AND state = {HELD}) FROM message"
    );
    db.prepare_cached(&sql)?.query_row([], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let (all, all_held) = (number(0)?, number(1)?);
        let (reports, reports_held) = (number(2)?, number(3)?);
        let (tests, tests_held) = (number(4)?, number(5)?);
        // An index that is damaged may have more than there is.
        let rest = |all: u64, parts: &[u64]| parts.iter().fold(all, |rest, part| rest.saturating_sub(*part));
        let outside_test_mode_held = rest(all_held, &[reports_held, tests_held]);
        Ok(TestModeCounts {
            outside_test_mode: rest(all, &[reports, tests, outside_test_mode_held]),
            outside_test_mode_held,
            tests: rest(tests, &[tests_held]),
            tests_held,
        })
    })
}

pub(super) fn totals(db: &Connection) -> rusqlite::Result<Totals> {
    // One statement, so that all figures are of the same instant.
    sums(
        db,
        "SELECT name, count FROM total UNION ALL SELECT 'queued', count(*) FROM recipient WHERE state = 0",
    )
}

fn sums(db: &Connection, sql: &str) -> rusqlite::Result<Totals> {
    let mut select = db.prepare_cached(sql)?;
    let mut totals = Totals::default();
    let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    for row in rows {
        let (name, count) = row?;
        let total = match name.as_str() {
            "accepted" => &mut totals.accepted,
            "generated" => &mut totals.generated,
            "sent" => &mut totals.sent,
            "bounced" => &mut totals.bounced,
            "expired" => &mut totals.expired,
            "dropped" => &mut totals.dropped,
            "captured" => &mut totals.captured,
            "deleted" => &mut totals.deleted,
            "queued" => &mut totals.queued,
            _ => continue,
        };
        *total = count.unsigned_abs();
    }
    Ok(totals)
}

fn conditions(filter: &ListFilter) -> (String, Vec<Value>) {
    let mut conditions = vec!["1".to_owned()];
    let mut values = Vec::new();
    if let Some(upstream) = &filter.upstream {
        // Its own lane, and those of its accounts that are bound to a sender.
        conditions.push("(route = ? OR (route > ? AND route < ?))".into());
        values.extend(["", "/", "0"].map(|end| Value::Text(format!("{upstream}{end}"))));
    }
    if let Some(state) = filter.state {
        conditions.push(match state {
            MessageState::Ready => format!("state = {WAITING} AND attempts = 0"),
            MessageState::Deferred => format!("state = {WAITING} AND attempts > 0"),
            MessageState::Held => format!("state = {HELD}"),
            MessageState::Sending => format!("state = {SENDING}"),
        });
    }
    if let Some(sender) = &filter.sender {
        conditions.push("(sender = ? OR address_key(reverse_path) = ?)".into());
        let key = Value::Text(AddressKey::of_text(sender).into());
        values.extend([key.clone(), key]);
    }
    if let Some(recipient) = &filter.recipient {
        conditions.push("EXISTS (SELECT 1 FROM recipient WHERE recipient.message = message.id AND address_key(address) = ?)".into());
        values.push(Value::Text(AddressKey::of_text(recipient).into()));
    }
    if let Some(MessageId(after)) = filter.after {
        conditions.push("id > ?".into());
        values.push(Value::Integer(after));
    }
    (conditions.join(" AND "), values)
}

fn summary(row: &Row<'_>) -> rusqlite::Result<(i64, i64, Summary)> {
    let summary = Summary {
        id: MessageId(row.get(0)?),
        queue_id: rows::queue_id(row, 1)?,
        state: match (row.get::<_, i64>(2)?, row.get::<_, u32>(3)?) {
            (SENDING, _) => MessageState::Sending,
            (HELD, _) => MessageState::Held,
            (_, 0) => MessageState::Ready,
            _ => MessageState::Deferred,
        },
        attempts: row.get(3)?,
        lane: rows::lane(row, 4)?,
        reverse_path: row.get(5)?,
        sender: row.get(6)?,
        recipients: Vec::new(),
        size: row.get::<_, i64>(7)?.unsigned_abs(),
        client: rows::client(row, 8)?,
        accepted_wall: row.get(12)?,
        due: Moment(row.get(13)?),
        decisions: rows::decisions(row, 14)?,
    };
    Ok((row.get(0)?, row.get(2)?, summary))
}

fn with_recipients(db: &Connection, row: (i64, i64, Summary)) -> rusqlite::Result<Summary> {
    let (id, state, mut summary) = row;
    let mut select = db.prepare_cached(
        "SELECT address, state, attempts, reply, doubts, due FROM recipient WHERE message = ?1 ORDER BY place",
    )?;
    let recipients = select.query_map([id], |row| {
        Ok(SummaryRecipient {
            address: row.get(0)?,
            state: match rows::recipient_state(row.get(1)?) {
                RecipientState::Waiting if state == SENDING => RecipientState::Sending,
                settled => settled,
            },
            attempts: row.get(2)?,
            reply: row.get(3)?,
            doubts: row.get(4)?,
            due: Moment(row.get(5)?),
        })
    })?;
    summary.recipients = recipients.collect::<rusqlite::Result<_>>()?;
    Ok(summary)
}
