use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use super::*;
use crate::config::DkimEntry;
use crate::mail::{Body, QueueId, ReversePath};
use crate::store::{ClientInfo, Content, Decisions, LaneName, MessageKind, QueuedRecipient, TestTreatment};
use crate::time::{Moment, SystemClock, Timeline};

const ALL: UpstreamFacts = UpstreamFacts { sign: true, eight_bit_mime: true, smtputf8: true, local: false };
const OLD: UpstreamFacts = UpstreamFacts { sign: true, eight_bit_mime: false, smtputf8: false, local: false };

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn message(recipients: &[&str], test: Option<(TestAction, Option<&str>)>) -> Message {
    Message {
        queue_id: QueueId::new(0, 0),
        kind: MessageKind::Submitted,
        lane: LaneName::of_upstream("main"),
        accepted: Moment(0),
        accepted_wall: 0,
        age_base: 0,
        reverse_path: ReversePath::Address(address("a@firm.example")),
        sender: "a@firm.example".into(),
        body: Body::SevenBit,
        smtputf8: false,
        request: crate::mail::MessageRequest::default(),
        client: ClientInfo::default(),
        decisions: Decisions {
            test: test.map(|(action, to)| TestTreatment { action, address: to.map(address) }),
            ..Decisions::default()
        },
        recipients: recipients
            .iter()
            .zip(0..)
            .map(|(a, index)| {
                QueuedRecipient::untried(index, address(a), crate::mail::RecipientRequest::default())
            })
            .collect(),
        size: 0,
        content: Content::memory(Vec::new()),
    }
}

/// Makes a message ready for an upstream that is configured with its name alone.
fn prepare(
    message: &Message,
    content: Vec<u8>,
    facts: UpstreamFacts,
    signer: Signer,
) -> Result<Prepared, TransformError> {
    let config = "[[upstream]]\nname = \"main\"\nhost = \"main\"\n";
    let config = Config::from_toml(config, Path::new("/")).unwrap().config;
    let upstream = &config.upstreams[0];
    let way_out = WayOut { upstream, account: &upstream.accounts[0], facts };
    let transformer = Transformer { signer, ..ready(&config) };
    transformer.prepare(message, content, &way_out)
}

fn text(prepared: &Prepared) -> String {
    String::from_utf8(prepared.content.octets().unwrap().into_owned()).unwrap()
}

fn ready(config: &Config) -> Transformer {
    let timeline = Timeline::resume(std::sync::Arc::new(crate::time::SystemClock), None);
    Transformer::new(config, timeline).unwrap()
}

fn signer() -> Signer {
    let key = mail_auth::common::crypto::Ed25519Key::generate_pkcs8().unwrap();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
    let (domain, selector) = ("firm.example".into(), "s".into());
    let entry = DkimEntry { domain, selector, key: SecretString::from(pem), from: None };
    Signer::new(&[entry], Timeline::resume(Arc::new(SystemClock), None)).unwrap()
}

const CONTENT: &str =
    "Received: x\r\nFrom: a@firm.example\r\nTo: b@x.test\r\nBcc: c@x.test\r\nSubject: s\r\n\r\nhi\r\n";

#[test]
fn keeps_all_but_the_blind_copies() {
    let unsigned = UpstreamFacts { sign: false, ..ALL };
    let got = prepare(&message(&["b@x.test", "c@x.test"], None), CONTENT.into(), unsigned, signer()).unwrap();
    assert_eq!(text(&got), CONTENT.replace("Bcc: c@x.test\r\n", ""));
    assert_eq!(got.recipients, [address("b@x.test"), address("c@x.test")]);
    assert!(!got.smtputf8 && !got.eight_bit);
}

#[test]
fn signs_what_the_redirect_made() {
    let test = Some((TestAction::Redirect, Some("test@firm.example")));
    let got = prepare(&message(&["b@x.test", "c@x.test"], test), CONTENT.into(), ALL, signer()).unwrap();
    assert_eq!(got.recipients, [address("test@firm.example")]);
    let mail = text(&got);
    assert!(
        mail.starts_with(
            "DKIM-Signature: v=1; a=ed25519-sha256; s=s; d=firm.example; c=relaxed/relaxed;\r\n"
        )
    );
    assert!(mail.contains("\r\nTo: test@firm.example\r\nSubject: [TEST] s\r\n"), "{mail}");
    assert!(
        mail.contains("\r\nX-Mailsluice-Original-Recipients: b@x.test, c@x.test\r\n\r\nhi\r\n"),
        "{mail}"
    );
}

#[test]
fn test_mail_without_test_address_stays() {
    let local = UpstreamFacts { local: true, ..OLD };
    for test in [
        (TestAction::Redirect, None),
        (TestAction::Hold, Some("test@firm.example")),
        (TestAction::Capture, None),
    ] {
        let held = message(&["b@x.test"], Some(test));
        let refused = prepare(&held, CONTENT.into(), ALL, signer());
        assert!(matches!(refused, Err(TransformError::Test)), "{test:?}");
        assert_eq!(
            prepare(&held, CONTENT.into(), local, signer()).unwrap().recipients,
            [address("b@x.test")]
        );
    }
}

