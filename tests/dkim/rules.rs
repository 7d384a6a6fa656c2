//! Mail whose header rules have changed on its way out, alone and with all else that is done there: whatever nobody means to
//! change keeps every octet, and our signature holds.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters};
use mailsluice::config::{Config, HeaderEdit};
use mailsluice::mail::header::{Field, Fields, Header, mailboxes};
use mailsluice::mail::{Address, NamedAddress};
use mailsluice::store::{Message, Ruled};
use mailsluice::time::{SystemClock, Timeline};
use mailsluice::transform::{Transformer, UpstreamFacts, WayOut};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::identity::{BODIES, FIELDS, MAY_CHANGE, count, message};
use super::{Keys, Records, keys, published};

const TEXT: &str = "Firm Ltd, 1 Station Road";

/// What rules may decide about a header.
fn ruled() -> impl Strategy<Value = Ruled> {
    const NAMES: &[&str] =
        &["x-folded", "X-Empty", "Subject", "X-New", "X-Colon", "References", "X-Mailsluice-Kind"];
    const COPIES: &[&str] =
        &["c@d.test", "Clerk, Jr <clerk@firm.example>", "J\u{f6}rg <j@firm.example>", "A@B.test"];
    let value = prop_oneof![
        Just(None),
        Just(Some("one")),
        Just(Some("two  words")),
        Just(Some("Größe")),
        Just(Some("=?utf-8?q?x?="))
    ];
    let edit = (proptest::sample::select(NAMES), value)
        .prop_map(|(name, value)| HeaderEdit { name: name.into(), value: value.map(Into::into) });
    let copies = proptest::sample::subsequence(COPIES, 0..4);
    let own = proptest::option::of(Just("Office, Ltd <office@firm.example>"));
    let answers = proptest::option::of(Just("Gr\u{fc}n <answers@firm.example>"));
    (proptest::collection::vec(edit, 0..4), copies, own, answers).prop_map(|(edits, cc, author, reply_to)| {
        let mut header: Vec<HeaderEdit> = Vec::new();
        for edit in edits {
            if !header.iter().any(|known| known.name.eq_ignore_ascii_case(&edit.name)) {
                header.push(edit);
            }
        }
        let read = |text: &str| NamedAddress::parse(text).unwrap();
        let (author, reply_to) = (author.map(read), reply_to.map(read));
        Ruled { header, author, reply_to, cc: cc.into_iter().map(read).collect(), ..Ruled::default() }
    })
}

/// Any header of odd fields, and a body.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let fields = proptest::collection::vec(proptest::sample::select(FIELDS), 0..14);
    (fields, 0_usize..3, proptest::sample::select(BODIES)).prop_map(|(fields, huge, body)| {
        let huge = format!("X-Huge: {}\r\n", "x y,".repeat(200 * huge * huge));
        [&fields.concat(), &huge[..], body].concat().into_bytes()
    })
}

/// The fields that these rules do not mean to change, nor any of `others`; in their order.
fn untouched(content: &[u8], ruled: &Ruled, others: &[&str]) -> Vec<Vec<u8>> {
    let is_of_rule = |field: &Field<'_>| {
        ruled.header.iter().any(|edit| field.is(&edit.name))
            || ruled.reply_to.is_some() && field.is("Reply-To")
            || ruled.author.is_some() && (field.is("From") || field.is("Sender"))
            || !ruled.cc.is_empty() && field.is("Cc")
    };
    let stays = |field: &Field<'_>| !is_of_rule(field) && !others.iter().any(|name| field.is(name));
    Fields::new(content).filter(stays).map(|field| field.raw().to_vec()).collect()
}

fn addresses(content: &[u8], name: &str) -> Vec<Address> {
    Fields::new(content).filter(|field| field.is(name)).flat_map(|field| mailboxes(field.value())).collect()
}

/// That what rules want is so.
fn is_as_decided(got: &[u8], before: &[u8], ruled: &Ruled) -> TestCaseResult {
    for edit in &ruled.header {
        prop_assert_eq!(count(got, &edit.name), usize::from(edit.value.is_some()), "{:?}", edit);
    }
    if ruled.author.is_some() {
        prop_assert_eq!(count(got, "From"), 1);
    }
    if let Some(reply_to) = &ruled.reply_to {
        prop_assert_eq!(addresses(got, "Reply-To"), [reply_to.address.clone()]);
    }
    // Who was named in Cc still is, and whoever gets a copy is named once in To or Cc, or as often as before.
    let (was, is) = (addresses(before, "Cc"), addresses(got, "Cc"));
    let mut left = is.iter();
    prop_assert!(was.iter().all(|old| left.any(|address| address.key() == old.key())), "{:?} {:?}", was, is);
    for copy in &ruled.cc {
        let named = |content: &[u8]| {
            let all = [addresses(content, "To"), addresses(content, "Cc")].concat();
            all.iter().filter(|address| address.key() == copy.address.key()).count()
        };
        prop_assert_eq!(named(got), named(before).max(1), "{}", copy);
    }
    Ok(())
}

