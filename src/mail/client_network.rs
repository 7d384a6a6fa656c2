//! Who a client is: the one home of that rule, for all limits and turns of clients.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Who a client is for counting and for turns: an IPv4 address, or the /64 of an IPv6 address, since one host can choose
/// among all addresses of that (RFC 4291 2.5.4, RFC 8981).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientNetwork(IpAddr);

impl ClientNetwork {
    /// The network of a client's address.
    #[must_use]
    pub fn of(client: IpAddr) -> Self {
        Self(match client.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// An IPv4 address as it is, an IPv6 network as `2001:db8:0:0::/64`. Queued mail is kept by this text.
impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => {
                network.segments()[..4].iter().try_for_each(|segment| write!(f, "{segment:x}:"))?;
                f.write_str(":/64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_a_whole_network() {
        for (client, want) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
            ("2001:db8::1", "2001:db8:0:0::/64"),
            ("::1", "0:0:0:0::/64"),
        ] {
            assert_eq!(ClientNetwork::of(client.parse().unwrap()).to_string(), want, "{client}");
        }
    }
}
