use mail_auth::common::crypto::DkimKey;
use secrecy::ExposeSecret as _;

use super::*;
use crate::config::signing_key;
use crate::dkim::{KeyTerm, NewKey, RsaLength, generate};

const TODAY: &str = "2027-01-15";

fn made(key: NewKey) -> DkimKey {
    signing_key(generate(key).unwrap().expose_secret()).unwrap()
}

fn own(private: &DkimKey) -> OwnKey {
    OwnKey::new("firm.example".into(), "s1".to_owned(), private, KeyTerm::default())
}

fn judged(key: &OwnKey, texts: &[&str]) -> Vec<KeyFinding> {
    let texts = texts.iter().map(|&text| text.to_owned()).collect();
    judge(key, &Published::Texts(texts), TODAY.parse().unwrap())
}

fn faults(key: &OwnKey, texts: &[&str]) -> Vec<RecordFault> {
    judged(key, texts).into_iter().map(|finding| finding.fault).collect()
}

fn rsa() -> DkimKey {
    made(NewKey::Rsa(RsaLength::Bits2048))
}

/// An RSA key as a record has it, of any odd modulus: nobody makes such short ones any more.
fn short_rsa(bits: usize) -> String {
    let element = |tag: u8, content: &[u8]| {
        let length = match content.len() {
            length @ ..0x80 => vec![length as u8],
            length @ ..0x100 => vec![0x81, length as u8],
            length => vec![0x82, (length >> 8) as u8, length as u8],
        };
        [&[tag], &length[..], content].concat()
    };
    let modulus = [&[0][..], &vec![0xab; bits / 8]].concat();
    STANDARD.encode(element(0x30, &[element(0x02, &modulus), element(0x02, &[1, 0, 1])].concat()))
}

#[test]
fn a_good_record_has_no_fault() {
    for private in [rsa(), made(NewKey::Ed25519)] {
        let key = own(&private);
        let value = key.record().value;
        let p = key.public.to_base64();
        let k = key.public.key_type().as_str();
        let (start, end) = p.split_at(20);
        for text in [
            value.clone(),
            format!("{value};"),
            format!("v=DKIM1;k={k};t=s;s=email;h=sha1:sha256;p={p}"),
            format!("v = DKIM1 ; k = {k} ; n=\"our\\ key\" ; s=* ; x=unknown; p= {start} \t{end} ; "),
            format!("k={k}; p={p}"),
        ] {
            assert_eq!(faults(&key, &[&text]), [], "{text}");
        }
    }
    let key = own(&rsa());
    assert_eq!(
        faults(&key, &[&format!("p={}", key.public.to_base64())]),
        [],
        "RSA is what k= is without a word"
    );
}

#[test]
fn each_fault_is_named() {
    let private = rsa();
    let key = own(&private);
    let (value, p) = (key.record().value, key.public.to_base64());
    let all = p.len();
    let DkimKey::Rsa(secret) = &private else { unreachable!() };
    let unframed = STANDARD.encode(secret.public_key());
    let ed25519 = own(&made(NewKey::Ed25519)).record().value;
    let cut = &value[..255];
    let typed =
        |published: &str| RecordFault::Type { published: published.to_owned(), ours: DkimKeyType::Rsa };
    for (name, text, want) in [
        ("other", own(&rsa()).record().value, vec![RecordFault::OtherKey]),
        ("revoked", "v=DKIM1; k=rsa; p=".into(), vec![RecordFault::Revoked]),
        ("revoked, nothing else", "v=DKIM1; p= ; ".into(), vec![RecordFault::Revoked]),
        ("test", format!("{value}; t=y"), vec![RecordFault::Test]),
        ("test among flags", format!("{value}; t=s : y"), vec![RecordFault::Test]),
        ("type", ed25519, vec![typed("ed25519")]),
        ("unknown type", format!("v=DKIM1; k=dsa; p={p}"), vec![typed("dsa")]),
        ("version", format!("v=DKIM2; k=rsa; p={p}"), vec![RecordFault::Version("DKIM2".into())]),
        ("case of the version", format!("v=dkim1; p={p}"), vec![RecordFault::Version("dkim1".into())]),
        ("version behind", format!("k=rsa; v=DKIM1; p={p}"), vec![RecordFault::VersionBehind]),
        ("service", format!("{value}; s=tlsrpt"), vec![RecordFault::Service("tlsrpt".into())]),
        ("hash", format!("{value}; h=sha1"), vec![RecordFault::Hash("sha1".into())]),
        ("no key", "v=DKIM1; k=rsa".into(), vec![RecordFault::NoKey]),
        ("twice", format!("{value}; p={p}"), vec![RecordFault::Twice("p".into())]),
        ("cut off", cut.into(), vec![RecordFault::CutOff { there: 255 - "v=DKIM1; k=rsa; p=".len(), all }]),
        ("quoted", format!("\"{value}\""), vec![RecordFault::Quoted]),
        ("quoted strings", format!("v=DKIM1; p={}\" \"{}", &p[..200], &p[200..]), vec![RecordFault::Quoted]),
        ("escaped", format!("v=DKIM1\\; k=rsa\\; p={p}"), vec![RecordFault::Quoted]),
        ("damaged", format!("v=DKIM1; p=A{}", &p[1..]), vec![RecordFault::Damaged(DkimKeyType::Rsa)]),
        ("no base64", "v=DKIM1; p=hush!".into(), vec![RecordFault::Damaged(DkimKeyType::Rsa)]),
        ("PEM", "v=DKIM1; p=-----BEGIN PUBLIC KEY-----".into(), vec![RecordFault::Damaged(DkimKeyType::Rsa)]),
        ("unframed", format!("v=DKIM1; p={unframed}"), vec![RecordFault::Unframed]),
        (
            "short",
            format!("v=DKIM1; p={}", short_rsa(1024)),
            vec![RecordFault::OtherKey, RecordFault::Short(1024)],
        ),
        (
            "too short, and a test",
            format!("v=DKIM1; t=y; p={}", short_rsa(768)),
            vec![RecordFault::OtherKey, RecordFault::TooShort(768), RecordFault::Test],
        ),
        ("SPF", "v=spf1 -all".into(), vec![RecordFault::NoRecord("\"v=spf1 -all\"".into())]),
        ("words", "hello".into(), vec![RecordFault::NoRecord("\"hello\"".into())]),
        ("nothing", String::new(), vec![RecordFault::NoRecord("\"\"".into())]),
    ] {
        let findings = judged(&key, &[&text]);
        assert_eq!(findings.iter().map(|finding| finding.fault.clone()).collect::<Vec<_>>(), want, "{name}");
        for finding in findings {
            assert!(finding.remedy.contains(&key.record().zone_line()), "{name}: {}", finding.remedy);
        }
    }
}

