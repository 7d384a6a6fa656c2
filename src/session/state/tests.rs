use super::*;

fn dialogue() -> Dialogue {
    let rules = Rules {
        hostname: "relay.example".into(),
        instance: None,
        max_message_size: 1000,
        max_recipients: 2,
        max_errors: 3,
        starttls: false,
        mechanisms: &[],
        auth_in_clear: false,
        auth_required: false,
    };
    Dialogue::new(rules)
}

/// Says the lines; all messages are admitted, recipients at `bad.example` are refused, at `drop.example` dropped.
fn say(mut dialogue: Dialogue, lines: &[&str]) -> (Dialogue, Vec<String>) {
    let mut replies = Vec::new();
    for line in lines {
        let command = Command::parse(line.as_bytes()).unwrap();
        let (next, action) = dialogue.step(command);
        let (next, reply) = match action {
            Action::Reply(reply)
            | Action::Close(reply)
            | Action::Discard(_, reply)
            | Action::Misplaced(_, reply) => (next, reply),
            Action::Admit(mail) => next.admit(mail),
            Action::Judge(recipient, request) => {
                let verdict = match recipient.domain() {
                    "bad.example" => RecipientDecision::Refuse(Reply::new(550, (5, 7, 1), "no")),
                    "drop.example" => RecipientDecision::Drop,
                    _ => RecipientDecision::Accept,
                };
                next.judge(recipient, request, verdict)
            }
            Action::Repeat(place, request) => next.repeat(place, request),
            Action::StartTls(reply) => (next.secure(), reply),
            Action::LogIn(mechanism, _) => {
                let (next, reply) = next.log_in(LoggedIn { name: mechanism.name().into() });
                (next, reply)
            }
            Action::Receive(t) => {
                let text = format!("{:?} dropped {:?}", t.envelope.recipients().len(), t.dropped);
                let reply = Reply::new(250, (2, 0, 0), text);
                (next.finish(&reply), reply)
            }
            Action::Take(Chunk { octets: 13, .. }, _) => (next.refuse_chunks(), Reply::bare(552, vec![])),
            Action::Take(Chunk { last: true, .. }, _) => {
                let reply = Reply::bare(250, vec!["done".into()]);
                (next.finish(&reply), reply)
            }
            Action::Take(..) => (next, Reply::bare(250, vec!["more".into()])),
        };
        dialogue = next;
        replies.push(reply.to_string().chars().take(9).collect());
        if reply.code == 250 && reply.lines[0].contains("dropped") {
            replies.push(reply.lines[0].clone());
        }
    }
    (dialogue, replies)
}

