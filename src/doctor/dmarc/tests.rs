use super::*;
use crate::doctor::Level;
use crate::doctor::book::testing::Zone;

fn sender(name: &str, hosts: SendingHosts, signed_by: &[&str]) -> SenderDomain {
    let name_of = |text: &&str| DnsName::parse(text).unwrap();
    SenderDomain {
        name: name_of(&name),
        upstreams: vec![Via { name: "up".to_owned(), hosts, preset: None, sign: true }],
        signed_by: signed_by.iter().map(name_of).collect(),
    }
}

#[test]
fn records_are_judged() {
    const AT: &str = "_dmarc.firm.example";
    for (case, records, want, says) in [
        ("none", &["v=DMARC1; p=none"][..], Level::Ok, "which only watches"),
        ("reject", &["v=DMARC1; p=reject; rua=mailto:a@firm.example"], Level::Ok, "the policy is reject"),
        ("other texts", &["hello", "v=DMARC1;p=quarantine"], Level::Ok, "the policy is quarantine"),
        ("nothing", &[], Level::Warning, "no DMARC record"),
        ("two", &["v=DMARC1; p=none", "v=DMARC1; p=reject"], Level::Fault, "there are 2 DMARC records"),
        ("no policy", &["v=DMARC1; rua=mailto:a@firm.example"], Level::Fault, "its second tag is not p"),
        ("misspelt", &["v=DMARC1; p=nothing"], Level::Fault, "p=nothing is none of"),
        ("order", &["v=DMARC1; sp=none; p=none"], Level::Fault, "its second tag is not p"),
        ("no list", &["v=DMARC1; p=none; reject"], Level::Fault, "no list of tags"),
        ("twice", &["v=DMARC1; p=none; p=reject"], Level::Fault, "the tag p stands twice"),
        ("pct", &["v=DMARC1; p=none; pct=200"], Level::Warning, "pct=200"),
        ("mode", &["v=DMARC1; p=none; adkim=strict"], Level::Warning, "adkim=strict"),
        ("reports", &["v=DMARC1; p=none; rua=a@firm.example"], Level::Warning, "no mailto:"),
        ("no answer", &["!"], Level::Unknown, "cannot be looked up"),
    ] {
        let zone = Zone(records.iter().map(|&record| (AT, "TXT", record.to_owned())).collect());
        let sender = sender("firm.example", SendingHosts::Unknown, &["firm.example"]);
        let found = zone.judged(|book| judge(&sender, book));
        assert_eq!(found.iter().map(|f| f.level).max(), Some(want), "{case}: {found:?}");
        assert!(found.iter().any(|finding| finding.text.contains(says)), "{case}: {found:?}");
        assert!(found.iter().all(|f| f.level < Level::Warning || f.remedy.is_some()), "{case}: {found:?}");
    }
}

#[test]
fn something_vouches_for_from() {
    const SUB: &str = "mail.firm.example";
    let gmail = SendingHosts::Included(&["_spf.google.com"]);
    let (unknown, of_provider) = (SendingHosts::Unknown, SendingHosts::OfProvider);
    let spf = "v=spf1 include:_spf.google.com ~all";
    for (case, record, spf, hosts, signed_by, want) in [
        ("own signature", "v=DMARC1; p=reject; adkim=s", spf, unknown, &[SUB][..], Level::Ok),
        ("relaxed", "v=DMARC1; p=reject", spf, unknown, &["firm.example"], Level::Ok),
        ("strict", "v=DMARC1; p=reject; adkim=s", spf, unknown, &["firm.example"], Level::Fault),
        ("strict, watching", "v=DMARC1; p=none; adkim=s", spf, unknown, &["firm.example"], Level::Warning),
        (
            "strict, watching below",
            "v=DMARC1; p=reject; sp=none; adkim=s",
            spf,
            unknown,
            &["firm.example"],
            Level::Warning,
        ),
        (
            "strict, by the reverse-path",
            "v=DMARC1; p=reject; adkim=s",
            spf,
            gmail,
            &["firm.example"],
            Level::Ok,
        ),
        ("by the reverse-path", "v=DMARC1; p=reject", spf, gmail, &[], Level::Ok),
        ("by a reverse-path that fails", "v=DMARC1; p=reject", "v=spf1 -all", gmail, &[], Level::Unknown),
        (
            "strict, by one that fails",
            "v=DMARC1; p=reject; adkim=s",
            "v=spf1 -all",
            gmail,
            &["firm.example"],
            Level::Fault,
        ),
        ("the provider's affair", "v=DMARC1; p=reject", spf, of_provider, &[], Level::Unknown),
    ] {
        let zone = Zone::of(&[
            ("_dmarc.firm.example", "TXT", record),
            (SUB, "TXT", spf),
            ("_spf.google.com", "TXT", "v=spf1 ip4:192.0.2.0/24 ~all"),
        ]);
        let sender = sender(SUB, hosts, signed_by);
        let found = zone.judged(|book| judge(&sender, book));
        assert_eq!(found.iter().map(|f| f.level).max(), Some(want), "{case}: {found:?}");
    }
}
