//! Whose a content is: the caller's until the store has taken the message, then the store's.

use super::*;
use std::fs::File;

use crate::store::{ContentError, CopyEnd, NewSentCopy, NextCopy, SentCopies as _};

fn files(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join("content")).unwrap().count()
}

/// A message whose content, `abc`, is in a file.
async fn large(store: &SqliteStore, n: u32) -> NewMessage {
    let message = message(n, &["a@b"]);
    NewMessage { content: uploaded(store, &message.queue_id).await, ..message }
}

#[tokio::test]
async fn a_file_goes_with_a_message_that_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), 1, Threading::Writer, Arc::new(Hands::at(10))).unwrap();
    drop(large(&store, 1).await);
    assert_eq!(files(&dir), 0, "never handed in");
    let mut nobody = large(&store, 2).await;
    nobody.recipients[0].dropped = true;
    store.enqueue(nobody).await.unwrap();
    assert_eq!(files(&dir), 0, "it has nobody to go to");
    store.enqueue(large(&store, 3).await).await.unwrap();
    assert_eq!(files(&dir), 1);
    assert!(matches!(store.enqueue(large(&store, 4).await).await, Err(EnqueueError::Full { .. })));
    assert_eq!(files(&dir), 1, "the queue is full");
    assert!(store.delete(QueueId::new(1_003, 3)).await.unwrap().is_some());
    assert_eq!(files(&dir), 0);
    let taken = large(&store, 5).await;
    store.enqueue(taken.clone()).await.unwrap();
    drop(taken);
    assert_eq!(files(&dir), 1, "the store answers for it, whoever else has seen it");
}

#[tokio::test]
async fn a_file_stays_where_nobody_knows_whether_the_message_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::at(10));
    // A child without its parent is found at the commit alone, which stands in for a sync that fails.
    // Foreign keys are looked at only where that was switched on, which can't be done within a transaction.
    let fault = "RELEASE one; COMMIT; PRAGMA foreign_keys = ON; BEGIN IMMEDIATE; SAVEPOINT one;
        CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER fault AFTER INSERT ON message BEGIN INSERT INTO child VALUES (1); END;";
    store.write(|db| db.execute_batch(fault)).await.unwrap();
    let error = store.enqueue(large(&store, 1).await).await.unwrap_err();
    assert!(matches!(error, EnqueueError::Store(StoreError::InDoubt(_))), "{error:?}");
    assert_eq!(files(&dir), 1);
    let error = store.enqueue(large(&store, 2).await).await.unwrap_err();
    assert!(matches!(error, EnqueueError::Store(StoreError::Broken(_))), "{error:?}");
    assert_eq!(files(&dir), 1, "until a checkpoint has been synced nothing is written");
    drop(store);
    let orphans = open(dir.path(), &Hands::at(10)).recover(DoubtPauses::default()).await.unwrap().orphans;
    assert_eq!((orphans.aside, orphans.removed, files(&dir)), (vec![message_id(1)], 0, 0), "the start knows");
}

#[tokio::test]
async fn who_gives_up_waiting_for_the_commit_takes_nothing_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::at(10));
    let message = large(&store, 1).await;
    tokio::select! {
        biased;
        _ = store.enqueue(message) => panic!("it waits for the writer"),
        () = std::future::ready(()) => {}
    }
    // Writes come in order, so that this one ends behind it.
    store.prune().await.unwrap();
    assert_eq!((store.queue_figures().await.unwrap().counts.ready, files(&dir)), (1, 1));
}

#[tokio::test]
async fn a_cut_content_is_never_taken_for_the_message() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::at(10));
    let in_file = large(&store, 1).await;
    let path = dir.path().join("content").join(in_file.queue_id.as_str());
    store.enqueue(in_file).await.unwrap();
    store.enqueue(message(2, &["a@b"])).await.unwrap();
    File::options().write(true).open(&path).unwrap().set_len(2).unwrap();
    store.write(|db| db.execute("UPDATE content SET data = x''", [])).await.unwrap();
    let claimed = claim(&store, 2).await;
    for (leased, want) in claimed.iter().zip([(2, 3), (0, 14)]) {
        let message = &leased.message;
        match message.content.read().await {
            Err(ContentError::Cut { found, len, .. }) => assert_eq!((found, len), want),
            other => panic!("{want:?}: {other:?}"),
        }
        assert!(store.content(message.queue_id.clone()).await.is_err());
    }
    assert_eq!(claimed[0].message.content.beginning(9).await.unwrap(), b"ab");
    drop(claimed);
    assert!(path.exists(), "what a claim returns owns nothing");
    store.write(|db| db.execute("DELETE FROM content", [])).await.unwrap();
    assert!(store.content(QueueId::new(1_002, 2)).await.is_err(), "a content that is gone");
}

#[tokio::test]
async fn a_copy_has_a_file_of_its_own_until_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Hands::at(10);
    let store = open(dir.path(), &clock);
    store.enqueue(large(&store, 1).await).await.unwrap();
    let [leased] = claim(&store, 1).await.try_into().unwrap();
    let content = uploaded(&store, &message_id(2)).await;
    let copy = NewSentCopy { copy_id: message_id(2), queue_id: message_id(1), account: account(), content };
    let deliveries = vec![delivery(0, RecipientState::Sent)];
    store.settle(Settlement { copy: Some(copy), ..settlement(leased.lease, deliveries) }).await.unwrap();
    assert_eq!(files(&dir), 1, "the message has left with its own");
    drop(store);
    let store = open(dir.path(), &clock);
    assert_eq!(
        store.recover(DoubtPauses::default()).await.unwrap().orphans.aside,
        [],
        "the start knows whose it is"
    );
    let NextCopy::Due(copy) = store.next_copy(account()).await.unwrap() else { panic!() };
    assert_eq!(copy.content.read().await.unwrap(), b"abc");
    store.end_copy(copy.id, CopyEnd::Over).await.unwrap();
    assert_eq!(files(&dir), 0);
    // As if the process had died between the commit and the removal.
    drop(File::create(dir.path().join("content").join(message_id(2).as_str())).unwrap());
    assert_eq!(store.recover(DoubtPauses::default()).await.unwrap().orphans.removed, 1);
}
