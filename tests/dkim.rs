//! DKIM signatures of both key types over content of every kind.
//!
//! The signatures are verified here with the library's own verifier. The signed samples stay in
//! `target/tmp/dkim`, where `tests/outside/verify_dkim.py` lets dkimpy and OpenDKIM judge them as well.

#![allow(clippy::disallowed_methods, reason = "a test file need not last")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use mailsluice::config::DkimEntry;
use mailsluice::content::SplitContent;
use mailsluice::time::{Clock, SystemClock, Timeline};
use mailsluice::transform::{DkimError, Signer};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use secrecy::SecretString;

#[path = "dkim/identity.rs"]
mod identity;
#[path = "dkim/rules.rs"]
mod rules;

/// The records that a verifier asks for.
struct Records(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }
    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }
    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

struct Keys {
    entries: Vec<DkimEntry>,
    /// Name and text of each TXT record.
    records: Vec<(String, String)>,
}

fn split(content: impl AsRef<[u8]>) -> SplitContent {
    SplitContent::memory(content.as_ref().to_vec())
}

fn pem(label: &str, der: &[u8]) -> String {
    let body: Vec<String> =
        STANDARD.encode(der).as_bytes().chunks(64).map(|l| String::from_utf8_lossy(l).into()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", body.join("\n"))
}

fn entry(domain: &str, selector: &str, pem: String) -> DkimEntry {
    DkimEntry { domain: domain.into(), selector: selector.into(), key: SecretString::from(pem), from: None }
}

fn signer(entries: &[DkimEntry]) -> Result<Signer, DkimError> {
    Signer::new(entries, Timeline::resume(Arc::new(SystemClock), None))
}

fn rsa() -> (Vec<u8>, Vec<u8>) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (private.as_ref().to_vec(), public.as_ref().to_vec())
}

fn keys() -> Keys {
    let mut keys = Keys { entries: Vec::new(), records: Vec::new() };
    let (private, public) = rsa();
    keys.entries.push(entry("firm.example", "rsa", pem("PRIVATE KEY", &private)));
    let record = format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public));
    keys.records.push(("rsa._domainkey.firm.example".into(), record));
    let private = Ed25519Key::generate_pkcs8().unwrap();
    let public = Ed25519Key::from_pkcs8_der(&private).unwrap().public_key();
    keys.entries.push(entry("firm.example", "ed", pem("PRIVATE KEY", &private)));
    let record = format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(public));
    keys.records.push(("ed._domainkey.firm.example".into(), record));
    keys
}

const HEAD: &str = "Received: from a ([192.0.2.1])\r\n\tby b; Sun, 22 Nov 2026 07:00:00 +0100\r\n\
    From: =?utf-8?Q?M=C3=BCller?= <m@firm.example>\r\nTo: b@x.test\r\nSubject: hello\r\n\
    Date: Sun, 22 Nov 2026 07:00:00 +0100\r\nMessage-ID: <1@firm.example>\r\nMIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";

/// Content of every kind that has ever broken a signature.
fn samples() -> Vec<(String, Vec<u8>)> {
    let with = |body: &str| format!("{HEAD}\r\n{body}").into_bytes();
    let folded = "From: m@firm.example\r\nTo: a@x.test,\r\n b@x.test,\r\n\t  c@x.test\r\nSubject:\r\n  a  b \t\r\n\tc  \r\n\
        cc:d@x.test\r\nReferences: <1@x>\r\n <2@x>\r\nList-Unsubscribe: <https://x.test/?a=b>\r\n\r\nbody\r\n";
    let attachment = format!("{}\r\n", "QUJD".repeat(244)).repeat(1_074);
    let mut samples: Vec<(String, Vec<u8>)> = [
        ("plain", with("hello\r\n")),
        ("folded", folded.into()),
        ("8-bit", with("Gr\u{fc}\u{df}e\r\n\r\n  x \t y \r\n")),
        ("empty-body", with("")),
        ("no-empty-line", HEAD.into()),
        ("only-line-ends", with("\r\n\r\n\r\n")),
        ("no-final-newline", with("hello")),
        ("no-final-newline-space", with("hello  ")),
        ("white-lines", with("hello\r\n   \r\n\t\r\n")),
        ("white-lines-then-empty", with("hello\r\n   \r\n\r\n\r\n")),
        ("only-white", with(" \t \r\n")),
        ("trailing-white", with("hello  \t\r\nx \r\n")),
        ("dots", with(".\r\n..\r\n.x\r\nx.\r\n.\r\n")),
        ("attachment", with(&attachment)),
        ("long-line", with(&format!("{}\r\n", "x".repeat(1 << 20)))),
        ("form-feed", format!("{}\r\nhello\x0c x\r\n", HEAD.replace("hello", "page\x0c 1\x0cof 2")).into()),
        ("latin-1", [HEAD.as_bytes(), b"\r\nGr\xfc\xdfe\r\n"].concat()),
    ]
    .into_iter()
    .map(|(name, content)| (name.to_owned(), content))
    .collect();
    let piece = prop_oneof![
        Just(" "),
        Just("\t"),
        Just("\r\n"),
        Just("\r\n"),
        Just("a"),
        Just("."),
        Just("\u{e9}"),
        Just("=")
    ];
    let bodies = proptest::collection::vec(piece, 0..12);
    let mut runner = TestRunner::deterministic();
    for i in 0..200 {
        let body: Vec<&str> = bodies.new_tree(&mut runner).unwrap().current();
        samples.push((format!("random-{i}"), with(&body.concat())));
    }
    samples
}

