use super::*;
use crate::doctor::Level;
use crate::doctor::book::testing::Zone;

const NAME: &str = "firm.example";
const GMAIL: SendingHosts = SendingHosts::Included(&["_spf.google.com"]);

fn sender(hosts: &[SendingHosts]) -> SenderDomain {
    let via = |hosts: &SendingHosts| Via { name: "up".to_owned(), hosts: *hosts, preset: None, sign: true };
    SenderDomain {
        name: DnsName::parse(NAME).unwrap(),
        upstreams: hosts.iter().map(via).collect(),
        signed_by: vec![],
    }
}

fn judged(records: &[(&'static str, &'static str, &str)], hosts: &[SendingHosts]) -> Vec<Diagnosis> {
    let found = Zone::of(records).judged(|book| judge(&sender(hosts), book));
    for finding in &found {
        assert!(finding.level < Level::Warning || finding.remedy.is_some(), "{finding:?}");
    }
    found
}

fn worst(found: &[Diagnosis]) -> Level {
    found.iter().map(|finding| finding.level).max().unwrap()
}

#[test]
fn a_record_is_judged_by_itself() {
    let mx = |count: usize| -> Vec<(&'static str, &'static str, String)> {
        (0..count).map(|at| (NAME, "MX", format!("10 m{at}.example"))).collect()
    };
    for (case, record, want, says) in [
        ("sound", "v=spf1 ip4:192.0.2.0/24 ~all", Level::Ok, "0 of 10 look-ups"),
        ("plus all", "v=spf1 +all", Level::Fault, "whole world"),
        ("bare all", "v=spf1 ip4:192.0.2.1 all", Level::Fault, "whole world"),
        ("neutral all", "v=spf1 ip4:192.0.2.1 ?all", Level::Warning, "protects nobody"),
        ("no all", "v=spf1 ip4:192.0.2.1", Level::Warning, "no all"),
        ("ptr", "v=spf1 ptr -all", Level::Warning, "ptr is slow"),
        ("syntax", "v=spf1 ip:192.0.2.1 -all", Level::Fault, "ip:192.0.2.1 is no mechanism"),
        ("nothing behind all counts", "v=spf1 -all include:nowhere.example", Level::Ok, "0 of 10"),
        ("a void", "v=spf1 a:no.example -all", Level::Warning, "find nothing: a:no.example"),
        (
            "voids",
            "v=spf1 a:a.example mx:b.example exists:c.example -all",
            Level::Fault,
            "3 terms find nothing",
        ),
        (
            "included nothing",
            "v=spf1 include:nowhere.example -all",
            Level::Fault,
            "no SPF record at that name",
        ),
        (
            "itself",
            "v=spf1 include:firm.example -all",
            Level::Fault,
            "in a circle: firm.example → firm.example",
        ),
        ("a bad name", "v=spf1 include:a..example -all", Level::Fault, "no name server can be asked"),
        ("macro", "v=spf1 exists:%{i}.%{d} -all", Level::Ok, "1 of 10"),
        ("macro of the domain", "v=spf1 include:sub.%{d} -all", Level::Fault, "no SPF record"),
    ] {
        let found = judged(&[(NAME, "TXT", record), (NAME, "TXT", "other")], &[]);
        assert_eq!(worst(&found), want, "{case}: {found:?}");
        assert!(found.iter().any(|finding| finding.text.contains(says)), "{case}: {found:?}");
    }
    for (count, want) in [(10, Level::Ok), (11, Level::Fault)] {
        let mut zone = Zone(mx(count));
        zone.0.push((NAME, "TXT", "v=spf1 mx -all".to_owned()));
        assert_eq!(worst(&zone.judged(|book| judge(&sender(&[]), book))), want, "{count} hosts");
    }
}

