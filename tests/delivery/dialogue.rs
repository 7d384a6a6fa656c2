//! The dialogue in detail: what goes over the wire, and how a connection is used again.

use std::time::Duration;

use mailsluice::config::{Auth, ClientTls, Security, Smtp};
use mailsluice::content::SplitContent;
use mailsluice::mail::{Body, ReversePath};
use mailsluice::oauth::TokenUser;
use mailsluice::smtp::InstanceId;
use mailsluice::upstream::{
    Connector, Credentials, DialogueFault, Requests, Stage, TcpDial, Transaction, blacklist_candidate,
};
use proptest::prelude::*;
use tokio::time::Instant;

use super::support::upstream::{Act, Authority, Script, Step, Upstream, UpstreamDial};
use super::{TIMEOUTS, address, anna, connected, open, recipients, send, smtp, verdicts};

#[tokio::test(start_paused = true)]
async fn parameters_only_where_offered() {
    let envelope = (ReversePath::Null, [address("r@dest.example")]);
    for (script, want) in [
        (Script::default(), "MAIL FROM:<> SIZE=5 BODY=8BITMIME SMTPUTF8"),
        (Script::default().without("SIZE"), "MAIL FROM:<> BODY=8BITMIME SMTPUTF8"),
        (Script::default().without("8BITMIME"), "MAIL FROM:<> SIZE=5 SMTPUTF8"),
        (Script::default().without("SMTPUTF8"), "MAIL FROM:<> SIZE=5 BODY=8BITMIME"),
        (Script::default().with(Step::Ehlo, Act::reply(502, "what?")), "MAIL FROM:<>"),
    ] {
        let (upstream, mut connection) = connected(script).await;
        let transaction = Transaction {
            reverse_path: &envelope.0,
            recipients: &envelope.1,
            body: Body::EightBitMime,
            smtputf8: true,
            content: &SplitContent::memory("ä\r\nb".into()),
            requests: Requests::default(),
        };
        assert_eq!(verdicts(&connection.send(&transaction).await.unwrap()), "S");
        assert_eq!(upstream.commands_of("MAIL"), [want]);
        assert_eq!(upstream.messages()[0].content, "ä\r\nb\r\n".as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn helo_for_a_server_that_knows_no_ehlo() {
    for code in [500, 501, 502, 504, 550] {
        let (upstream, _) = connected(Script::default().with(Step::Ehlo, Act::reply(code, "what?"))).await;
        assert_eq!(upstream.commands(), ["EHLO relay.firm.example", "HELO relay.firm.example"], "{code}");
    }
    let upstream = Upstream::new(Script::default().with(Step::Ehlo, Act::reply(451, "later")));
    let error = open(&upstream, Smtp { ehlo: Some("other.example".into()), ..smtp() }).await.err().unwrap();
    assert_eq!((error.stage, error.reply().unwrap().code), (Stage::Hello, 451));
    assert_eq!(upstream.commands(), ["EHLO other.example"]);
}

#[tokio::test(start_paused = true)]
async fn several_messages_over_one_connection() {
    for script in [Script::default(), Script::default().without("PIPELINING")] {
        let (upstream, mut connection) = connected(script.clone()).await;
        assert_eq!(verdicts(&send(&mut connection, &recipients(2), b"one").await), "SS");
        upstream.set(script.clone().with(Step::AnyRcpt, Act::reply(550, "5.1.1 no")));
        assert_eq!(verdicts(&send(&mut connection, &recipients(2), b"two").await), "BB");
        upstream.set(script.clone().with(Step::Mail, Act::reply(451, "4.3.0 later")));
        assert_eq!(verdicts(&send(&mut connection, &recipients(2), b"three").await), "DD");
        upstream.set(script);
        assert_eq!(verdicts(&send(&mut connection, &recipients(2), b"four").await), "SS");
        assert_eq!((connection.messages(), upstream.connections()), (2, 1));
        connection.reset().await.unwrap();
        assert!(connection.is_reusable());
        connection.quit().await;
        let got: Vec<_> = upstream.messages().into_iter().map(|seen| seen.content).collect();
        assert_eq!(got, [b"one\r\n".to_vec(), b"four\r\n".to_vec()]);
        assert_eq!(upstream.commands_of("QUIT").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_no_recipient_is_left() {
    let refused = || Script::default().with(Step::AnyRcpt, Act::reply(550, "5.1.1 no"));
    // A server may ask for the content all the same, when DATA was in the same group.
    for script in [refused(), refused().with(Step::Data, Act::reply(354, "go"))] {
        let (upstream, mut connection) = connected(script).await;
        let result = send(&mut connection, &recipients(2), b"secret").await;
        assert_eq!(verdicts(&result), "BB");
        assert!(result.recipients.iter().all(|result| result.stage == Stage::Rcpt));
        assert!(upstream.messages().iter().all(|seen| seen.content.is_empty()));
        assert!(connection.is_reusable());
        assert_eq!(connection.messages(), 0);
    }
    let odd =
        Script::default().with(Step::Mail, Act::reply(550, "no")).with(Step::Data, Act::reply(354, "go"));
    let (upstream, mut connection) = connected(odd).await;
    let begun = Instant::now();
    assert_eq!(verdicts(&send(&mut connection, &recipients(2), b"secret").await), "BB");
    assert!(upstream.messages().is_empty() && !connection.is_reusable());
    // Whatever we said now would be a line of the content, and nobody answers it.
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn each_recipient_keeps_its_reply() {
    for script in [Script::default(), Script::default().without("PIPELINING")] {
        let unknown = Act::Raw(b"550-5.1.1 nobody\r\n550 5.1.1 of that name\r\n".to_vec());
        let script = script.with(Step::Rcpt(0), unknown).with(Step::Rcpt(2), Act::reply(450, "4.2.1 busy"));
        let (_, mut connection) = connected(script).await;
        let result = send(&mut connection, &recipients(4), b"x").await;
        let replies: Vec<_> = result.recipients.iter().map(ToString::to_string).collect();
        let sent = "250 2.0.0 queued as 42";
        assert_eq!(replies, ["550 5.1.1 nobody of that name", sent, "450 4.2.1 busy", sent]);
        let candidates = result.recipients.iter().map(|result| blacklist_candidate(result.reply().unwrap()));
        assert_eq!(candidates.collect::<Vec<_>>(), [true, false, false, false]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closing_upstream_defers_all_that_is_not_settled() {
    for script in [Script::default(), Script::default().without("PIPELINING")] {
        let closing = Act::ReplyAndDrop(421, "4.3.2 going down".to_owned());
        let script = script.with(Step::Rcpt(1), Act::reply(550, "5.1.1 no")).with(Step::Rcpt(2), closing);
        let (upstream, mut connection) = connected(script).await;
        assert_eq!(verdicts(&send(&mut connection, &recipients(4), b"x").await), "DBDD");
        assert!(upstream.messages().is_empty() && !connection.is_reusable());
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_recipients_go_later() {
    for script in [Script::default(), Script::default().without("PIPELINING")] {
        let full = Script { max_recipients: 2, ..script.clone() };
        let (upstream, mut connection) = connected(full).await;
        assert_eq!(verdicts(&send(&mut connection, &recipients(5), b"x").await), "SSLLL");
        assert_eq!(upstream.messages()[0].recipients, ["r0@dest.example", "r1@dest.example"]);
        upstream.set(script.clone().with(Step::Rcpt(1), Act::reply(552, "too many")));
        assert_eq!(verdicts(&send(&mut connection, &recipients(3), b"x").await), "SLS");
        upstream.set(script.with(Step::Rcpt(0), Act::reply(452, "4.5.3 too many")));
        assert_eq!(verdicts(&send(&mut connection, &recipients(1), b"x").await), "D");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_recipients_through_a_narrow_pipe() {
    for buffer in [16, 300] {
        let upstream = Upstream::new(Script::default().with(Step::Rcpt(500), Act::reply(550, "5.1.1 no")));
        let dial = UpstreamDial { buffer, ..(*upstream.dial()).clone() };
        let dial = std::sync::Arc::new(dial);
        let connector = Connector::new(dial, smtp(), None, "relay.firm.example", InstanceId::random());
        let mut connection = connector.open().await.unwrap();
        let result = send(&mut connection, &recipients(1000), b"hello").await;
        let verdicts = verdicts(&result);
        assert_eq!((verdicts.matches('S').count(), verdicts.find('B')), (999, Some(500)));
        assert_eq!(upstream.messages()[0].recipients.len(), 999);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_that_has_ended() {
    let (upstream, mut connection) =
        connected(Script::default().with(Step::Rset, Act::ReplyAndDrop(250, "bye".into()))).await;
    connection.reset().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!connection.is_reusable(), "the upstream has hung up");
    let result = send(&mut connection, &recipients(2), b"x").await;
    assert!(result.proves_nothing(false) && verdicts(&result) == "DD", "{result:?}");
    assert!(upstream.messages().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_asked_for_ends_the_use() {
    let script = Script::default().with(Step::Dot, Act::Append(b"250 again\r\n".to_vec()));
    let (_, mut connection) = connected(script).await;
    assert_eq!(verdicts(&send(&mut connection, &recipients(1), b"x").await), "S");
    assert!(!connection.is_reusable());
    let result = send(&mut connection, &recipients(1), b"x").await;
    assert_eq!(result.recipients[0].answer, mailsluice::upstream::Answer::Failed(DialogueFault::Closed));
}

#[tokio::test(start_paused = true)]
async fn replies_that_do_not_belong_there() {
    for (step, act, want) in
        [(Step::Greeting, Act::reply(250, "hello"), "greeting"), (Step::Ehlo, Act::reply(354, "go"), "EHLO")]
    {
        let error = open(&Upstream::new(Script::default().with(step, act)), smtp()).await.err().unwrap();
        assert!(
            error.to_string().contains("does not belong here") && error.to_string().contains(want),
            "{error}"
        );
    }
    for (step, act, want) in [
        (Step::Mail, Act::reply(354, "go"), "DD"),
        (Step::Rcpt(1), Act::reply(354, "go"), "DD"),
        (Step::Data, Act::reply(250, "done"), "DD"),
        (Step::Dot, Act::reply(354, "more"), "??"),
    ] {
        let (_, mut connection) = connected(Script::default().with(step, act).without("PIPELINING")).await;
        assert_eq!(verdicts(&send(&mut connection, &recipients(2), b"x").await), want, "{step:?}");
        assert!(!connection.is_reusable());
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_cancelled_ends_the_use() {
    let (_, mut connection) = connected(Script::default().with(Step::Dot, Act::Hang)).await;
    let list = recipients(1);
    let sending = send(&mut connection, &list, b"x");
    assert!(tokio::time::timeout(Duration::from_secs(1), sending).await.is_err());
    assert!(!connection.is_reusable());
    let started = tokio::time::Instant::now();
    connection.quit().await;
    assert!(started.elapsed() <= TIMEOUTS.command);
}

#[tokio::test]
async fn over_the_network_with_tls_and_login() {
    let authority = Authority::new();
    let script = Script::default().with_login("LOGIN").with_tls(authority.server("localhost"));
    let upstream = Upstream::new(script);
    let listening = upstream.listen().await;
    let config = Smtp {
        host: "127.0.0.1".to_owned(),
        port: listening.address.port(),
        security: Security::StartTls,
        tls: ClientTls { name: Some("localhost".to_owned()), ..authority.tls() },
        auth: Auth::Auto,
        ..smtp()
    };
    let (dial, own) = (std::sync::Arc::new(TcpDial::default()), InstanceId::random());
    let credentials = Credentials::of(&anna("secret"), None, TokenUser::default());
    let connector = Connector::new(dial, config, credentials, "relay.firm.example", own);
    let content = b"Subject: big\r\n\r\n.\r\n..\r\nline\r\n".repeat(40_000);
    let mut connection = connector.open().await.unwrap();
    assert_eq!(connection.host(), format!("127.0.0.1[127.0.0.1]:{}", listening.address.port()));
    assert_eq!(verdicts(&send(&mut connection, &recipients(150), &content).await), "S".repeat(150));
    connection.quit().await;
    let seen = upstream.messages().remove(0);
    assert!(seen.tls && seen.taken && seen.content == content && seen.recipients.len() == 150);
}

fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => prop::sample::select(vec!["\r", "\n", "\r\n", ".", "\0"]).prop_map(|s| s.as_bytes().to_vec()),
        1 => Just(b"MAIL FROM:<evil@x>\r\nRCPT TO:<v@x>\r\nDATA\r\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..20),
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No content, however it is written, becomes two messages or a command, not even at a lax upstream.
    #[test]
    fn content_stays_content(content in tricky(), lax: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (upstream, mut connection) = connected(Script { lax, ..Script::default() }).await;
            let result = send(&mut connection, &recipients(1), &content).await;
            prop_assert_eq!(verdicts(&result), "S");
            prop_assert!(connection.is_reusable());
            connection.quit().await;
            prop_assert_eq!(upstream.messages().len(), 1);
            prop_assert_eq!(upstream.commands_of("MAIL").len(), 1);
            prop_assert_eq!(upstream.commands().pop(), Some("QUIT".to_owned()));
            Ok(())
        })?;
    }
}
