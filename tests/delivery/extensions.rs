//! What the client asked for goes on to an upstream that offers it, and what the upstream announces is kept to.

use mailsluice::content::SplitContent;
use mailsluice::mail::{
    Body, EnvelopeId, MessageRequest, Notify, OriginalRecipient, RecipientRequest, Return, ReversePath,
};
use mailsluice::upstream::{Requests, Stage, Transaction};

use super::support::upstream::{Act, Script, Step};
use super::{address, connected, recipients, send, verdicts};

#[tokio::test(start_paused = true)]
async fn requests_only_where_offered() {
    let message = MessageRequest {
        ret: Some(Return::Headers),
        envelope_id: EnvelopeId::parse("a+20b"),
        priority: Some(-4),
    };
    let asked = RecipientRequest {
        notify: Notify::parse("SUCCESS,DELAY"),
        original: OriginalRecipient::parse("rfc822;x+2By@z"),
    };
    let asked = [asked, RecipientRequest::default()];
    let both = Script::default().offering("DSN").offering("MT-PRIORITY");
    for (script, mail, rcpt) in [
        (Script::default(), "MAIL FROM:<> SIZE=1", "RCPT TO:<r0@dest.example>"),
        (
            both.clone(),
            "MAIL FROM:<> SIZE=1 RET=HDRS ENVID=a+20b MT-PRIORITY=-4",
            "RCPT TO:<r0@dest.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@z",
        ),
        (both.without("DSN"), "MAIL FROM:<> SIZE=1 MT-PRIORITY=-4", "RCPT TO:<r0@dest.example>"),
    ] {
        let (upstream, mut connection) = connected(script).await;
        let transaction = Transaction {
            reverse_path: &ReversePath::Null,
            recipients: &recipients(2),
            body: Body::SevenBit,
            smtputf8: false,
            content: &SplitContent::memory(b"x".to_vec()),
            requests: Requests { message: Some(&message), recipients: &asked },
        };
        assert_eq!(verdicts(&connection.send(&transaction).await.unwrap()), "SS");
        assert_eq!(upstream.commands_of("MAIL"), [mail]);
        assert_eq!(upstream.commands_of("RCPT"), [rcpt, "RCPT TO:<r1@dest.example>"]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_recipients_than_announced() {
    let script = Script::default().offering("LIMITS RCPTMAX=2 MAILMAX=9");
    for script in [script.clone(), script.without("PIPELINING")] {
        let (upstream, mut connection) = connected(script.clone()).await;
        let result = send(&mut connection, &recipients(5), b"x").await;
        assert_eq!(verdicts(&result), "SSLLL");
        assert_eq!(result.recipients[4].stage, Stage::Rcpt);
        assert_eq!(upstream.commands_of("RCPT").len(), 2);
        assert_eq!(verdicts(&send(&mut connection, &recipients(2), b"x").await), "SS");
        upstream.set(script.clone().with(Step::AnyRcpt, Act::reply(550, "5.1.1 no")));
        assert_eq!(verdicts(&send(&mut connection, &recipients(3), b"x").await), "BBL");
        upstream.set(script.with(Step::Mail, Act::reply(451, "4.3.0 later")));
        assert_eq!(verdicts(&send(&mut connection, &recipients(3), b"x").await), "DDD");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_messages_over_a_connection_than_announced() {
    let (_, mut connection) = connected(Script::default().offering("LIMITS MAILMAX=2")).await;
    let one = [address("r@dest.example")];
    assert_eq!(verdicts(&send(&mut connection, &one, b"x").await), "S");
    assert!(connection.is_reusable() && !connection.is_used_up());
    assert_eq!(verdicts(&send(&mut connection, &one, b"x").await), "S");
    assert!(!connection.is_reusable() && connection.is_used_up());
}