/// What a verifier finds of the keys.
fn published(keys: &Keys) -> Records {
    let records = keys.records.iter().map(|(name, text)| {
        let key = DomainKey::parse(text.as_bytes()).unwrap();
        (format!("{name}.").into_boxed_str(), Txt::DomainKey(Arc::new(key)))
    });
    Records(records.collect())
}

#[tokio::test]
async fn signatures_of_both_key_types_verify() {
    let keys = keys();
    let signer = signer(&keys.entries).unwrap();
    let records = published(&keys);
    let verifier = MessageAuthenticator::new_cloudflare().unwrap();

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dkim");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let lines: Vec<String> = keys.records.iter().map(|(name, text)| format!("{name} {text}")).collect();
    keep(&folder.join("keys"), lines.join("\n").as_bytes());
    for (name, content) in samples() {
        let fields = signer.sign(&split(&content)).unwrap();
        assert!(fields.split(|&b| b == b'\n').all(|line| line.len() <= 100), "{name}");
        assert!(!fields.windows(5).any(|w| w == b"\t;\r\nD"), "{name}");
        // As it is sent: the last line has its end.
        let end: &[u8] = if content.ends_with(b"\r\n") { b"" } else { b"\r\n" };
        let sent = [&fields[..], &content[..], end].concat();
        keep(&folder.join(format!("{name}.eml")), &sent);
        let message = AuthenticatedMessage::parse(&sent).unwrap();
        let verdicts = verifier.verify_dkim(Parameters::new(&message).with_txt_cache(&records)).await;
        assert_eq!(verdicts.len(), 2, "{name}");
        for verdict in verdicts {
            assert_eq!(verdict.result(), &DkimResult::Pass, "{name}");
        }
    }

    // The verifier can tell: a changed body and an added field must fail.
    let content = samples().swap_remove(0).1;
    let sent = [signer.sign(&split(&content)).unwrap(), content].concat();
    let text = String::from_utf8(sent).unwrap();
    for bad in
        [text.replace("hello\r\n", "hallo\r\n"), text.replace("\r\nFrom:", "\r\nSubject: other\r\nFrom:")]
    {
        let message = AuthenticatedMessage::parse(bad.as_bytes()).unwrap();
        let verdicts = verifier.verify_dkim(Parameters::new(&message).with_txt_cache(&records)).await;
        assert!(verdicts.iter().all(|v| v.result() != &DkimResult::Pass));
    }
}

#[expect(clippy::disallowed_methods, reason = "a sample need not outlive the machine")]
fn keep(path: &Path, octets: &[u8]) {
    std::fs::write(path, octets).unwrap();
}

fn ed(domain: &str, selector: &str) -> DkimEntry {
    entry(domain, selector, pem("PRIVATE KEY", &Ed25519Key::generate_pkcs8().unwrap()))
}

#[test]
fn signs_for_its_own_domains_only() {
    let signer = signer(&[
        ed("firm.example", "a"),
        ed("mail.firm.example", "b"),
        ed("Mail.Firm.Example", "c"),
        ed("other.example", "d"),
        ed("müller.example", "e"),
    ])
    .unwrap();
    for (from, want) in [
        ("x@firm.example", "a"),
        ("x@FIRM.example", "a"),
        ("x@deep.sub.firm.example", "a"),
        ("x@mail.firm.example", "bc"),
        ("x@sub.mail.firm.example", "bc"),
        ("\"x@other.example\" <x@firm.example>", "a"),
        ("x@infirm.example", ""),
        ("x@example", ""),
        ("x@firm.example.evil.test", ""),
        ("x@firm.example, y@other.example", "ad"),
        ("x@firm.example, y@evil.test", ""),
        ("x@firm.example\r\nFrom: y@evil.test", ""),
        ("x@müller.example", "e"),
        ("x@MU\u{308}LLER.example", "e"),
        ("x@XN--MLLER-KVA.example", "e"),
        ("x@sub.müller。example", "e"),
        ("x..y.@müller.example", "e"),
        ("x@nomüller.example", ""),
        ("nobody", ""),
        ("", ""),
    ] {
        let fields =
            signer.sign(&split(format!("From: {from}\r\nTo: a@other.example\r\n\r\nx\r\n"))).unwrap();
        let text = String::from_utf8(fields).unwrap();
        let selectors: String = text.match_indices("; s=").map(|(i, m)| &text[i + m.len()..][..1]).collect();
        assert_eq!(selectors, want, "{from}");
    }
    assert_eq!(signer.sign(&split("To: a@firm.example\r\n\r\nx\r\n")).unwrap(), b"");
    let fields = signer.sign(&split("From: x@müller.example\r\n\r\nx\r\n")).unwrap();
    let text = String::from_utf8(fields).unwrap();
    assert!(text.contains("d=xn--mller-kva.example;"), "the DNS knows A-labels: {text}");
}