#[test]
fn several_records_are_a_fault() {
    let key = own(&rsa());
    let value = key.record().value;
    let other = own(&rsa()).record().value;
    let (start, end) = value.split_at(200);
    let (middle, last) = end.split_at(100);
    let several = |ours| vec![RecordFault::Several { count: 2, ours }];
    for (texts, want) in [
        (vec![value.as_str(), "google-site-verification=x"], several(true)),
        (vec![&value, &value], several(true)),
        (vec![&other, "v=DKIM1; p="], several(false)),
        (vec![start, end], vec![RecordFault::Scattered(2)]),
        (vec![end, start], vec![RecordFault::Scattered(2)]),
        (vec![last, start, middle], vec![RecordFault::Scattered(3)]),
        (vec![start, middle], several(false)),
    ] {
        assert_eq!(faults(&key, &texts), want, "{texts:?}");
    }
    let many = vec!["v=DKIM1; p="; 64];
    assert_eq!(faults(&key, &many), [RecordFault::Several { count: 64, ours: false }]);
}

#[test]
fn what_does_not_sign_harms_nobody() {
    let signs = own(&rsa());
    let term = |begins: &str, ends: &str| KeyTerm { begins: begins.parse().ok(), ends: ends.parse().ok() };
    let waits = OwnKey { term: term("2027-01-16", ""), ..signs.clone() };
    let stopped = OwnKey { term: term("", "2027-01-15"), ..signs.clone() };
    let today = TODAY.parse().unwrap();
    let nothing = Published::Nothing { alias: None };
    for (key, published, level, text, remedy) in [
        (&signs, &nothing, FindingLevel::Fault, "is not published", "publish this one record: s1._domainkey"),
        (&waits, &nothing, FindingLevel::Warning, "it signs from 2027-01-16 on", "publish this one record"),
        (
            &stopped,
            &nothing,
            FindingLevel::Warning,
            "has not signed since 2027-01-15",
            "remove its [[dkim]] entry",
        ),
        (
            &signs,
            &Published::Nothing { alias: Some("k.host.example".into()) },
            FindingLevel::Fault,
            "a CNAME leads to k.host.example",
            "publish this one record",
        ),
        (&signs, &Published::Texts(Vec::new()), FindingLevel::Fault, "is not published", "publish this one"),
        (&stopped, &Published::Unknown("SERVFAIL".into()), FindingLevel::Unknown, "SERVFAIL", "name servers"),
    ] {
        let findings = judge(key, published, today);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.text.contains(text) && finding.remedy.contains(remedy), "{finding:?}");
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(texts in proptest::collection::vec("[vkpsht]=[A-Za-z0-9:;= \"]{0,40}|\\PC{0,40}", 0..6)) {
        let key = OwnKey { public: DkimPublicKey::Ed25519(vec![7; 32]), ..own(&made(NewKey::Ed25519)) };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        proptest::prop_assert!(!judged(&key, &texts).is_empty());
    }
}
