//! Which upstream serves a sender: full address before domain before default. Never an MX, never a guess.
//!
//! Level 3. Decided again at every attempt, so that queued mail follows a changed configuration.

use std::collections::HashMap;

use crate::config::{Config, Filter, Upstream};

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

    /// The upstream that serves all mail that is served at all, where there is only one.
    #[must_use]
    pub fn sole(&self) -> Option<&Upstream> {
        match self.upstreams.as_slice() {
            [sole] => Some(sole),
            _ => None,
        }
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