#[test]
fn chains_are_followed() {
    let many = |count: usize| {
        let terms: String = (0..count).map(|_| "exists:%{i}.x.example ").collect();
        format!("v=spf1 {terms}~all")
    };
    let (ten, eleven, nine) = (many(10), many(11), many(9));
    for (case, zone, want, says) in [
        ("ten", &[(NAME, "TXT", ten.as_str())][..], Level::Ok, "10 of 10"),
        ("eleven", &[(NAME, "TXT", eleven.as_str())], Level::Fault, "needs 11 look-ups"),
        (
            "eleven in two records",
            &[
                (NAME, "TXT", "v=spf1 a:h.example include:x.example -all"),
                ("h.example", "A", "192.0.2.1"),
                ("x.example", "TXT", &nine),
            ],
            Level::Fault,
            "needs 11 look-ups",
        ),
        (
            "a ring",
            &[
                (NAME, "TXT", "v=spf1 include:a.example -all"),
                ("a.example", "TXT", "v=spf1 include:b.example -all"),
                ("b.example", "TXT", "v=spf1 redirect=a.example"),
            ],
            Level::Fault,
            "a.example → b.example → a.example",
        ),
        (
            "twice the same is no ring",
            &[
                (NAME, "TXT", "v=spf1 include:a.example include:a.example -all"),
                ("a.example", "TXT", "v=spf1 ip4:192.0.2.1 -all"),
            ],
            Level::Ok,
            "2 of 10",
        ),
        (
            "two records there",
            &[
                (NAME, "TXT", "v=spf1 include:a.example -all"),
                ("a.example", "TXT", "v=spf1 -all"),
                ("a.example", "TXT", "v=spf1 ~all"),
            ],
            Level::Fault,
            "a.example, which the record includes, has 2",
        ),
        (
            "syntax there",
            &[(NAME, "TXT", "v=spf1 redirect=a.example"), ("a.example", "TXT", "v=spf1 ipv4:192.0.2.1 -all")],
            Level::Fault,
            "the record of a.example has a syntax error",
        ),
        (
            "the world there",
            &[(NAME, "TXT", "v=spf1 include:a.example -all"), ("a.example", "TXT", "v=spf1 +all")],
            Level::Fault,
            "the record of a.example, which it leads to, lets the whole world send",
        ),
        (
            "the world is not let in by what fails",
            &[(NAME, "TXT", "v=spf1 -include:a.example -all"), ("a.example", "TXT", "v=spf1 +all")],
            Level::Ok,
            "1 of 10",
        ),
        (
            "no answer there",
            &[(NAME, "TXT", "v=spf1 include:a.example -all"), ("a.example", "TXT", "!")],
            Level::Unknown,
            "cannot be looked up",
        ),
        ("no answer", &[(NAME, "TXT", "!")], Level::Unknown, "cannot be looked up"),
    ] {
        let found = judged(zone, &[]);
        assert_eq!(worst(&found), want, "{case}: {found:?}");
        assert!(found.iter().any(|finding| finding.text.contains(says)), "{case}: {found:?}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn the_hosts_of_an_upstream_may_send_or_not() {
    const GOOGLE: (&str, &str, &str) =
        ("_spf.google.com", "TXT", "v=spf1 ip4:192.0.2.0/25 ip4:198.51.100.0/24 ~all");
    let of_provider = SendingHosts::OfProvider;
    let unknown = SendingHosts::Unknown;
    for (case, record, hosts, want, remedy) in [
        ("included", Some("v=spf1 include:_spf.google.com ~all"), GMAIL, Level::Ok, ""),
        ("redirected", Some("v=spf1 redirect=_spf.google.com"), GMAIL, Level::Ok, ""),
        ("in another", Some("v=spf1 include:all.example ~all"), GMAIL, Level::Ok, ""),
        ("flattened", Some("v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/23 ~all"), GMAIL, Level::Ok, ""),
        (
            "half flattened",
            Some("v=spf1 ip4:192.0.2.0/24 ~all"),
            GMAIL,
            Level::Fault,
            "firm.example TXT \"v=spf1 ip4:192.0.2.0/24 include:_spf.google.com ~all\"",
        ),
        (
            "missing",
            Some("v=spf1 -all"),
            GMAIL,
            Level::Fault,
            "publish firm.example TXT \"v=spf1 include:_spf.google.com -all\"",
        ),
        (
            "failing",
            Some("v=spf1 a:a.example -include:_spf.google.com -all"),
            GMAIL,
            Level::Fault,
            "TXT \"v=spf1 a:a.example include:_spf.google.com -all\"",
        ),
        (
            "failing softly, oddly written",
            Some("v=spf1 ~Include:_SPF.google.com. ip4:192.0.2.1 ~all"),
            GMAIL,
            Level::Fault,
            "TXT \"v=spf1 ip4:192.0.2.1 include:_spf.google.com ~all\"",
        ),
        (
            "neutral",
            Some("v=spf1 ?include:_spf.google.com -all"),
            GMAIL,
            Level::Fault,
            "TXT \"v=spf1 include:_spf.google.com -all\"",
        ),
        (
            "failing before it passes",
            Some("v=spf1 -include:_spf.google.com include:_spf.google.com -all"),
            GMAIL,
            Level::Fault,
            "TXT \"v=spf1 include:_spf.google.com -all\"",
        ),
        (
            "passing before it fails",
            Some("v=spf1 include:_spf.google.com -include:_spf.google.com -all"),
            GMAIL,
            Level::Ok,
            "",
        ),
        (
            "failing with another",
            Some("v=spf1 ip4:203.0.113.1 ~include:all.example include:_spf.google.com -all"),
            GMAIL,
            Level::Fault,
            "TXT \"v=spf1 ip4:203.0.113.1 include:_spf.google.com ~include:all.example -all\"",
        ),
        (
            "failing, and flattened behind that",
            Some("v=spf1 -include:_spf.google.com ip4:192.0.2.0/24 ip4:198.51.100.0/23 -all"),
            GMAIL,
            Level::Fault,
            "TXT \"v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/23 include:_spf.google.com -all\"",
        ),
        (
            "not let pass by the included one, which says nothing then",
            Some("v=spf1 -include:none.example include:_spf.google.com -all"),
            GMAIL,
            Level::Ok,
            "",
        ),
        (
            "not let pass by the one that it is redirected to",
            Some("v=spf1 redirect=none.example"),
            GMAIL,
            Level::Fault,
            "TXT \"v=spf1 include:_spf.google.com redirect=none.example\"",
        ),
        (
            "behind all",
            Some("v=spf1 -all include:_spf.google.com"),
            GMAIL,
            Level::Fault,
            "TXT \"v=spf1 include:_spf.google.com -all\"",
        ),
        (
            "by macro",
            Some("v=spf1 include:%{i}.spf.example -all"),
            GMAIL,
            Level::Unknown,
            "include:_spf.google.com",
        ),
        (
            "no record",
            None,
            GMAIL,
            Level::Fault,
            "publish firm.example TXT \"v=spf1 include:_spf.google.com ~all\"",
        ),
        ("no record, none needed", None, of_provider, Level::Ok, ""),
        ("no record, not known", None, unknown, Level::Warning, "publish"),
        ("not known", Some("v=spf1 ip4:192.0.2.1 -all"), unknown, Level::Unknown, "preset"),
        ("of the provider", Some("v=spf1 ip4:192.0.2.1 -all"), of_provider, Level::Ok, ""),
    ] {
        let mut zone = vec![
            GOOGLE,
            ("all.example", "TXT", "v=spf1 include:_spf.google.com ~all"),
            ("none.example", "TXT", "v=spf1 -include:_spf.google.com +ip4:203.0.113.9 ~all"),
            ("a.example", "A", "203.0.113.7"),
        ];
        zone.extend(record.map(|record| (NAME, "TXT", record)));
        let found = judged(&zone, &[hosts]);
        assert_eq!(worst(&found), want, "{case}: {found:?}");
        let told: String = found.iter().filter_map(|finding| finding.remedy.clone()).collect();
        assert!(told.contains(remedy), "{case}: {told}");
    }
}

#[test]
fn several_records_become_one() {
    let zone = [
        (NAME, "TXT", "v=spf1 include:a.example -all"),
        (NAME, "TXT", "v=spf1 include:a.example ip4:192.0.2.1 ~all"),
    ];
    let found = judged(&zone, &[GMAIL]);
    assert_eq!((found.len(), worst(&found)), (1, Level::Fault));
    let remedy = found[0].remedy.as_deref().unwrap();
    assert!(remedy.ends_with("TXT \"v=spf1 include:a.example ip4:192.0.2.1 ~all\""), "{remedy}");
}
