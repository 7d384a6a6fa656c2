//! Which upstream serves a sender: full address before domain before default. Never an MX, never a guess.
//!
//! Decided again at every attempt, so that queued mail follows a changed configuration. The mail of one upstream stands
//! in one *lane* of the queue; a sender to whom an account is bound has a lane of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::{
    Capture, Config, Fallback, Filter, Limits, Login, SharedLimits, TextEncoding, Upstream, UpstreamKind,
};
use crate::mail::{AddressKey, DomainKey};
use crate::store::LaneName;

/// The lane of an upstream, or with an account that is bound to its sender, that sender's lane.
#[must_use]
pub fn lane_name(upstream: &Upstream, bound: Option<&Login>) -> LaneName {
    match bound {
        Some(account) => LaneName::bound(&upstream.name, &account.key()),
        // The local mailbox of test mode, and where mail stands whose sender no upstream serves, have names of their own.
        None => LaneName::parse(&upstream.name),
    }
}

/// The routing table, made from the filters of all upstreams. Disabled upstreams match, too: their mail waits.
#[derive(Debug)]
pub struct Router {
    upstreams: Vec<Arc<Upstream>>,
    /// For each upstream its accounts that are bound to their sender, by that address.
    bound: Vec<HashMap<AddressKey, usize>>,
    addresses: HashMap<AddressKey, usize>,
    domains: HashMap<DomainKey, usize>,
    parents: HashMap<DomainKey, usize>,
    default: Option<usize>,
    /// Whether another one is in force by now.
    outdated: AtomicBool,
}

