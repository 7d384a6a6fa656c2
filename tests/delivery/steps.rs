//! Step by step: each recipient's reply is known before the content is sent.

use mailsluice::content::SplitContent;
use mailsluice::mail::{Address, Body, ReversePath};
use mailsluice::upstream::{Connection, Requests, Stage, Steps, Transaction};

use super::support::upstream::{Act, Script, Step};
use super::{connected, recipients, send, verdicts};

fn transaction<'a>(recipients: &'a [Address], content: &'a SplitContent) -> Transaction<'a> {
    Transaction {
        reverse_path: &ReversePath::Null,
        recipients,
        body: Body::EightBitMime,
        smtputf8: false,
        content,
        requests: Requests::default(),
    }
}

fn content(octets: &[u8]) -> SplitContent {
    SplitContent::memory(octets.to_vec())
}

/// Asks for the recipients one after the other; a letter says what became of each.
async fn ask(connection: &mut Connection, steps: &mut Steps, all: &[Address]) -> String {
    let mut told = String::new();
    for known in 1..=all.len() {
        let answers = connection.ask(steps, &transaction(&all[..known], &content(b""))).await;
        let [answer] = answers else { panic!("{answers:?}") };
        told.push(if answer.is_none() { '+' } else { '-' });
    }
    told
}

#[tokio::test(start_paused = true)]
async fn one_by_one_and_then_the_content() {
    for script in [Script::default(), Script::default().without("PIPELINING")] {
        let script = script.with(Step::Rcpt(1), Act::reply(550, "5.1.1 no"));
        let (upstream, mut connection) = connected(script).await;
        let all = recipients(3);
        let mut steps = connection.begin(&transaction(&[], &content(b""))).await.unwrap();
        assert_eq!(upstream.commands_of("MAIL"), ["MAIL FROM:<> BODY=8BITMIME"]);
        assert_eq!(ask(&mut connection, &mut steps, &all).await, "+-+");
        assert!(upstream.commands_of("DATA").is_empty());
        let result = connection.finish(steps, &transaction(&all, &content(b"hello"))).await.unwrap();
        assert_eq!(verdicts(&result), "SBS");
        assert_eq!(upstream.messages()[0].recipients, ["r0@dest.example", "r2@dest.example"]);
        assert!(connection.is_reusable());
        assert_eq!(verdicts(&send(&mut connection, &recipients(1), b"next").await), "S");
        assert!(upstream.commands_of("RSET").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn all_at_once_before_the_content() {
    let (upstream, mut connection) =
        connected(Script::default().with(Step::Rcpt(1), Act::reply(450, "busy"))).await;
    let all = recipients(3);
    let mut steps = connection.begin(&transaction(&all, &content(b"hello"))).await.unwrap();
    let answers = connection.ask(&mut steps, &transaction(&all, &content(b"hello"))).await;
    assert_eq!(answers.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    connection.reset().await.unwrap();
    assert!(upstream.messages().is_empty() && connection.is_reusable());
    assert_eq!(upstream.commands_of("MAIL"), ["MAIL FROM:<> SIZE=5 BODY=8BITMIME"]);
}

#[tokio::test(start_paused = true)]
async fn more_than_it_takes_are_told_so() {
    let (_, mut connection) = connected(Script::default().offering("LIMITS RCPTMAX=2")).await;
    let all = recipients(3);
    let mut steps = connection.begin(&transaction(&[], &content(b""))).await.unwrap();
    assert_eq!(ask(&mut connection, &mut steps, &all).await, "++-");
    assert_eq!(verdicts(&connection.finish(steps, &transaction(&all, &content(b"x"))).await.unwrap()), "SSL");
}

#[tokio::test(start_paused = true)]
async fn a_refused_sender_and_a_line_that_breaks() {
    let (_, mut connection) =
        connected(Script::default().with(Step::Mail, Act::reply(550, "5.7.1 not you"))).await;
    let refused = connection.begin(&transaction(&[], &content(b""))).await.err().unwrap();
    assert_eq!((refused.stage, refused.to_string().as_str()), (Stage::Mail, "550 5.7.1 not you"));
    assert!(connection.is_reusable());

    for (step, want) in [(Step::Rcpt(1), "+-"), (Step::Data, "++")] {
        let (upstream, mut connection) = connected(Script::default().with(step, Act::Drop)).await;
        let all = recipients(2);
        let mut steps = connection.begin(&transaction(&[], &content(b""))).await.unwrap();
        assert_eq!(ask(&mut connection, &mut steps, &all).await, want);
        assert_eq!(
            verdicts(&connection.finish(steps, &transaction(&all, &content(b"x"))).await.unwrap()),
            "DD"
        );
        assert!(upstream.messages().is_empty() && !connection.is_reusable());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_without_a_recipient() {
    let (upstream, mut connection) =
        connected(Script::default().with(Step::AnyRcpt, Act::reply(550, "no"))).await;
    let all = recipients(2);
    let mut steps = connection.begin(&transaction(&[], &content(b""))).await.unwrap();
    assert_eq!(ask(&mut connection, &mut steps, &all).await, "--");
    assert_eq!(verdicts(&connection.finish(steps, &transaction(&all, &content(b"x"))).await.unwrap()), "BB");
    assert!(upstream.commands_of("DATA").is_empty() && connection.is_reusable());
}
