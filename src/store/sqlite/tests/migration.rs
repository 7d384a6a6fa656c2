//! Stores of older versions go on.

use super::super::schema;
use super::*;
use crate::mail::{AddressKey, EnvelopeId, Notify, OriginalRecipient, Return};
use crate::store::{
    GrantChange, LaneSender, ListingRule, MailboxFailure, MailboxFindings, NewGrant, NewSentCopy,
    SentCopies as _, SignInStore as _, StoredToken,
};

/// A store as version `version` left it.
fn old(dir: &Path, version: usize) -> Connection {
    let mut db = Connection::open(dir.join("queue.db")).unwrap();
    schema::prepare_as(&mut db, version).unwrap();
    db
}

const COLUMNS: &str = "queue_id, kind, priority, state, route, due, age_base, waiting, accepted, accepted_wall, \
    reverse_path, sender, body, smtputf8, client, helo, listener, size, in_file";

#[tokio::test]
async fn a_store_of_the_first_version_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    old(dir.path(), 1)
        .execute_batch(&format!(
            "INSERT INTO message (id, {COLUMNS}) VALUES \
             (5, '00000000000000AB', 0, 2, 0, 'u', 3, 3, 2, 3, 3, 'a@firm.example', 'a@firm.example', 1, 0, \
             '127.0.0.1', 'x', 'l', 3, 0); \
             INSERT INTO recipient (message, place, address, state, attempts, reply) VALUES \
             (5, 0, 'x@there.example', 0, 2, '450 busy'), (5, 1, 'y@there.example', 0, 2, ''); \
             INSERT INTO content (message, data) VALUES (5, x'6f6c64'); \
             UPDATE total SET count = 2 WHERE name = 'accepted';"
        ))
        .unwrap();
    for _ in 0..2 {
        let store = caller(dir.path(), &Hands::at(1_000));
        assert_eq!(store.queue_length(), 1);
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.accepted, totals.queued), (2, 2));
    }
    let store = caller(dir.path(), &Hands::at(1_000));
    let [old] = claim(&store, 10).await.try_into().unwrap();
    assert_eq!(old.message.content, Content::memory(b"old".to_vec()));
    assert_eq!(old.message.request, MessageRequest::default());
    assert_eq!(old.message.reverse_path.as_str(), "a@firm.example");
    let recipients = old.message.recipients.iter();
    let attempts: Vec<_> = recipients.map(|r| (r.address.as_str(), r.attempts, r.request.clone())).collect();
    let nothing = RecipientRequest::default();
    assert_eq!(attempts, [("x@there.example", 2, nothing.clone()), ("y@there.example", 2, nothing)]);
    assert_eq!(old.message.recipients[0].last_reply, "450 busy");
}

#[tokio::test]
async fn what_was_queued_by_the_second_version_takes_turns() {
    let dir = tempfile::tempdir().unwrap();
    let db = old(dir.path(), 2);
    for (id, user, client, waiting) in [
        (1, "'Ann'", "192.0.2.1", 2),
        (2, "'ann'", "192.0.2.2", 1),
        (3, "NULL", "192.0.2.1", 1),
        (4, "''", "192.0.2.1", 1),
    ] {
        db.execute_batch(&format!(
            "INSERT INTO message (id, user, {COLUMNS}) \
             VALUES ({id}, {user}, '00000000000000A{id}', 0, 2, 0, 'u', {id}, 3, {waiting}, 3, 3, 'a@firm.example', \
             'a@firm.example', 1, 0, '{client}', 'x', 'l', 3, 0); \
             INSERT INTO recipient (message, place, address, state) VALUES ({id}, 0, 'x@there.example', 0);"
        ))
        .unwrap();
    }
    drop(db);
    let store = caller(dir.path(), &Hands::at(1_000));
    let load = store.lane_load(&lane());
    assert_eq!((load.messages, load.recipients), (4, 5));
    let order: Vec<_> = claim(&store, 10).await.iter().map(|leased| leased.lease.id.0).collect();
    assert_eq!(order, [1, 3, 2, 4], "the user ann and the client take turns");
}

