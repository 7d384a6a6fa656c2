//! Lists of networks, and whether they are wider than anybody can mean.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::words::quoted;

/// What to write for a network.
pub(super) const WRITE_NETS: &str = r#"write addresses or networks such as "10.0.0.0/8""#;

/// A list of networks or single addresses.
pub(super) fn read(section: &mut Section<'_>, key: &'static str) -> Option<Vec<IpNet>> {
    let texts = section.texts(key)?;
    parsed(section, key, &texts)
}

/// The same, where a sole one may stand without a list.
pub(super) fn read_one_or_more(section: &mut Section<'_>, key: &'static str) -> Option<Vec<IpNet>> {
    let texts = section.one_or_more_texts(key)?;
    parsed(section, key, &texts)
}

fn parsed(section: &Section<'_>, key: &str, texts: &[(SourcePlace, &str)]) -> Option<Vec<IpNet>> {
    let mut nets = Vec::with_capacity(texts.len());
    for (place, text) in texts {
        match parse_net(text) {
            Some(net) => nets.push(net),
            None => section.fault(place, key, &format!("{} is not a network", quoted(text)), WRITE_NETS),
        }
    }
    // Those that are good are looked at further, so that all that is wrong is told at once.
    (!nets.is_empty() || texts.is_empty()).then_some(nets)
}

/// Reads a network or a single address. IPv4 in IPv6's clothes (`::ffff:…`) becomes IPv4, as clients' addresses do.
fn parse_net(text: &str) -> Option<IpNet> {
    let net =
        text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)).ok()?.trunc();
    let mapped = match net {
        IpNet::V6(net) if net.prefix_len() >= 96 => {
            net.addr().to_ipv4_mapped().map(|v4| (v4, net.prefix_len() - 96))
        }
        _ => None,
    };
    Some(mapped.map_or(net, |(v4, length)| IpNet::V4(Ipv4Net::new_assert(v4, length))))
}

/// Whether networks together hold all public addresses of IPv4 or of IPv6.
pub(super) fn is_whole_internet(nets: &[IpNet]) -> bool {
    // Nobody gains safety by leaving out what is not routed: local networks, multicast and above.
    let not_public = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        ([224, 0, 0, 0], 3),
    ];
    let mut v4: Vec<Ipv4Net> =
        not_public.into_iter().map(|(address, length)| Ipv4Net::new_assert(address.into(), length)).collect();
    let mut v6: Vec<Ipv6Net> = Vec::new();
    for net in nets {
        match net {
            IpNet::V4(net) => v4.push(*net),
            IpNet::V6(net) => v6.push(*net),
        }
    }
    let global = Ipv6Net::new_assert([0x2000, 0, 0, 0, 0, 0, 0, 0].into(), 3);
    Ipv4Net::aggregate(&v4).iter().any(|net| net.prefix_len() == 0)
        || Ipv6Net::aggregate(&v6).iter().any(|net| net.contains(&global))
}

pub(super) fn is_very_wide(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.prefix_len() < 8,
        IpNet::V6(net) => net.prefix_len() < 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_whole_internet() {
        for (nets, want) in [
            (&["0.0.0.0/0"][..], true),
            (&["::/0"], true),
            (&["0.0.0.0/1", "128.0.0.0/1"], true),
            (&["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"], true),
            (&["::ffff:0:0/96"], true),
            (&["2000::/3"], true),
            (&["2000::/4", "3000::/4"], true),
            (&["8000::/1", "::/1"], true),
            (&["10.0.0.0/8", "fd00::/8", "::1"], false),
            (&["0.0.0.0/1"], false),
            (&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"], false),
            (&[], false),
        ] {
            let parsed: Vec<_> = nets.iter().map(|net| parse_net(net).unwrap()).collect();
            assert_eq!(is_whole_internet(&parsed), want, "{nets:?}");
        }
    }

    #[test]
    fn reads_networks() {
        for (text, want) in [
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("::1", Some("::1/128")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("10.0.0.0/33", None),
            ("localhost", None),
            ("", None),
        ] {
            assert_eq!(parse_net(text).map(|net| net.to_string()).as_deref(), want, "{text}");
        }
    }
}