#[test]
fn holds_the_order() {
    for (lines, want) in [
        (vec!["MAIL FROM:<a@b>"], vec!["503 5.5.1"]),
        (vec!["EHLO x", "RCPT TO:<a@b>", "DATA"], vec!["250 relay", "503 5.5.1", "503 5.5.1"]),
        (
            vec!["HELO x", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>", "DATA", "RCPT TO:<a@bad.example>", "DATA"],
            vec!["250 relay", "250 2.1.0", "503 5.5.1", "503 5.5.1", "550 5.7.1", "554 5.5.1"],
        ),
        (
            vec!["HELO x", "MAIL FROM:<>", "RCPT TO:<a@b>", "RSET", "DATA", "QUIT"],
            vec!["250 relay", "250 2.1.0", "250 2.1.5", "250 2.0.0", "503 5.5.1", "221 2.0.0"],
        ),
        (
            vec!["HELO x", "MAIL FROM:<>", "EHLO x", "MAIL FROM:<> SIZE=1001", "MAIL FROM:<> SIZE=1000"],
            vec!["250 relay", "250 2.1.0", "250 relay", "552 5.3.4", "250 2.1.0"],
        ),
    ] {
        assert_eq!(say(dialogue(), &lines).1, want, "{lines:?}");
    }
}

#[test]
fn takes_chunks_in_order() {
    let opening = ["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<a@b>"];
    for (lines, want) in [
        (vec!["BDAT 1", "BDAT 0 LAST", "BDAT 1"], vec!["250 more", "250 done", "503 5.5.1"]),
        (
            vec!["BDAT 1", "DATA", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "BDAT 1 LAST"],
            vec!["250 more", "503 5.5.1", "503 5.5.1", "503 5.5.1", "250 done"],
        ),
        (vec!["BDAT 1", "RSET", "BDAT 1"], vec!["250 more", "250 2.0.0", "503 5.5.1"]),
        (
            vec!["BDAT 13", "BDAT 1", "BDAT 1 LAST", "BDAT 1"],
            vec!["552 ", "554 5.5.1", "554 5.5.1", "503 5.5.1"],
        ),
        (vec!["BDAT 13", "DATA", "MAIL FROM:<a@b>"], vec!["552 ", "503 5.5.1", "250 2.1.0"]),
    ] {
        let (dialogue, _) = say(dialogue(), &opening);
        assert_eq!(say(dialogue, &lines).1, want, "{lines:?}");
    }
    let (dialogue, _) = say(dialogue(), &["EHLO x", "MAIL FROM:<a@b>"]);
    let refused = say(dialogue, &["BDAT 1", "RCPT TO:<a@bad.example>", "BDAT 1"]).1;
    assert_eq!(refused, ["503 5.5.1", "550 5.7.1", "554 5.5.1"]);
}

#[test]
fn tls_and_logins() {
    const BOTH: &[ServerMechanism] = &[ServerMechanism::Plain, ServerMechanism::Login];
    let rules = |starttls, auth_in_clear, auth_required| Rules {
        starttls,
        mechanisms: BOTH,
        auth_in_clear,
        auth_required,
        max_errors: 99,
        ..dialogue().rules
    };
    for (rules, lines, want) in [
        (
            rules(true, false, true),
            &["EHLO x", "AUTH PLAIN", "MAIL FROM:<a@b>", "STARTTLS", "AUTH PLAIN", "STARTTLS", "EHLO x"][..],
            &["250 relay", "538 5.7.1", "530 5.7.0", "220 2.0.0", "503 5.5.1", "503 5.5.1", "250 relay"][..],
        ),
        (
            rules(false, true, true),
            &["AUTH PLAIN", "EHLO x", "AUTH X", "AUTH SCRAM-SHA-256", "AUTH LOGIN", "AUTH LOGIN", "STARTTLS"],
            &["503 5.5.1", "250 relay", "504 5.5.4", "504 5.5.4", "235 2.7.0", "503 5.5.1", "502 5.5.1"],
        ),
        (
            rules(true, true, false),
            &[
                "STARTTLS",
                "HELO x",
                "MAIL FROM:<a@b>",
                "AUTH PLAIN",
                "STARTTLS",
                "RSET",
                "AUTH PLAIN",
                "STARTTLS",
            ],
            &[
                "503 5.5.1",
                "250 relay",
                "250 2.1.0",
                "503 5.5.1",
                "503 5.5.1",
                "250 2.0.0",
                "235 2.7.0",
                "220 2.0.0",
            ],
        ),
    ] {
        let (dialogue, replies) = say(Dialogue::new(rules), lines);
        assert_eq!(replies, want, "{lines:?}");
        assert_eq!(
            (dialogue.is_secure(), dialogue.user().is_some()),
            (lines.len() != 7 || lines[0] == "EHLO x", lines[4] == "AUTH LOGIN")
        );
    }
}

#[test]
fn offers_what_can_be_had_now() {
    let rules = |auth_in_clear| Rules {
        starttls: true,
        mechanisms: &[ServerMechanism::Plain, ServerMechanism::ScramSha256],
        auth_in_clear,
        ..dialogue().rules
    };
    let auth = "AUTH PLAIN SCRAM-SHA-256";
    let before = Dialogue::new(rules(false));
    assert_eq!(before.offered(), ["STARTTLS"]);
    assert_eq!(before.secure().offered(), [auth]);
    assert_eq!(Dialogue::new(rules(true)).offered(), ["STARTTLS", auth]);
    assert!(dialogue().offered().is_empty());
}

#[test]
fn keeps_the_good_recipients_and_knows_the_dropped() {
    let lines = [
        "EHLO x",
        "MAIL FROM:<a@b>",
        "RCPT TO:<a@bad.example>",
        "RCPT TO:<a@b>",
        "RCPT TO:<a@drop.example>",
        "RCPT TO:<c@b>",
        "DATA",
    ];
    let (dialogue, replies) = say(dialogue(), &lines);
    assert_eq!(
        replies[2..],
        ["550 5.7.1", "250 2.1.5", "250 2.1.5", "452 4.5.3", "250 2.0.0", "2 dropped [1]"]
    );
    assert!(!dialogue.in_transaction());
}

#[test]
fn counts_errors_but_not_refused_recipients() {
    let mut dialogue = dialogue();
    for code in [550, 552, 452, 554, 250, 551, 553] {
        assert!(!dialogue.count(&Reply::new(code, (5, 0, 0), "")), "{code}");
    }
    for code in [500, 555] {
        assert!(!dialogue.count(&Reply::new(code, (5, 0, 0), "")), "{code}");
    }
    assert!(dialogue.count(&Reply::new(503, (5, 0, 0), "")));
}

#[test]
fn an_address_beyond_ascii_needs_the_extension() {
    let lines = ["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<\u{fc}@b>", "RSET", "MAIL FROM:<\u{fc}@b> SMTPUTF8"];
    let (dialogue, replies) = say(dialogue(), &lines);
    assert_eq!(replies[2], "553 5.6.7");
    let (_, replies) = say(dialogue, &["RCPT TO:<\u{fc}@b>", "RCPT TO:<postmaster>"]);
    assert_eq!(replies, ["250 2.1.5", "250 2.1.5"]);
}