#[test]
fn only_a_local_part_needs_smtputf8() {
    let mut asked = message(&["b@x.test"], None);
    asked.smtputf8 = true;
    // What was asked for but is not needed does no harm.
    assert!(!prepare(&asked, CONTENT.into(), ALL, signer()).unwrap().smtputf8);

    let content = "From: \u{c4} <a@m\u{fc}ller.test>\r\nSubject: \u{fc}\r\n\r\nGr\u{fc}\u{df}e\r\n";
    let ascii = "From: =?utf-8?B?w4Q=?= <a@xn--mller-kva.test>\r\nSubject: =?utf-8?B?w7w=?=\r\n\r\nGr\u{fc}\u{df}e\r\n";
    let without = UpstreamFacts { sign: false, smtputf8: false, ..ALL };
    let with = UpstreamFacts { sign: false, ..ALL };
    for message in [&asked, &message(&["b@\u{fc}.test"], None)] {
        let got = prepare(message, content.into(), without, signer()).unwrap();
        assert_eq!((text(&got).as_str(), got.smtputf8), (ascii, false));
        let got = prepare(message, content.into(), with, signer()).unwrap();
        assert_eq!((text(&got).as_str(), got.smtputf8), (content, true));
    }
    // Who has not asked for it has an old program, which upstreams have always taken.
    let got = prepare(&message(&["b@x.test"], None), content.into(), without, signer()).unwrap();
    assert_eq!((text(&got).as_str(), got.smtputf8), (content, false));

    let mut sender = message(&["b@x.test"], None);
    sender.reverse_path = ReversePath::Address(address("\u{fc}@x.test"));
    let some = message(&["b@x.test", "\u{fc}@x.test", "c@\u{fc}.test", "\u{fc}@\u{fc}.test"], None);
    let test = message(&["b@x.test"], Some((TestAction::Redirect, Some("\u{fc}@x.test"))));
    for (message, recipients) in [(&sender, None), (&some, Some([1, 3].into())), (&test, None)] {
        let error = prepare(message, CONTENT.into(), without, signer()).unwrap_err();
        assert!(error.to_reply().to_string().starts_with("553 5.6.7 "), "{error}");
        match (error, recipients) {
            (TransformError::InternationalRecipients(got), Some(want)) => assert_eq!(got, want),
            (TransformError::International(_), None) => {}
            (other, _) => panic!("{other}"),
        }
        assert!(prepare(message, CONTENT.into(), with, signer()).unwrap().smtputf8);
    }
}

#[test]
fn an_old_upstream_gets_seven_bits_or_nothing() {
    let plain = "From: a@firm.example\r\n\r\nGr\u{fc}\u{df}e\r\n";
    let got = prepare(&message(&["b@x.test"], None), plain.into(), OLD, signer()).unwrap();
    assert!(got.content.is_ascii() && !got.eight_bit);
    assert!(text(&got).starts_with("DKIM-Signature:") && text(&got).ends_with("Gr=C3=BC=C3=9Fe\r\n"));
    assert!(prepare(&message(&["b@x.test"], None), plain.into(), ALL, signer()).unwrap().eight_bit);

    let subject = "From: a@firm.example\r\nSubject: \u{fc}\r\n\r\nhi\r\n";
    let sloppy = message(&["b@x.test"], None);
    let unsigned = UpstreamFacts { sign: false, ..OLD };
    let got = prepare(&sloppy, subject.into(), unsigned, signer()).unwrap();
    assert_eq!((text(&got).as_str(), got.smtputf8), (subject, false));

    let signed = "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\u{fc}\r\n--b--\r\n";
    let error = prepare(&message(&["b@x.test"], None), signed.into(), OLD, signer()).unwrap_err();
    assert!(error.to_reply().to_string().starts_with("554 5.6.3 "), "{error}");
}

#[test]
fn a_signature_goes_below_and_ours_is_made_last() {
    let config = "[[upstream]]\nname = \"main\"\nhost = \"main\"\n";
    let mut config = Config::from_toml(config, Path::new("/")).unwrap().config;
    let firm = Signature { text: Some("Firm".to_owned()), html: None, skip_replies: true };
    let another = Signature { text: Some("Another".to_owned()), ..firm.clone() };
    config.signatures = vec![
        NamedSignature { name: "Sales".to_owned(), signature: firm.clone() },
        NamedSignature { name: "Other".to_owned(), signature: another },
    ];
    let upstream = Upstream { signature: Some(firm.clone()), ..(*config.upstreams[0]).clone() };
    let way_out = WayOut { upstream: &upstream, account: &upstream.accounts[0], facts: ALL };
    let transformer = Transformer { signer: signer(), ..ready(&config) };
    assert_eq!((transformer.signature("sALES"), transformer.signature("third")), (Some(&firm), None));

    let theirs = format!("DKIM-Signature: v=1; d=x.test; h=Subject; b=x\r\n{CONTENT}");
    let mut message = message(&["b@x.test"], None);
    let got = transformer.prepare(&message, theirs.clone().into(), &way_out).unwrap();
    let mail = text(&got);
    assert!(mail.starts_with("DKIM-Signature: v=1; a=ed25519-sha256;"), "{mail}");
    assert!(mail.ends_with("\r\nhi\r\n\r\nFirm\r\n") && !mail.contains("d=x.test"), "{mail}");

    message.decisions.ruled.signature = Some("Other".to_owned());
    let got = transformer.prepare(&message, theirs.clone().into(), &way_out).unwrap();
    assert!(text(&got).ends_with("\r\nhi\r\n\r\nAnother\r\n"));
    message.decisions.ruled.signature = None;

    message.kind = MessageKind::Report;
    let got = transformer.prepare(&message, theirs.into(), &way_out).unwrap();
    let mail = text(&got);
    assert!(mail.ends_with("\r\nhi\r\n") && mail.contains("d=x.test"), "{mail}");
}

