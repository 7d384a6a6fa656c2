//! Mail whose sender is written on its way out: whatever else is in it keeps every octet, and our signature holds.

use std::path::Path;
use std::sync::Arc;

use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters};
use mailsluice::config::Config;
use mailsluice::mail::header::{Field, Fields, Header};
use mailsluice::mail::{Address, Body, MessageRequest, QueueId, RecipientRequest, ReversePath};
use mailsluice::store::{ClientInfo, Content, Decisions, LaneName, Message, MessageKind, QueuedRecipient};
use mailsluice::time::{Moment, SystemClock, Timeline};
use mailsluice::transform::{Transformer, UpstreamFacts, WayOut};
use proptest::prelude::*;

use super::{keys, published};

const CONFIG: &str = r#"
complete_addresses = "firm.example"
[[upstream]]
name = "main"
host = "up"
[upstream.sender]
name = "Firm, Ltd"
address = "office@firm.example"
when = "WHEN"
"#;

/// Fields that may change, or come, or go.
pub(super) const MAY_CHANGE: [&str; 13] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "DKIM-Signature",
    "X-Mailsluice-Original-From",
    "X-Mailsluice-Original-To",
];

/// Odd but legal fields: folded, 8-bit, several of a kind, empty, huge.
pub(super) const FIELDS: &[&str] = &[
    "From: Jane  <jane@x.test>\r\n",
    "From: \"Doe, J\" <jane@x.test>,\r\n\tbob@y.test (Bob)\r\n",
    "from : root (Cron Daemon)\r\n",
    "From:\r\n",
    "From: G: a@x.test, b@y.test;\r\n",
    "From: \"open <a@x.test>\r\n",
    "Sender: jane@x.test\r\n",
    "Sender: S <s@firm.example>\r\n",
    "Reply-To: answers  <a@x.test>\r\n",
    "Reply-To:\r\n \r\n",
    "To: root,a@b.test,\r\n\t \"C, D\" <c@d.test>\r\n",
    "To: undisclosed-recipients:;\r\n",
    "Cc:\r\n",
    "Bcc: hidden@x.test\r\n",
    "Subject:\r\n",
    "Subject:  two   words \t\r\n",
    "SUBJECT: gr\u{fc}\u{df}e\r\n",
    "X-Folded: a\r\n  b\r\n\tc\r\n",
    "X-Empty:\r\n",
    "X-Colon:: :\r\n",
    "Received: from a by b;\r\n\tThu, 26 Nov 2026 10:00:00 +0100\r\n",
    "Message-ID: <1@x.test>\r\n",
    "References: <1@x.test>\r\n <2@x.test>\r\n",
    "MIME-Version: 1.0\r\n",
    "Content-Type: multipart/signed; boundary=b\r\n",
    "DKIM-Signature: v=1; d=x.test; h=from:to; bh=x; b=x\r\n",
    "X-Mailsluice-Original-From: forged@x.test\r\n",
];

/// From no body at all to one of two parts.
pub(super) const BODIES: &[&str] =
    &["", "\r\n", "\r\nhello\r\n", "\r\n--b\r\n\r\nGr\u{fc}\u{df}e \r\n--b--\r\n"];

pub(super) fn message() -> Message {
    Message {
        queue_id: QueueId::new(0, 0),
        kind: MessageKind::Submitted,
        lane: LaneName::of_upstream("main"),
        accepted: Moment(0),
        accepted_wall: 0,
        age_base: 0,
        reverse_path: ReversePath::Address(Address::parse("came@x.test").unwrap()),
        sender: "came@x.test".into(),
        body: Body::EightBitMime,
        smtputf8: false,
        request: MessageRequest::default(),
        client: ClientInfo::default(),
        decisions: Decisions::default(),
        recipients: vec![QueuedRecipient::untried(
            0,
            Address::parse("c@d.test").unwrap(),
            RecipientRequest::default(),
        )],
        size: 0,
        content: Content::memory(Vec::new()),
    }
}

/// The fields that no change concerns, in their order.
fn untouched(content: &[u8]) -> Vec<Vec<u8>> {
    let may_change = |field: &Field<'_>| MAY_CHANGE.iter().any(|name| field.is(name));
    Fields::new(content).filter(|field| !may_change(field)).map(|field| field.raw().to_vec()).collect()
}

pub(super) fn count(content: &[u8], name: &str) -> usize {
    Fields::new(content).filter(|field| field.is(name)).count()
}

#[test]
fn what_is_not_the_sender_s_keeps_its_octets() {
    let keys = keys();
    let records = published(&keys);
    let verifier = MessageAuthenticator::new_cloudflare().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let facts = UpstreamFacts { sign: true, eight_bit_mime: true, smtputf8: true, local: false };
    let fields = proptest::collection::vec(proptest::sample::select(FIELDS), 0..14);
    let bodies = proptest::sample::select(BODIES);
    for when in ["missing", "always"] {
        let text = CONFIG.replace("WHEN", when);
        let mut config = Config::from_toml(&text, Path::new("/")).unwrap().config;
        // The one that is quick.
        config.dkim = keys.entries[1..].to_vec();
        let upstream = &config.upstreams[0];
        let way_out = WayOut { upstream, account: &upstream.accounts[0], facts };
        let transformer = Transformer::new(&config, Timeline::resume(Arc::new(SystemClock), None)).unwrap();
        proptest!(ProptestConfig::with_cases(300), |(fields in fields.clone(), huge in 0_usize..3, body in bodies.clone())| {
            let huge = format!("X-Huge: {}\r\n", "x y,".repeat(200 * huge * huge));
            let content = [&fields.concat(), &huge[..], body].concat().into_bytes();
            let prepared = transformer.prepare(&message(), content.clone(), &way_out).unwrap();
            let got = &*prepared.content.octets().unwrap();
            prop_assert_eq!(untouched(got), untouched(&content));
            prop_assert_eq!(Header::parse(got).body(), Header::parse(&content).body());
            prop_assert!(count(got, "From") > 0 && count(got, "Bcc") == 0);
            if when == "always" {
                prop_assert_eq!(count(got, "From"), 1);
                prop_assert_eq!(prepared.reverse_path.as_str(), "office@firm.example");
            }
            let ours = Header::parse(got).get("From").unwrap().value().windows(20).any(|w| w == b"office@firm.example>");
            if ours {
                let message = AuthenticatedMessage::parse(got).unwrap();
                let verdicts = runtime.block_on(verifier.verify_dkim(Parameters::new(&message).with_txt_cache(&records)));
                let passed = verdicts.iter().filter(|verdict| verdict.result() == &DkimResult::Pass).count();
                prop_assert_eq!(passed, 1, "{}", String::from_utf8_lossy(got));
            }
        });
    }
}