#[tokio::test]
async fn what_the_fifth_version_decided_counted_and_held_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let db = old(dir.path(), 5);
    for (id, state, action, address) in [
        (1, 1, "NULL", "NULL"),
        (2, 2, "1", "'t@firm.example'"),
        (3, 0, "0", "'t@firm.example'"),
        (4, 0, "2", "NULL"),
    ] {
        db.execute_batch(&format!(
            "INSERT INTO message (id, test_action, test_address, {COLUMNS}) \
             VALUES ({id}, {action}, {address}, '00000000000000A{id}', 0, 2, {state}, 'u', {id}, {id}, 1, 3, 3, '', \
             '', 1, 0, '127.0.0.1', 'x', 'l', 3, 0); \
             INSERT INTO recipient (message, place, address, state) VALUES ({id}, 0, 'x@there.example', 0);"
        ))
        .unwrap();
    }
    db.execute_batch(
        "INSERT INTO lease (message, upstream, account, recipients, expires) VALUES (1, 'u', 'acc', 3, 9); \
         INSERT INTO lease (message, upstream, account, recipients, expires) VALUES (9, 'u', 'acc', 0, 9); \
         INSERT INTO permit (upstream, account, recipients) VALUES ('u', 'acc', 5); \
         INSERT INTO usage (upstream, account, window, slot, messages, recipients) VALUES ('u', 'acc', 2, 0, 7, 8); \
         INSERT INTO standing (upstream, account, kind, until, reason) VALUES ('u', '*', 2, NULL, 'by hand'); \
         INSERT INTO blacklist (pattern, reason, source, added) VALUES ('x@bad.example', 'r', 0, 3); \
         INSERT INTO limit_wait (route, millis) VALUES ('u', 77); \
         INSERT INTO switch (name, value) VALUES ('anchor', '5000 4000 test');",
    )
    .unwrap();
    drop(db);
    let clock = Hands::at(6_000);
    let store = caller(dir.path(), &clock);
    assert_eq!(store.timeline().now(), Moment(7_000));
    assert_eq!(used(&store, Window::DAY).await, (9, 16), "what was under way counts, too");
    assert_eq!(store.cut_off(DoubtPauses::default()).await.unwrap().len(), 1);
    assert_eq!(store.recover(DoubtPauses::default()).await.unwrap().messages, 4);
    assert_eq!(used(&store, Window::DAY).await, (9, 16));
    let suspension = store.suspensions().await.unwrap().remove(0);
    assert_eq!((suspension.kind, suspension.until), (SuspensionKind::Disabled, None));
    assert!(store.blacklisted(&[address("x@bad.example")]).await.unwrap()[0].is_some());
    assert_eq!(store.limit_waits().await.unwrap(), [(lane(), Duration::from_millis(77))]);
    let listed = store.list(ListFilter { limit: 9, ..ListFilter::default() }).await.unwrap();
    let tests: Vec<_> = listed.into_iter().map(|summary| summary.decisions.test).collect();
    let test = |action, address: Option<&str>| {
        Some(TestTreatment { action, address: address.map(|text| Address::parse(text).unwrap()) })
    };
    let to = Some("t@firm.example");
    let want =
        [None, test(TestAction::Hold, to), test(TestAction::Redirect, to), test(TestAction::Capture, None)];
    assert_eq!(tests, want);
    assert_eq!(claim(&store, 9).await.len(), 3);
}

#[tokio::test]
async fn recipients_of_the_sixth_version_are_due_with_their_message() {
    let dir = tempfile::tempdir().unwrap();
    let db = old(dir.path(), 6);
    db.execute_batch(&format!(
        "INSERT INTO message (id, {COLUMNS}) VALUES (1, '00000000000000A1', 0, 2, 0, 'u', 5000, 1, 2, 3, 3, '', '', 1, 0, \
         '127.0.0.1', 'x', 'l', 3, 0); \
         INSERT INTO recipient (message, place, address, state) VALUES \
         (1, 0, 'x@there.example', 0), (1, 1, 'y@there.example', 1), (1, 2, 'z@there.example', 0); \
         INSERT INTO standing (upstream, account, kind, until, reason) VALUES ('u', 'a', 0, 9000, 'busy');"
    ))
    .unwrap();
    drop(db);
    let clock = Hands::at(4_999);
    let store = caller(dir.path(), &clock);
    assert_eq!(store.suspensions().await.unwrap()[0].login, None);
    assert_eq!(store.claim(ask(9)).await.unwrap(), Claimed::Empty { next_due: Some(Moment(5_000)) });
    clock.set(5_000);
    let [claimed] = claim(&store, 9).await.try_into().unwrap();
    let recipients: Vec<_> = claimed.message.recipients.iter().map(|r| (r.index, r.doubts)).collect();
    assert_eq!(recipients, [(0, 0), (2, 0)]);
    let deliveries = vec![
        Delivery { again_in: Some(Duration::from_millis(7)), ..delivery(0, RecipientState::Waiting) },
        delivery(2, RecipientState::Waiting),
    ];
    store.settle(settlement(claimed.lease, deliveries)).await.unwrap();
    assert_eq!(store.next_due(&lane()).await.unwrap(), Some(Moment(5_007)));
}

