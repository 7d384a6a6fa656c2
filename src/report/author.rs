//! As whom we write ourselves.

use crate::config::{BounceFrom, Config, Filter, GraphMailbox, Upstream, UpstreamKind};
use crate::mail::Address;

/// The From of what we write ourselves, sent by this upstream to this address. Some providers take only mail that is from the
/// account's own address, or the one that all its mail has.
///
/// # Panics
/// Never: the name that stands in for one that can't be in an address is one that can.
#[must_use]
pub fn report_author(config: &Config, upstream: &Upstream, to: &Address) -> Address {
    if let BounceFrom::Address(address) = &config.queue.bounce_from {
        return address.clone();
    }
    // Where each message names its mailbox, there is none that the sender does not have: it tells itself.
    let is_by_author =
        matches!(&upstream.kind, UpstreamKind::Graph(graph) if graph.mailbox == GraphMailbox::From);
    if is_by_author && Filter::any_matches(&upstream.filter, to) {
        return to.clone();
    }
    let account = upstream.accounts.first();
    let fixed = upstream.sender.as_ref().zip(account).and_then(|(s, account)| s.fixed_address(account));
    let account = fixed.or_else(|| account.and_then(|account| Address::parse(account.name()).ok()));
    account
        .or_else(|| Address::parse(&format!("MAILER-DAEMON@{}", config.hostname)).ok())
        .unwrap_or_else(|| Address::parse("MAILER-DAEMON@localhost").expect("it is a mailbox"))
}
