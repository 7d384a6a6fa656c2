//! Upstreams that are this relay itself.
//!
//! What stands in the configuration is compared without asking the network: addresses, `localhost`, the names in
//! `/etc/hosts`. A way back that leads over a name in the DNS, or over an address translation, shows in the dialogue
//! (`ConnectCause::OwnListener`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::reader::Section;
use crate::config::sections::listener::PlacedListener;
use crate::config::sections::upstream::Read;
use crate::config::{Machine, Smtp, UpstreamKind};

/// Notes a fault for each upstream whose host and port are those of a listener.
pub(super) fn check(root: &Section<'_>, reads: &[Read], listeners: &[PlacedListener]) {
    let machine = root.context.machine;
    for read in reads {
        let UpstreamKind::Smtp(smtp) = &read.upstream.kind else { continue };
        if smtp.proxy.is_some() {
            // Where a name leads is the proxy's to know.
            continue;
        }
        if let Some(PlacedListener { listener, place }) =
            listeners.iter().find(|placed| is_met(placed, smtp, machine))
        {
            let what = format!(
                "{} is the relay's own listener {}{}, so that its mail would come back for ever",
                smtp.authority(),
                listener.address,
                place.in_brackets()
            );
            root.fault(&read.host, "upstream.host", &what, "write host and port of the provider's server");
        }
    }
}

fn is_met(placed: &PlacedListener, smtp: &Smtp, machine: &Machine) -> bool {
    let address = placed.listener.address;
    address.port() == smtp.port
        && addresses(&smtp.host, machine).into_iter().any(|ip| leads_to(address.ip(), ip, machine))
}

/// The addresses of a host, as far as they can be told without DNS.
fn addresses(host: &str, machine: &Machine) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    // RFC 6761 6.3
    if host == "localhost" || host.ends_with(".localhost") {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    let address = |line: &str| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let ip = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(&host)).then_some(ip)
    };
    machine.hosts.lines().filter_map(address).collect()
}

/// Whether a connection to `ip` reaches who listens at `listener`.
fn leads_to(listener: IpAddr, ip: IpAddr, machine: &Machine) -> bool {
    let (listener, ip) = (listener.to_canonical(), ip.to_canonical());
    // Whoever connects to "any address" reaches the loopback address.
    let ip = match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let is_here = ip.is_loopback() || machine.addresses.contains(&ip);
    match listener {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => is_here && ip.is_ipv4(),
        // It takes IPv4, too.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => is_here,
        listener => listener == ip,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn tells_which_listener_a_host_leads_to() {
        let machine = Machine {
            hosts: "127.0.0.1 localhost\n127.0.1.1 box.firm.example Box # me\n192.0.2.7 other\nx y"
                .to_owned(),
            addresses: ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap()).into(),
            ..Machine::bare(Path::new("/"))
        };
        for (listener, hosts, others) in [
            (
                "127.0.0.1",
                &["127.0.0.1", "localhost", "LOCALHOST", "a.localhost", "0.0.0.0", "::ffff:127.0.0.1"][..],
                &["127.0.0.2", "::1", "192.0.2.1", "box", "me", "localhost.example", "other"][..],
            ),
            ("::1", &["::1", "localhost", "::"], &["127.0.0.1", "0.0.0.0"]),
            ("127.0.1.1", &["box", "BOX.firm.example"], &["localhost", "0.0.0.0"]),
            ("192.0.2.7", &["other", "192.0.2.7"], &["192.0.2.1", "localhost"]),
            (
                "0.0.0.0",
                &["127.0.0.1", "127.9.9.9", "localhost", "box", "192.0.2.1", "0.0.0.0"],
                &["::1", "2001:db8::1", "other", "192.0.2.7", "smtp.firm.example"],
            ),
            (
                "::",
                &["::1", "::", "127.0.0.1", "localhost", "box", "192.0.2.1", "2001:db8::1", "2001:DB8:0::1"],
                &["192.0.2.7", "2001:db8::2", "other"],
            ),
        ] {
            let listener: IpAddr = listener.parse().unwrap();
            let meets =
                |host: &str| addresses(host, &machine).iter().any(|&ip| leads_to(listener, ip, &machine));
            for host in hosts {
                assert!(meets(host), "{host} leads to {listener}");
            }
            for host in others {
                assert!(!meets(host), "{host} does not lead to {listener}");
            }
        }
    }
}