/// Prepares messages, and verifies what was signed.
struct Bench {
    config: Config,
    transformer: Transformer,
    records: Records,
    verifier: MessageAuthenticator,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new(toml: &str, keys: &Keys) -> Self {
        let mut config = Config::from_toml(toml, Path::new("/")).unwrap().config;
        // The one that is quick.
        config.dkim = keys.entries[1..].to_vec();
        let transformer = Transformer::new(&config, Timeline::resume(Arc::new(SystemClock), None)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let verifier = MessageAuthenticator::new_cloudflare().unwrap();
        Self { config, transformer, records: published(keys), verifier, runtime }
    }

    fn prepared(&self, content: &[u8], ruled: &Ruled) -> Vec<u8> {
        let facts = UpstreamFacts { sign: true, eight_bit_mime: true, smtputf8: true, local: false };
        let upstream = &self.config.upstreams[0];
        let way_out = WayOut { upstream, account: &upstream.accounts[0], facts };
        let mut message: Message = message();
        message.decisions.ruled = ruled.clone();
        let prepared = self.transformer.prepare(&message, content.to_vec(), &way_out).unwrap();
        prepared.content.octets().unwrap().into_owned()
    }

    /// That mail from our domain has one signature that holds.
    fn holds(&self, content: &[u8]) -> TestCaseResult {
        let from: Vec<Field<'_>> = Fields::new(content).filter(|field| field.is("From")).collect();
        // This verifier does not know a field with white space before its colon (RFC 5322 4.5.3).
        let [from] = from.iter().filter(|field| field.raw()[4] == b':').collect::<Vec<_>>()[..] else {
            return Ok(());
        };
        let authors = mailboxes(from.value());
        if authors.len() != 1 || authors[0].domain() != "firm.example" || count(content, "From") != 1 {
            return Ok(());
        }
        let message = AuthenticatedMessage::parse(content).unwrap();
        let asked = self.verifier.verify_dkim(Parameters::new(&message).with_txt_cache(&self.records));
        let verdicts = self.runtime.block_on(asked);
        let passed = verdicts.iter().filter(|verdict| verdict.result() == &DkimResult::Pass).count();
        prop_assert_eq!(passed, 1, "{}", String::from_utf8_lossy(content));
        Ok(())
    }
}

#[test]
fn what_no_rule_is_about_keeps_its_octets() {
    let bench = Bench::new("[[upstream]]\nname = \"main\"\nhost = \"up\"\n", &keys());
    proptest!(ProptestConfig::with_cases(600), |(content in content(), ruled in ruled())| {
        let got = bench.prepared(&content, &ruled);
        let gone = ["Bcc", "DKIM-Signature"];
        prop_assert_eq!(untouched(&got, &ruled, &gone), untouched(&content, &ruled, &gone));
        prop_assert_eq!(Header::parse(&got).body(), Header::parse(&content).body());
        prop_assert_eq!(count(&got, "Bcc"), 0);
        is_as_decided(&got, &content, &ruled)?;
        bench.holds(&got)?;
    });
}

#[test]
fn rules_and_all_else_on_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signature.txt");
    std::fs::write(&file, format!("{TEXT}\n")).unwrap();
    let keys = keys();
    let signed = Cell::new(0);
    for when in ["missing", "always"] {
        let toml = format!(
            "complete_addresses = \"firm.example\"\n[[upstream]]\nname = \"main\"\nhost = \"up\"\n[upstream.sender]\n\
             name = \"Firm, Ltd\"\naddress = \"office@firm.example\"\nwhen = \"{when}\"\n[upstream.signature]\n\
             text = \"{}\"\n",
            file.display()
        );
        let bench = Bench::new(&toml, &keys);
        proptest!(ProptestConfig::with_cases(300), |(content in content(), ruled in ruled())| {
            let got = bench.prepared(&content, &ruled);
            let body = String::from_utf8_lossy(Header::parse(&got).body()).into_owned();
            // Where text was put below, the fields that describe it may have changed with it.
            let of_text = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"];
            let others = [&MAY_CHANGE[..], &of_text].concat();
            prop_assert_eq!(untouched(&got, &ruled, &others), untouched(&content, &ruled, &others));
            if body.contains(TEXT) {
                signed.set(signed.get() + 1);
            } else {
                prop_assert_eq!(Header::parse(&got).body(), Header::parse(&content).body());
            }
            prop_assert!(count(&got, "From") > 0 && count(&got, "Bcc") == 0);
            // A rule's sender comes before that of the upstream.
            let own = if ruled.author.is_some() { Some("\"Office, Ltd\"") } else { (when == "always").then_some("\"Firm, Ltd\"") };
            if let Some(own) = own {
                let from = Header::parse(&got).get("From").unwrap().unfolded();
                prop_assert!(String::from_utf8(from).unwrap().contains(own));
            }
            bench.holds(&got)?;
        });
    }
    assert!(signed.get() > 20, "only {} have the text below", signed.get());
}
