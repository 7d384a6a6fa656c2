//! Names: where reports arrive, and how this machine calls itself.

use std::net::IpAddr;

use super::book::Book;
use super::diagnosis::{Check, Diagnosis, Notes};
use crate::dns::DnsName;

const LATER: &str = "try again when the name server answers";

/// Whether a domain that is used in reverse-paths takes the reports that come back (RFC 5321 5.1, RFC 7505).
#[must_use]
pub fn judge_exchange(domain: &DnsName, book: &Book) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::Mx, domain);
    let exchanges = match book.exchanges(domain) {
        Ok(exchanges) => exchanges,
        Err(error) => {
            notes.unknown(format!("the MX records cannot be looked up: {error}"), LATER);
            return notes.done();
        }
    };
    if exchanges.is_empty() {
        match book.addresses(domain) {
            Err(error) => notes.unknown(format!("the addresses cannot be looked up: {error}"), LATER),
            Ok(addresses) if addresses.is_empty() => notes.fault(
                "the domain has neither MX nor address, so that no report can arrive, and many receivers refuse its mail",
                format!("publish {domain} MX 10 with the host that takes its mail, or send with another domain"),
            ),
            Ok(_) => notes.ok("the domain takes mail at its own address, without MX"),
        }
        return notes.done();
    }
    if exchanges.iter().all(|exchange| exchange.host.is_none()) {
        notes.fault(
            "the domain says that it takes no mail (null MX), so that many receivers refuse its mail",
            format!("publish {domain} MX 10 with the host that takes its mail, or send with another domain"),
        );
        return notes.done();
    }
    let mut reached = 0;
    for host in exchanges.iter().filter_map(|exchange| exchange.host.as_ref()) {
        match book.addresses(host) {
            Err(error) => {
                notes.unknown(format!("{host}, which takes its mail, cannot be looked up: {error}"), LATER);
            }
            Ok(addresses) if addresses.is_empty() => notes.warning(
                format!("{host}, which is to take its mail, has no address"),
                format!("publish {host} A, or remove {domain} MX {host}"),
            ),
            Ok(_) => reached += 1,
        }
    }
    if reached > 0 {
        notes.ok(format!("{reached} of {} hosts that take its mail are known", exchanges.len()));
    }
    notes.done()
}

/// Whether a name by which we greet leads to this machine and back. `used` says where it is used.
#[must_use]
pub fn judge_own_name(name: &DnsName, used: &str, book: &Book) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::Names, name);
    let addresses = match book.addresses(name) {
        Ok(addresses) => addresses,
        Err(error) => {
            notes.unknown(format!("{used}: the name cannot be looked up: {error}"), LATER);
            return notes.done();
        }
    };
    let public: Vec<IpAddr> = addresses.iter().copied().filter(|address| is_public(*address)).collect();
    if addresses.is_empty() {
        notes.warning(
            format!("{used}: the name is not in the DNS, and some providers refuse such a name in EHLO"),
            format!("publish {name} A with the address by which this machine is seen, or write another name"),
        );
    } else if public.is_empty() {
        notes.ok(format!(
            "{used}: the name leads to {}, which only the local network knows",
            list(&addresses)
        ));
    } else {
        reverse(name, used, (&public, book), &mut notes);
    }
    notes.done()
}

fn reverse(name: &DnsName, used: &str, (addresses, book): (&[IpAddr], &Book), notes: &mut Notes) {
    for &address in addresses {
        match book.names_of(address) {
            Err(error) => {
                notes.unknown(format!("{used}: the name of {address} cannot be looked up: {error}"), LATER);
            }
            Ok(names) if names.contains(name) => {
                notes.ok(format!("{used}: the name leads to {address} and back"));
            }
            Ok([]) => notes.warning(
                format!("{used}: the name leads to {address}, which has no name"),
                format!("have the owner of {address} publish {} PTR {name}.", DnsName::reverse(address)),
            ),
            Ok([other, ..]) => notes.warning(
                format!("{used}: the name leads to {address}, which is called {other}"),
                format!(
                    "write {other}, or have the owner of {address} publish {} PTR {name}.",
                    DnsName::reverse(address)
                ),
            ),
        }
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether others can know the address.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !v4.is_private() && !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            !v6.is_loopback() && !v6.is_unique_local() && !v6.is_unicast_link_local() && !v6.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::doctor::book::testing::Zone;

    fn worst(found: &[Diagnosis]) -> Option<Level> {
        found.iter().map(|finding| finding.level).max()
    }

    #[test]
    fn domains_take_their_reports() {
        const NAME: &str = "firm.example";
        for (case, zone, want) in [
            (
                "mx",
                &[(NAME, "MX", "10 mx.firm.example"), ("mx.firm.example", "A", "192.0.2.1")][..],
                Level::Ok,
            ),
            ("own address", &[(NAME, "AAAA", "2001:db8::1")], Level::Ok),
            ("null mx", &[(NAME, "MX", "0 .")], Level::Fault),
            ("nothing", &[], Level::Fault),
            ("no address", &[(NAME, "MX", "10 mx.firm.example")], Level::Warning),
            ("no answer", &[(NAME, "MX", "!")], Level::Unknown),
            ("no answer for its address", &[(NAME, "A", "!"), (NAME, "AAAA", "!")], Level::Unknown),
            (
                "one of two",
                &[
                    (NAME, "MX", "10 a.example"),
                    (NAME, "MX", "20 b.example"),
                    ("b.example", "A", "192.0.2.1"),
                ],
                Level::Warning,
            ),
        ] {
            let found = Zone::of(zone).judged(|book| judge_exchange(&DnsName::parse(NAME).unwrap(), book));
            assert_eq!(worst(&found), Some(want), "{case}: {found:?}");
            assert!(found.iter().all(|f| f.level < Level::Warning || f.remedy.is_some()), "{case}");
        }
    }

    #[test]
    fn own_names_lead_back() {
        const NAME: &str = "relay.firm.example";
        const BACK: &str = "1.2.0.192.in-addr.arpa";
        for (case, zone, want) in [
            ("there and back", &[(NAME, "A", "192.0.2.1"), (BACK, "PTR", NAME)][..], Level::Ok),
            ("another name", &[(NAME, "A", "192.0.2.1"), (BACK, "PTR", "host.isp.example")], Level::Warning),
            ("no name", &[(NAME, "A", "192.0.2.1")], Level::Warning),
            ("private", &[(NAME, "A", "10.0.0.1")], Level::Ok),
            ("nowhere", &[], Level::Warning),
            ("no answer", &[(NAME, "A", "!"), (NAME, "AAAA", "!")], Level::Unknown),
            ("no answer on the way back", &[(NAME, "A", "192.0.2.1"), (BACK, "PTR", "!")], Level::Unknown),
        ] {
            let name = DnsName::parse(NAME).unwrap();
            let found = Zone::of(zone).judged(|book| judge_own_name(&name, "hostname", book));
            assert_eq!(worst(&found), Some(want), "{case}: {found:?}");
        }
    }
}
