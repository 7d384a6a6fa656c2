//! Which domains mail is sent from, and by which upstreams.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{BounceFrom, Config, Filter, Upstream, UpstreamKind};
use crate::dns::DnsName;
use crate::doctor::{SenderDomain, Via};
use crate::mail::{Address, DomainKey};
use crate::transform::Signer;

/// The sender domains that the configuration names, and those of these reverse-paths. Domains whose mail leaves by no smart host
/// are not among them.
pub(super) fn of(config: &Config, signer: &Signer, reverse_paths: &[String]) -> Vec<SenderDomain> {
    let mut used: BTreeMap<DomainKey, BTreeSet<usize>> = BTreeMap::new();
    for domain in named(config, reverse_paths) {
        let ways = ways(config, &domain);
        used.entry(domain).or_default().extend(ways);
    }
    // Reports go out from the address of the account that sends them.
    for (at, upstream) in config.upstreams.iter().enumerate() {
        for login in &upstream.accounts {
            if let Ok(address) = Address::parse(login.name()) {
                used.entry(address.key().domain()).or_default().insert(at);
            }
        }
    }
    used.into_iter().filter_map(|(domain, ways)| sender((config, signer), &domain, &ways)).collect()
}

/// All domains that are named as ones of senders.
fn named(config: &Config, reverse_paths: &[String]) -> BTreeSet<DomainKey> {
    let filters = config.upstreams.iter().flat_map(|upstream| &upstream.filter);
    let granted = config.users.iter().flat_map(|user| &user.senders);
    let mut domains: BTreeSet<DomainKey> = filters.chain(granted).filter_map(domain_of).collect();
    domains.extend(config.dkim.iter().map(|entry| entry.domain.clone()));
    let mut addresses: Vec<Address> =
        config.users.iter().filter_map(|user| user.default_sender.clone()).collect();
    if let BounceFrom::Address(address) = &config.queue.bounce_from {
        addresses.push(address.clone());
    }
    addresses.extend(reverse_paths.iter().filter_map(|path| Address::parse(path).ok()));
    domains.extend(addresses.iter().map(|address| address.key().domain()));
    domains
}

/// The domain that a filter names; none of `*.domain`, which may be any.
fn domain_of(filter: &Filter) -> Option<DomainKey> {
    match filter {
        Filter::Address(address) => Some(address.domain()),
        Filter::Domain(domain) => Some(domain.clone()),
        Filter::Subdomains(_) => None,
    }
}

/// The upstreams that mail of a domain may take, by their place in the configuration.
fn ways(config: &Config, domain: &DomainKey) -> BTreeSet<usize> {
    let mut ways = BTreeSet::new();
    let mut is_whole = false;
    for (at, upstream) in config.upstreams.iter().enumerate() {
        for filter in &upstream.filter {
            let (serves, all) = match filter {
                Filter::Address(address) => (DomainKey::eq(&address.domain(), domain), false),
                Filter::Domain(own) => (own == domain, true),
                Filter::Subdomains(parent) => (domain.is_below(parent), true),
            };
            if serves {
                ways.insert(at);
                is_whole |= all;
            }
        }
    }
    if !is_whole {
        ways.extend(config.upstreams.iter().position(|upstream| upstream.default));
    }
    let fallbacks: Vec<usize> =
        ways.iter().flat_map(|&at| fallbacks(config, &config.upstreams[at])).collect();
    ways.extend(fallbacks);
    ways
}

fn fallbacks(config: &Config, upstream: &Upstream) -> Vec<usize> {
    let place = |name: &String| config.upstreams.iter().position(|other| other.name == *name);
    upstream.fallback.upstreams.iter().filter_map(place).collect()
}

fn sender(
    (config, signer): (&Config, &Signer),
    domain: &DomainKey,
    ways: &BTreeSet<usize>,
) -> Option<SenderDomain> {
    let via = |at: &usize| {
        let upstream = &config.upstreams[*at];
        match &upstream.kind {
            UpstreamKind::Smtp(smtp) if upstream.enabled => {
                Some(Via::of(&upstream.name, smtp, upstream.sign))
            }
            UpstreamKind::Smtp(_) | UpstreamKind::Graph(_) | UpstreamKind::Capture(_) => None,
        }
    };
    let upstreams: Vec<Via> = ways.iter().filter_map(via).collect();
    // An address literal is no name.
    let name = DnsName::parse(domain.as_str()).ok().filter(|name| !name.as_str().starts_with('['))?;
    let keys = signer.keys_for(domain);
    let signed_by = keys.first().and_then(|own| DnsName::parse(own.domain.as_str()).ok());
    (!upstreams.is_empty()).then(|| SenderDomain {
        name,
        upstreams,
        signed_by: signed_by.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::SendingHosts;
    use crate::time::{SystemClock, Timeline};

    #[test]
    fn each_domain_has_its_ways() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"
            [queue]
            bounce_from = "bounces@other.example"
            [[user]]
            name = "erp"
            password = "long enough secret"
            senders = ["a@user.example", "*.below.example"]
            [[upstream]]
            name = "office"
            preset = "office365"
            default = true
            user = "mailer@firm.example"
            password = "secret"
            fallback = ["backup"]
            [[upstream]]
            name = "google"
            preset = "gmail"
            filter = ["shop.example", "*.shop.example", "chief@user.example"]
            user = "me@shop.example"
            password = "secret"
            [[upstream]]
            name = "backup"
            host = "smtp.backup.example"
            [[upstream]]
            name = "off"
            enabled = false
            host = "smtp.off.example"
            filter = ["off.example"]
            [[upstream]]
            name = "box"
            kind = "capture"
            filter = ["box.example"]
        "#;
        let config = Config::from_toml(text, folder.path()).unwrap().config;
        let signer = Signer::new(&config.dkim, Timeline::resume(Arc::new(SystemClock), None)).unwrap();
        let senders = of(
            &config,
            &signer,
            &["x@queue.shop.example".to_owned(), String::new(), "y@[192.0.2.1]".to_owned()],
        );
        let told: Vec<(String, Vec<&str>)> = senders
            .iter()
            .map(|sender| {
                (sender.name.to_string(), sender.upstreams.iter().map(|via| via.name.as_str()).collect())
            })
            .collect();
        let want = [
            ("firm.example", vec!["office"]),
            ("other.example", vec!["office", "backup"]),
            ("queue.shop.example", vec!["google"]),
            ("shop.example", vec!["google"]),
            ("user.example", vec!["office", "google", "backup"]),
        ];
        assert_eq!(told, want.map(|(name, ways)| (name.to_owned(), ways)));
        assert_eq!(senders[0].upstreams[0].hosts, SendingHosts::Included(&["spf.protection.outlook.com"]));
    }
}