impl Router {
    /// The table of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut router = Self {
            upstreams: config.upstreams.clone(),
            bound: config.upstreams.iter().map(|upstream| bound(upstream)).collect(),
            addresses: HashMap::new(),
            domains: HashMap::new(),
            parents: HashMap::new(),
            default: config.upstreams.iter().position(|u| u.default),
            outdated: AtomicBool::new(false),
        };
        for (index, upstream) in config.upstreams.iter().enumerate() {
            for filter in &upstream.filter {
                match filter {
                    Filter::Address(address) => router.addresses.insert(address.clone(), index),
                    Filter::Domain(domain) => router.domains.insert(domain.clone(), index),
                    Filter::Subdomains(domain) => router.parents.insert(domain.clone(), index),
                };
            }
        }
        router
    }

    /// Another one is in force from now on.
    pub fn retire(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    /// Whether another one is in force: mail that is put in a lane by this one may have to be moved.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Acquire)
    }

    /// The upstream that serves a sender; `None` when no filter matches and there is no default.
    ///
    /// `sender` is an address in any spelling, or empty for mail without one (then only the default can serve it).
    #[must_use]
    pub fn route(&self, sender: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.get(self.index(&AddressKey::of_text(sender))?)
    }

    /// The upstreams that serve senders of a domain: whoever has an address of it, and who has all others.
    #[must_use]
    pub fn routes_of_domain(&self, domain: &DomainKey) -> Vec<&Arc<Upstream>> {
        let addresses = self.addresses.iter().filter(|(address, _)| DomainKey::eq(&address.domain(), domain));
        let others = self.domains.get(domain).or_else(|| self.nearest_parent(domain)).copied();
        let mut all: Vec<usize> = addresses.map(|(_, index)| *index).chain(others.or(self.default)).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().filter_map(|index| self.upstreams.get(index)).collect()
    }

    fn index(&self, sender: &AddressKey) -> Option<usize> {
        let domain = sender.domain();
        self.addresses
            .get(sender)
            .or_else(|| self.domains.get(&domain))
            .or_else(|| self.nearest_parent(&domain))
            .copied()
            .or(self.default)
    }

    /// The upstream in whose one lane all mail stands that is served at all, where it is so.
    #[must_use]
    pub fn sole(&self) -> Option<&Arc<Upstream>> {
        match self.upstreams.as_slice() {
            [sole] if lanes(sole).count() == 1 => Some(sole),
            _ => None,
        }
    }

    /// The lane in which a sender's mail stands; `None` when no upstream serves it.
    #[must_use]
    pub fn lane(&self, sender: &str) -> Option<LaneName> {
        let sender = AddressKey::of_text(sender);
        let index = self.index(&sender)?;
        Some(lane_name(&self.upstreams[index], self.bound_to(index, &sender)))
    }

    /// The lane of an upstream for a sender's mail, whoever serves the sender; `None` when none of its accounts may send for it.
    #[must_use]
    pub fn lane_of(&self, upstream: &str, sender: &str) -> Option<LaneName> {
        let index = self.upstreams.iter().position(|u| u.name == upstream)?;
        let bound = self.bound_to(index, &AddressKey::of_text(sender));
        let has_free = self.upstreams[index].accounts.len() > self.bound[index].len();
        (bound.is_some() || has_free).then(|| lane_name(&self.upstreams[index], bound))
    }

    /// Whether a lane is one of an upstream of the configuration.
    #[must_use]
    pub fn serves(&self, lane: &LaneName) -> bool {
        self.lanes_of(lane.upstream()).contains(lane)
    }

    /// All lanes of an upstream.
    #[must_use]
    pub fn lanes_of(&self, upstream: &str) -> Vec<LaneName> {
        let upstream = self.upstream(upstream);
        upstream.into_iter().flat_map(|u| lanes(u).map(|bound| lane_name(u, bound))).collect()
    }

    /// The accounts by which a lane's mail goes: the one that is bound to its sender, else all that are bound to nobody.
    #[must_use]
    pub fn accounts_of(&self, lane: &LaneName) -> Vec<&str> {
        let Some(index) = self.upstreams.iter().position(|u| u.name == lane.upstream()) else {
            return Vec::new();
        };
        match lane.sender() {
            Some(sender) => {
                let sender = AddressKey::of_text(sender);
                self.bound_to(index, &sender).map(Login::name).into_iter().collect()
            }
            None => {
                self.upstreams[index].accounts.iter().filter(|a| !a.sender_bound).map(Login::name).collect()
            }
        }
    }

    /// The account to which alone a sender's mail goes.
    fn bound_to(&self, index: usize, sender: &AddressKey) -> Option<&Login> {
        let place = self.bound[index].get(sender)?;
        self.upstreams[index].accounts.get(*place)
    }

    /// The upstream of that name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.iter().find(|u| u.name == name)
    }

    /// The `*.domain` filter with the longest domain.
    fn nearest_parent(&self, domain: &DomainKey) -> Option<&usize> {
        domain.parents().find_map(|parent| self.parents.get(parent))
    }
}

fn bound(upstream: &Upstream) -> HashMap<AddressKey, usize> {
    let all = upstream.accounts.iter().enumerate();
    all.filter(|(_, account)| account.sender_bound).map(|(at, account)| (account.key(), at)).collect()
}

/// Upstreams that no configuration names: the local mailbox of test mode, and where mail stands whose senders no
/// upstream serves any more: it waits, and expires in the end.
#[must_use]
pub fn own_upstreams(config: &Config) -> [Arc<Upstream>; 2] {
    let own = |lane: LaneName, enabled| {
        Arc::new(Upstream {
            name: lane.as_str().to_owned(),
            default: false,
            enabled,
            filter: Vec::new(),
            sender: None,
            sign: false,
            encode: TextEncoding::Unchanged,
            signature: None,
            kind: UpstreamKind::Capture(Capture { max: config.test_mode.capture_max }),
            accounts: vec![Login::anonymous(Limits::default())],
            shared_limits: SharedLimits::default(),
            limit_group: None,
            fallback: Fallback::default(),
            disable_after: 0,
        })
    };
    [own(LaneName::captured(), true), own(LaneName::unrouted(), false)]
}

/// The lanes of an upstream: its own, and one for each account that is bound to its sender.
pub fn lanes(upstream: &Upstream) -> impl Iterator<Item = Option<&Login>> {
    [None].into_iter().chain(upstream.accounts.iter().filter(|a| a.sender_bound).map(Some))
}
