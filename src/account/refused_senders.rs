//! As whom a message goes, where an account may not send as everybody.

use crate::mail::ReversePath;
use crate::upstream::Senders;

/// The address that a message is from: that of its From, else the reverse-path.
pub(super) fn address_of<'a>(sender: &'a str, reverse_path: &'a ReversePath) -> &'a str {
    match (sender, reverse_path) {
        ("", ReversePath::Address(address)) => address.as_str(),
        (sender, _) => sender,
    }
}

/// What of an address is refused: itself, or its domain.
pub(super) fn part(address: &str, senders: Senders) -> &str {
    match senders {
        Senders::Address => address,
        Senders::Domain => address.rsplit_once('@').map_or(address, |(_, domain)| domain),
    }
}