/// A content in a file, taken apart, and the same in memory.
async fn in_both_places(content: &[u8]) -> (SplitContent, SplitContent) {
    let folder = tempfile::tempdir().unwrap();
    let mut upload = crate::store::Upload::new(folder.path(), &QueueId::new(1, 1));
    upload.write(content.to_vec()).await.unwrap();
    let stored = upload.finish().await.unwrap();
    (stored.split().await.unwrap().unwrap(), SplitContent::memory(content.to_vec()))
}

/// What was prepared, but for what a signature has of its moment.
async fn comparable(prepared: &Prepared) -> String {
    let body = prepared.content.body().load().await.unwrap();
    let content = String::from_utf8([prepared.content.head(), &body].concat()).unwrap();
    let (head, rest) = content.split_at(prepared.content.head().len());
    let without_moment = |tag: &&str| !tag.trim().starts_with("t=") && !tag.trim().starts_with("b=");
    let head: Vec<_> = head.split(';').filter(without_moment).collect();
    let facts = (prepared.eight_bit, prepared.smtputf8, &prepared.recipients);
    format!("{facts:?} {}{rest}", head.concat())
}

#[tokio::test]
async fn a_body_in_its_file_goes_as_one_in_memory() {
    let head = "DKIM-Signature: v=1; b=x; d=x.test; h=to\r\nFrom: a@firm.example\r\nBcc: c@x.test\r\nTo: b@x.test\r\n";
    let lines = "A line  with \t spaces \r\n\r\n.\r\n".repeat(30_000);
    for end in ["", "x", "x\r\n\r\n\r\n", " \t\r\n", "\u{fc}\r\n"] {
        let content = format!("{head}\r\n{lines}{end}");
        let (there, here) = in_both_places(content.as_bytes()).await;
        let config = Config::from_toml("[[upstream]]\nname = \"main\"\nhost = \"main\"\n", Path::new("/"));
        let config = config.unwrap().config;
        let (upstream, transformer) =
            (&config.upstreams[0], Transformer { signer: signer(), ..ready(&config) });
        let message = message(&["b@x.test"], None);
        for facts in [ALL, UpstreamFacts { sign: false, ..ALL }, OLD] {
            let way_out = WayOut { upstream, account: &upstream.accounts[0], facts };
            let got = transformer.prepare_split(&message, there.clone(), &way_out).unwrap();
            let want = transformer.prepare_split(&message, here.clone(), &way_out).unwrap().unwrap();
            if !facts.eight_bit_mime && !content.is_ascii() {
                assert!(got.is_none(), "it is written anew");
                continue;
            }
            let got = got.unwrap();
            assert!(got.content.body().octets().is_none(), "it stays where it is");
            assert_eq!(comparable(&got).await, comparable(&want).await, "{end:?} {facts:?}");
            assert_eq!(want.content.head().starts_with(b"DKIM-Signature: v=1; a=ed25519"), facts.sign);
        }
    }
}

#[tokio::test]
async fn a_change_of_the_body_needs_it_in_memory() {
    let content = ["From: a@firm.example\r\nTo: b@x.test\r\n\r\n", &"text\r\n".repeat(30_000)].concat();
    let (there, here) = in_both_places(content.as_bytes()).await;
    let message = message(&["b@x.test"], None);
    let text = Some("Firm".to_owned());
    for (name, needed) in [("plain", false), ("signature", true), ("base64", true)] {
        let config = Config::from_toml("[[upstream]]\nname = \"main\"\nhost = \"main\"\n", Path::new("/"));
        let mut config = config.unwrap().config;
        let upstream = Arc::make_mut(&mut config.upstreams[0]);
        match name {
            "signature" => {
                let text = text.clone();
                upstream.signature = Some(Signature { text, html: None, skip_replies: true });
            }
            "base64" => upstream.encode = TextEncoding::Base64,
            _ => {}
        }
        let (transformer, upstream) = (ready(&config), &config.upstreams[0]);
        let by = (&**upstream, &upstream.accounts[0]);
        assert_eq!(transformer.needs_body(&message, &there, by), needed, "{name}");
        assert!(!transformer.needs_body(&message, &here, by), "{name}: it is there");
    }
}
