//! Which upstream serves a sender: full address before domain before default. Never an MX, never a guess.
//!
//! Level 3. Decided again at every attempt, so that queued mail follows a changed configuration. The mail of one
//! upstream stands in one *lane* of the queue; a sender to whom an account is bound has a lane of its own.

use std::collections::HashMap;

use crate::config::{Account, Config, Filter, Upstream};

/// The lane of mail that test mode keeps on this machine. No upstream can have this name.
pub const CAPTURED: &str = "/captured";

/// The lane of an upstream, or with an account that is bound to its sender, that sender's lane.
#[must_use]
pub fn lane_name(upstream: &Upstream, bound: Option<&Account>) -> String {
    match bound {
        Some(account) => format!("{}/{}", upstream.name, account.name().to_lowercase()),
        None => upstream.name.clone(),
    }
}

/// The upstream whose mail stands in a lane; empty for mail that is on its way to none.
#[must_use]
pub fn upstream_of(lane: &str) -> &str {
    lane.split_once('/').map_or(lane, |(upstream, _)| upstream)
}

/// The routing table, made from the filters of all upstreams. Disabled upstreams match, too: their mail waits.
#[derive(Debug, Clone)]
pub struct Router {
    upstreams: Vec<Upstream>,
    addresses: HashMap<String, usize>,
    domains: HashMap<String, usize>,
    parents: HashMap<String, usize>,
    default: Option<usize>,
}

impl Router {
    /// The table of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut router = Self {
            upstreams: config.upstreams.clone(),
            addresses: HashMap::new(),
            domains: HashMap::new(),
            parents: HashMap::new(),
            default: config.upstreams.iter().position(|u| u.default),
        };
        for (index, upstream) in config.upstreams.iter().enumerate() {
            for filter in &upstream.filter {
                let (table, key) = match filter {
                    Filter::Address(address) => (&mut router.addresses, address),
                    Filter::Domain(domain) => (&mut router.domains, domain),
                    Filter::Subdomains(domain) => (&mut router.parents, domain),
                };
                table.insert(key.to_lowercase(), index);
            }
        }
        router
    }

    /// The upstream that serves a sender; `None` when no filter matches and there is no default.
    ///
    /// `sender` is an address in any case, or empty for mail without one (then only the default can serve it).
    #[must_use]
    pub fn route(&self, sender: &str) -> Option<&Upstream> {
        let sender = sender.to_lowercase();
        let domain = sender.rsplit_once('@').map_or("", |(_, domain)| domain);
        let index = self
            .addresses
            .get(&sender)
            .or_else(|| self.domains.get(domain))
            .or_else(|| self.nearest_parent(domain))
            .copied()
            .or(self.default)?;
        self.upstreams.get(index)
    }

    /// The upstream in whose one lane all mail stands that is served at all, where it is so.
    #[must_use]
    pub fn sole(&self) -> Option<&Upstream> {
        match self.upstreams.as_slice() {
            [sole] if lanes(sole).count() == 1 => Some(sole),
            _ => None,
        }
    }

    /// The lane in which a sender's mail stands; `None` when no upstream serves it.
    #[must_use]
    pub fn lane(&self, sender: &str) -> Option<String> {
        let upstream = self.route(sender)?;
        Some(lane_name(upstream, bound_to(upstream, sender)))
    }

    /// Whether the sender's upstream has an account that may send for it.
    #[must_use]
    pub fn has_account(&self, sender: &str) -> bool {
        let serves = |upstream: &Upstream| {
            bound_to(upstream, sender).is_some() || upstream.accounts.iter().any(|a| !a.sender_bound)
        };
        self.route(sender).is_some_and(serves)
    }

    /// All lanes of an upstream.
    #[must_use]
    pub fn lanes_of(&self, upstream: &str) -> Vec<String> {
        let upstream = self.upstream(upstream);
        upstream.into_iter().flat_map(|u| lanes(u).map(|bound| lane_name(u, bound))).collect()
    }

    /// The upstream of that name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<&Upstream> {
        self.upstreams.iter().find(|u| u.name == name)
    }

    /// The `*.domain` filter with the longest domain.
    fn nearest_parent(&self, domain: &str) -> Option<&usize> {
        domain.match_indices('.').find_map(|(dot, _)| self.parents.get(&domain[dot + 1..]))
    }
}

/// The account to which alone a sender's mail goes.
fn bound_to<'a>(upstream: &'a Upstream, sender: &str) -> Option<&'a Account> {
    upstream.accounts.iter().find(|a| a.sender_bound && a.name().eq_ignore_ascii_case(sender))
}

/// The lanes of an upstream: its own, and one for each account that is bound to its sender.
pub fn lanes(upstream: &Upstream) -> impl Iterator<Item = Option<&Account>> {
    [None].into_iter().chain(upstream.accounts.iter().filter(|a| a.sender_bound).map(Some))
}
