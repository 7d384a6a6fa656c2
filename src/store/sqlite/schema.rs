//! The tables, and how an older store becomes this version's.

use std::time::Duration;

use rusqlite::Connection;

use super::{StoreError, database};

/// How long a connection waits for another's lock.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// One step for each version; the first makes the tables. A step that has been released is never changed.
const STEPS: [&str; 5] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_standing.sql"),
    include_str!("schema_fair.sql"),
    include_str!("schema_permit.sql"),
];

/// Sets the connection up and migrates the store.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    configure(connection).map_err(database)?;
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    let known = STEPS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, step) in (1..).zip(STEPS).skip(found.unsigned_abs() as usize) {
        migrate(connection, version, step).map_err(database)?;
    }
    Ok(())
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection, version: i64, step: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{
        Address, EnvelopeId, MessageRequest, Notify, OriginalRecipient, QueueId, RecipientRequest, Return,
        ReversePath,
    };
    use crate::store::sqlite::{SqliteStore, Threading};
    use crate::store::{
        Claim, ClientInfo, MessageKind, NewMessage, NewRecipient, Priority, Store, StoredContent,
    };
    use crate::time::Moment;

    fn message(recipients: Vec<NewRecipient>, request: MessageRequest) -> NewMessage {
        NewMessage {
            queue_id: QueueId::new(7, 7),
            kind: MessageKind::Submitted,
            priority: Priority::asked(request.priority),
            route: "u".into(),
            accepted: Moment(1),
            accepted_wall: 1,
            limit_wait: 0,
            reverse_path: ReversePath::Null,
            sender: String::new(),
            body: crate::mail::Body::SevenBit,
            smtputf8: false,
            request,
            client: ClientInfo::default(),
            test: None,
            held: false,
            recipients,
            content: StoredContent::Inline(b"new".to_vec()),
        }
    }

    fn claim() -> Claim {
        Claim {
            route: "u".into(),
            upstream: "u".into(),
            account: String::new(),
            now: Moment(1_000_000),
            lease_until: Moment(2_000_000),
            messages: 10,
            recipients: 100,
            recipients_per_message: 100,
        }
    }

    #[tokio::test]
    async fn a_store_of_the_first_version_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut old = Connection::open(dir.path().join("queue.db")).unwrap();
        configure(&old).unwrap();
        migrate(&mut old, 1, STEPS[0]).unwrap();
        old.execute_batch(
            "INSERT INTO message (id, queue_id, kind, priority, state, route, due, age_base, waiting, accepted, \
             accepted_wall, reverse_path, sender, body, smtputf8, client, helo, listener, size, in_file) VALUES \
             (5, '00000000000000AB', 0, 2, 0, 'u', 3, 3, 2, 3, 3, 'a@firm.example', 'a@firm.example', 1, 0, \
             '127.0.0.1', 'x', 'l', 3, 0); \
             INSERT INTO recipient (message, place, address, state, attempts, reply) VALUES \
             (5, 0, 'x@there.example', 0, 2, '450 busy'), (5, 1, 'y@there.example', 0, 2, ''); \
             INSERT INTO content (message, data) VALUES (5, x'6f6c64'); \
             UPDATE total SET count = 2 WHERE name = 'accepted';",
        )
        .unwrap();
        drop(old);
        for _ in 0..2 {
            let store = SqliteStore::open(dir.path(), 10, Threading::Caller).unwrap();
            assert_eq!(store.queue_length(), 1);
            let totals = store.totals().await.unwrap();
            assert_eq!((totals.accepted, totals.queued), (2, 2));
        }
        let store = SqliteStore::open(dir.path(), 10, Threading::Caller).unwrap();
        let [old] = store.claim(claim()).await.unwrap().messages.try_into().unwrap();
        assert_eq!(old.content, crate::store::Content::Inline(b"old".to_vec()));
        assert_eq!(old.request, MessageRequest::default());
        assert_eq!(old.reverse_path.as_str(), "a@firm.example");
        let attempts: Vec<_> =
            old.recipients.iter().map(|r| (r.address.as_str(), r.attempts, r.request.clone())).collect();
        let nothing = RecipientRequest::default();
        assert_eq!(attempts, [("x@there.example", 2, nothing.clone()), ("y@there.example", 2, nothing)]);
        assert_eq!(old.recipients[0].last_reply, "450 busy");
    }

    #[tokio::test]
    async fn what_was_queued_by_the_second_version_takes_turns() {
        let dir = tempfile::tempdir().unwrap();
        let mut old = Connection::open(dir.path().join("queue.db")).unwrap();
        configure(&old).unwrap();
        migrate(&mut old, 1, STEPS[0]).unwrap();
        migrate(&mut old, 2, STEPS[1]).unwrap();
        for (id, user, client, waiting) in [
            (1, "'Ann'", "192.0.2.1", 2),
            (2, "'ann'", "192.0.2.2", 1),
            (3, "NULL", "192.0.2.1", 1),
            (4, "''", "192.0.2.1", 1),
        ] {
            let sql = format!(
                "INSERT INTO message (id, queue_id, kind, priority, state, route, due, age_base, waiting, accepted, \
                 accepted_wall, reverse_path, sender, body, smtputf8, client, helo, user, listener, size, in_file) \
                 VALUES ({id}, '00000000000000A{id}', 0, 2, 0, 'u', {id}, 3, {waiting}, 3, 3, 'a@firm.example', \
                 'a@firm.example', 1, 0, '{client}', 'x', {user}, 'l', 3, 0); \
                 INSERT INTO recipient (message, place, address, state) VALUES ({id}, 0, 'x@there.example', 0);"
            );
            old.execute_batch(&sql).unwrap();
        }
        drop(old);
        let store = SqliteStore::open(dir.path(), 10, Threading::Caller).unwrap();
        let load = store.lane_load("u");
        assert_eq!((load.messages, load.recipients), (4, 5));
        let claimed = store.claim(claim()).await.unwrap().messages;
        let order: Vec<_> = claimed.iter().map(|message| message.id.0).collect();
        assert_eq!(order, [1, 3, 2, 4], "the user ann and the client take turns");
    }

    #[tokio::test]
    async fn what_was_asked_for_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let notifies = [None, Some("NEVER"), Some("SUCCESS"), Some("FAILURE"), Some("SUCCESS,DELAY")];
        let recipients = notifies.iter().map(|notify| NewRecipient {
            address: Address::parse("x@there.example").unwrap(),
            dropped: false,
            request: RecipientRequest {
                notify: notify.and_then(Notify::parse),
                original: notify.and_then(|_| OriginalRecipient::parse("rfc822;a+2Bb@c+20d")),
            },
        });
        let recipients: Vec<_> = recipients.collect();
        let request = MessageRequest {
            ret: Some(Return::Headers),
            envelope_id: EnvelopeId::parse("a+20b"),
            priority: Some(-9),
        };
        let message = message(recipients.clone(), request.clone());
        assert_eq!(message.priority, Priority::Low);
        let store = SqliteStore::open(dir.path(), 10, Threading::Caller).unwrap();
        store.enqueue(message).await.unwrap();
        let [queued] = store.claim(claim()).await.unwrap().messages.try_into().unwrap();
        assert_eq!(queued.request, request);
        let got: Vec<_> = queued.recipients.into_iter().map(|recipient| recipient.request).collect();
        assert_eq!(got, recipients.into_iter().map(|recipient| recipient.request).collect::<Vec<_>>());
    }
}
