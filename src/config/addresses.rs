//! The addresses of this machine, as the kernel lists them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What Linux says; nothing where it does not.
pub(super) fn of_this_machine() -> Vec<IpAddr> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (four, six) = (read("/proc/net/fib_trie"), read("/proc/net/if_inet6"));
    ipv4(&four).map(IpAddr::from).chain(ipv6(&six).map(IpAddr::from)).collect()
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