/// A clock that shows one time.
struct Stopped(jiff::Timestamp);

impl Clock for Stopped {
    fn wall(&self) -> jiff::Timestamp {
        self.0
    }
    fn since_boot(&self) -> Duration {
        Duration::ZERO
    }
    fn boot_id(&self) -> String {
        String::new()
    }
}

#[test]
fn each_key_signs_in_its_time() {
    let from = |day: &str, entry: DkimEntry| DkimEntry { from: Some(day.parse().unwrap()), ..entry };
    let rsa = |selector: &str| entry("firm.example", selector, pem("PRIVATE KEY", &rsa().0));
    let entries = [
        rsa("a"),
        from("2027-01-01", rsa("b")),
        ed("firm.example", "c"),
        from("2027-03-01", ed("mail.firm.example", "d")),
        from("2027-06-01", rsa("e")),
    ];
    for (now, firm, mail) in [
        ("2026-12-31T23:59:59Z", "ac", "ac"),
        ("2027-01-01T00:00:00Z", "bc", "bc"),
        // Midnight is that of UTC, wherever the machine stands.
        ("2027-02-28T23:59:59.999Z", "bc", "bc"),
        ("2027-03-01T00:00:00Z", "bc", "d"),
        ("2027-06-01T00:00:00Z", "ce", "d"),
        ("2030-01-01T00:00:00Z", "ce", "d"),
    ] {
        let clock = Stopped(now.parse().unwrap());
        let signer = Signer::new(&entries, Timeline::resume(Arc::new(clock), None)).unwrap();
        for (domain, want) in [("firm.example", firm), ("mail.firm.example", mail), ("other.example", "")] {
            let content = format!("From: x@{domain}\r\nTo: a@other.example\r\n\r\nx\r\n");
            let text = String::from_utf8(signer.sign(&split(&content)).unwrap()).unwrap();
            let found: String = text.match_indices("; s=").map(|(i, m)| &text[i + m.len()..][..1]).collect();
            let told = signer.keys_for(&domain.into());
            let told: String = told.iter().map(|key| key.selector.as_str()).collect();
            assert_eq!((found.as_str(), told.as_str()), (want, want), "{domain} at {now}");
        }
    }
}

#[test]
fn oversigns_what_may_stand_once() {
    let signer = signer(&[ed("firm.example", "a")]).unwrap();
    let content = b"From: x@firm.example\r\nsubject : s\r\nList-Id: l\r\nX-Own: o\r\n\r\nx\r\n";
    let text = String::from_utf8(signer.sign(&split(content)).unwrap()).unwrap().replace("\r\n\t", "");
    let list = text.split("h=").nth(1).unwrap().split(';').next().unwrap().to_ascii_lowercase();
    let mut names: Vec<&str> = list.split(':').collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "cc",
            "content-transfer-encoding",
            "content-type",
            "date",
            "from",
            "from",
            "list-id",
            "message-id",
            "mime-version",
            "reply-to",
            "subject",
            "subject",
            "to"
        ]
    );
}

#[test]
fn tells_what_is_wrong_with_a_key() {
    let (private, _) = rsa();
    // The key itself stands in the last field of PKCS#8, behind 26 octets of frame.
    let pkcs1 = pem("RSA PRIVATE KEY", &private[26..]);
    assert!(signer(&[entry("a.test", "s", pkcs1)]).is_ok());
    let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (name, pem, want) in [
        ("nothing", String::new(), "is not a private key"),
        ("text", "secret".into(), "is not a private key"),
        ("encrypted", pem("ENCRYPTED PRIVATE KEY", &private), "is encrypted"),
        ("public", pem("PUBLIC KEY", &private), "is not a private key"),
        ("ECDSA", ec, "neither"),
        ("damaged", pem("PRIVATE KEY", &private[..600]), "neither"),
    ] {
        let secret = pem.clone();
        let error: DkimError = signer(&[entry("a.test", "s", pem)]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(want) && text.contains("s._domainkey.a.test"), "{name}: {text}");
        assert!(secret.is_empty() || !format!("{error:?}{text}").contains(&secret), "{name}");
    }
    let signer = signer(&[ed("a.test", "s")]).unwrap();
    assert_eq!(format!("{signer:?}"), r#"[("a.test", "s")]"#);
}

#[test]
fn refuses_a_short_key() {
    // The crypto library makes no such key itself, and none is kept in the repository.
    let Ok(made) = std::process::Command::new("openssl").args(["genrsa", "1024"]).output() else {
        eprintln!("openssl is missing: not tested");
        return;
    };
    let pem = String::from_utf8(made.stdout).unwrap();
    assert!(pem.contains("PRIVATE KEY"), "{pem}");
    let error = signer(&[entry("a.test", "s", pem)]).unwrap_err().to_string();
    assert!(error.contains("2048"), "{error}");
}