#[tokio::test]
async fn what_earlier_versions_stored_by_other_spellings_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let db = old(dir.path(), 7);
    for (id, route, sender) in [(1, "u/ann@müller.test", "ann@müller.test"), (2, "u", "bob@firm.example")] {
        db.execute_batch(&format!(
            "INSERT INTO message (id, submitter, {COLUMNS}) VALUES ({id}, 'c', '00000000000000A{id}', 0, 2, 0, '{route}', \
             5, 5, 1, 5, 5, '{sender}', '{sender}', 1, 0, '127.0.0.1', 'x', 'l', 3, 0); \
             INSERT INTO recipient (message, place, address, state) VALUES ({id}, 0, '\"Eve\"@Müller.test', 0);"
        ))
        .unwrap();
    }
    db.execute_batch(
        "INSERT INTO limit_wait (route, millis) VALUES ('u/ann@müller.test', 77), ('u', 5), \
         ('u/ann@xn--mller-kva.test', 33); \
         INSERT INTO blacklist (pattern, reason, source, added, expires) VALUES \
         ('@müller.test', 'by hand', 0, 3, NULL), ('@xn--mller-kva.test', 'bounced', 1, 4, 900000), \
         ('\"x\"@firm.example', 'short', 1, 5, 500000), ('x@firm.example', 'long', 1, 6, 900000), \
         ('*.müller.test', 'alone', 0, 7, NULL), ('z@firm.example', 'as it was', 0, 8, NULL);",
    )
    .unwrap();
    drop(db);
    let store = caller(dir.path(), &Hands::at(1_000));
    let bound = LaneName::bound("u", &AddressKey::of_text("ann@müller.test"));
    let in_use = store.lanes_in_use().await.unwrap();
    let wanted = LaneSender { lane: bound.clone(), sender: "ann@xn--mller-kva.test".into() };
    assert!(in_use.contains(&wanted), "{in_use:?}");
    assert_eq!(in_use.len(), 2);
    assert_eq!(store.lane_load(&bound).messages, 1);
    let mut waits = store.limit_waits().await.unwrap();
    waits.sort();
    assert_eq!(waits, [(lane(), Duration::from_millis(5)), (bound, Duration::from_millis(77))]);
    let listed: Vec<_> = store
        .blacklist_page(BlacklistFilter::default())
        .await
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| (entry.pattern, entry.reason))
        .collect();
    let want = [
        ("*.xn--mller-kva.test", "alone"),
        ("@xn--mller-kva.test", "by hand"),
        ("x@firm.example", "long"),
        ("z@firm.example", "as it was"),
    ];
    assert_eq!(listed, want.map(|(pattern, reason)| (pattern.to_owned(), reason.to_owned())));
    for (sender, recipient, messages) in [
        (Some("Ann@Müller.test"), None, 1),
        (Some("ann@xn--mller-kva.test"), None, 1),
        (None, Some("eve@xn--mller-kva.test"), 2),
        (None, Some("\"EVE\"@MÜLLER.test"), 2),
        (Some("eve@müller.test"), None, 0),
    ] {
        let filter = ListFilter {
            sender: sender.map(str::to_owned),
            recipient: recipient.map(str::to_owned),
            limit: 9,
            ..ListFilter::default()
        };
        assert_eq!(store.list(filter).await.unwrap().len(), messages, "{sender:?} {recipient:?}");
    }
}

