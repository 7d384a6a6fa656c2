//! The addresses of this machine, as the kernel lists them.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What Linux says; nothing where it does not.
pub(super) fn of_this_machine() -> Vec<IpAddr> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (four, six) = (read("/proc/net/fib_trie"), read("/proc/net/if_inet6"));
    ipv4(&four).map(IpAddr::from).chain(ipv6(&six).map(IpAddr::from)).collect()
}

/// Whether a socket of this machine can have that address. Its port is not touched.
pub(super) fn is_own(mut address: SocketAddr) -> bool {
    address.set_port(0);
    let no_such = |error: &io::Error| {
        let family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
        error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(family)
    };
    !UdpSocket::bind(address).is_err_and(|error| no_such(&error))
}

/// From the routing table as a tree: an address, and on the next line that it is a local one.
fn ipv4(fib_trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    fib_trie.lines().zip(fib_trie.lines().skip(1)).filter_map(|(address, kind)| {
        let is_local = kind.trim() == "/32 host LOCAL";
        is_local.then(|| address.trim().strip_prefix("|-- ")?.parse().ok()).flatten()
    })
}

/// One on each line: 32 hexadecimal digits, then what else is known of it.
fn ipv6(if_inet6: &str) -> impl Iterator<Item = Ipv6Addr> {
    if_inet6.lines().filter_map(|line| {
        let digits = line.split_ascii_whitespace().next().filter(|digits| digits.len() == 32)?;
        u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_addresses() {
        for (address, want) in [
            ("127.0.0.1:25", true),
            ("0.0.0.0:25", true),
            ("192.0.2.7:25", false),
            ("[2001:db8::7]:25", false),
        ] {
            assert_eq!(is_own(address.parse().unwrap()), want, "{address}");
        }
    }

    #[test]
    fn reads_what_linux_lists() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n           \
                    |-- 127.0.0.0\n              /8 host LOCAL\n           |-- 127.0.0.1\n              \
                    /32 host LOCAL\n           |-- 192.0.2.2\n              /32 host LOCAL\n        \
                    |-- 192.0.2.255\n           /32 link BROADCAST\n";
        let want = ["127.0.0.1", "192.0.2.2"].map(|ip| ip.parse::<Ipv4Addr>().unwrap());
        assert_eq!(ipv4(trie).collect::<Vec<_>>(), want);
        let list = "fd000000000000000000000000000002 04 40 00 82     eth0\nnone\n\
                    00000000000000000000000000000001 01 80 10 80       lo\n";
        let want = ["fd00::2", "::1"].map(|ip| ip.parse::<Ipv6Addr>().unwrap());
        assert_eq!(ipv6(list).collect::<Vec<_>>(), want);
    }
}