#[tokio::test]
async fn what_was_asked_for_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let notifies = [None, Some("NEVER"), Some("SUCCESS"), Some("FAILURE"), Some("SUCCESS,DELAY")];
    let recipients = notifies.iter().map(|notify| NewRecipient {
        address: address("x@there.example"),
        dropped: false,
        copy: false,
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
    let priority = Priority::asked(request.priority);
    assert_eq!(priority, Priority::Low);
    let to = Recipients::new(recipients.clone()).unwrap();
    let new = NewMessage { recipients: to, request: request.clone(), priority, ..message(1, &["a@b"]) };
    let store = caller(dir.path(), &Hands::at(1_000));
    store.enqueue(new).await.unwrap();
    let [queued] = claim(&store, 10).await.try_into().unwrap();
    assert_eq!(queued.message.request, request);
    let got: Vec<_> = queued.message.recipients.into_iter().map(|recipient| recipient.request).collect();
    assert_eq!(got, recipients.into_iter().map(|recipient| recipient.request).collect::<Vec<_>>());
}

#[tokio::test]
async fn contents_of_the_seventh_version_have_no_checksum_and_failures_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let db = old(dir.path(), 7);
    db.execute_batch(&format!(
        "INSERT INTO message (id, {COLUMNS}) VALUES (1, '00000000000000A1', 0, 2, 0, 'u', 3, 1, 2, 3, 3, '', '', 1, 0, \
         '127.0.0.1', 'x', 'l', 3, 0); \
         INSERT INTO recipient (message, place, address, state) VALUES (1, 0, 'x@there.example', 0); \
         INSERT INTO content (message, data) VALUES (1, x'6f6c64'); \
         INSERT INTO hard_bounce (address, count) VALUES ('x@there.example', 1); \
         INSERT INTO blacklist (pattern, reason, source, added) VALUES ('y@there.example', '550 5.1.1', 1, 3);"
    ))
    .unwrap();
    drop(db);
    let store = caller(dir.path(), &Hands::at(100));
    assert_eq!(store.content(QueueId::parse("00000000000000A1").unwrap()).await.unwrap().unwrap(), b"old");
    let rule = ListingRule { after: 2, lasts: None };
    let failure = MailboxFailure { address: "x@there.example".into(), reply: "550 5.1.1".into(), rule };
    assert_eq!(store.mailboxes_failed(vec![failure]).await.unwrap(), MailboxFindings::default());
    assert!(store.blacklisted(&[address("y@there.example")]).await.unwrap()[0].is_some());
}

/// The same with a message in it, whose content is `old`.
fn old_with_message(folder: &Path, version: usize) -> Connection {
    let db = old(folder, version);
    db.execute_batch(&format!(
        "INSERT INTO message (id, submitter, {COLUMNS}) VALUES (1, 'c', '00000000000000A1', 0, 2, 0, 'u', 3, 1, 2, 3, 3, \
         'a@firm.example', 'a@firm.example', 1, 0, '127.0.0.1', 'x', 'l', 3, 0); \
         INSERT INTO recipient (message, place, address, state) VALUES (1, 0, 'x@there.example', 0); \
         INSERT INTO content (message, data) VALUES (1, x'6f6c64');"
    ))
    .unwrap();
    db
}

#[tokio::test]
async fn a_store_of_the_ninth_version_keeps_its_mail_and_takes_sign_ins() {
    let dir = tempfile::tempdir().unwrap();
    let db = old_with_message(dir.path(), 9);
    drop(db);
    let grant = NewGrant {
        sign_in: "m365".into(),
        client: "c".into(),
        token: StoredToken(b"\0one".to_vec()),
        change: GrantChange::SignedIn { account: None },
    };
    let store = caller(dir.path(), &Hands::at(100));
    assert_eq!(store.grants().await.unwrap(), []);
    let saved = store.save_grant(grant).await.unwrap();
    drop(store);
    let store = caller(dir.path(), &Hands::at(200));
    assert_eq!(store.grants().await.unwrap(), [saved]);
    let [kept] = claim(&store, 9).await.try_into().unwrap();
    assert_eq!(kept.message.content, Content::memory(b"old".to_vec()));
}

#[tokio::test]
async fn a_store_of_the_tenth_version_keeps_its_mail_and_takes_copies() {
    let dir = tempfile::tempdir().unwrap();
    let db = old_with_message(dir.path(), 10);
    let sign_in =
        "INSERT INTO sign_in (name, client, token, granted, renewed) VALUES ('m365', 'c', x'00', 3, 3)";
    db.execute_batch(sign_in).unwrap();
    drop(db);
    let store = caller(dir.path(), &Hands::at(100));
    assert_eq!(store.grants().await.unwrap().len(), 1);
    assert_eq!(store.waiting_copies().await.unwrap(), []);
    let [kept] = claim(&store, 9).await.try_into().unwrap();
    assert_eq!((kept.copied, &kept.message.content), (false, &Content::memory(b"old".to_vec())));
    let queue_id = kept.message.queue_id.clone();
    let content = Content::memory(b"new".to_vec());
    let copy = Some(NewSentCopy { copy_id: message_id(9), queue_id, account: account(), content });
    let deliveries = vec![delivery(0, RecipientState::Sent)];
    store.settle(Settlement { copy, ..settlement(kept.lease, deliveries) }).await.unwrap();
    drop(store);
    let store = caller(dir.path(), &Hands::at(200));
    assert_eq!(store.waiting_copies().await.unwrap()[0].copies, 1);
}
