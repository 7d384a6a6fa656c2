//! What the DNS says of the sender domains, and of our own names.

use std::collections::BTreeMap;

use crate::cli::client::runtime;
use crate::cli::failure::Failure;
use crate::cli::interrupt::unless_interrupted;
use crate::config::{Config, UpstreamKind};
use crate::dkim::OwnKey;
use crate::dns::{DnsName, Resolver};
use crate::doctor::{
    Book, Diagnosis, SenderDomain, inquire, judge_bulk_rules, judge_dkim, judge_dmarc, judge_exchange,
    judge_own_name, judge_spf,
};
use crate::mail::DomainKey;
use crate::transform::Signer;

/// Looks up all that is to be judged, and judges it.
pub(super) fn judge(
    config: &Config,
    signer: &Signer,
    senders: &[SenderDomain],
) -> Result<Vec<Diagnosis>, Failure> {
    let names = own_names(config);
    let today = signer.today();
    runtime()?.block_on(async {
        let resolver = Resolver::new(&config.dns.servers).map_err(|error| Failure::Failed(error.into()))?;
        let looking = inquire(&resolver, |book| {
            let of_key = |key: &OwnKey| (key.domain.clone(), judge_dkim(key, today, book));
            let keys: Vec<_> = signer.own_keys().map(of_key).collect();
            let mut found = of_senders(senders, &keys, book);
            found.extend(names.iter().flat_map(|(name, used)| judge_own_name(name, used, book)));
            found
        });
        unless_interrupted(looking).await.ok_or_else(|| Failure::new("interrupted"))
    })
}

/// What there is to say of each sender domain, and of all keys.
fn of_senders(senders: &[SenderDomain], keys: &[(DomainKey, Vec<Diagnosis>)], book: &Book) -> Vec<Diagnosis> {
    let mut found: Vec<Diagnosis> = keys.iter().flat_map(|(_, found)| found.clone()).collect();
    for sender in senders {
        let mut of_sender = judge_spf(sender, book);
        of_sender.extend(judge_dmarc(sender, book));
        let signs = |domain: &DomainKey| sender.signed_by.iter().any(|own| own.as_str() == domain.as_str());
        let own_keys = keys.iter().filter(|(domain, _)| signs(domain)).flat_map(|(_, found)| found.clone());
        let all: Vec<Diagnosis> = of_sender.iter().cloned().chain(own_keys).collect();
        found.extend(of_sender);
        found.extend(judge_bulk_rules(sender, &all));
        found.extend(judge_exchange(&sender.name, book));
    }
    found
}

/// The names by which we greet, and where they are used. What has no dot is none that others can know, and `check` says so.
fn own_names(config: &Config) -> BTreeMap<DnsName, String> {
    let mut names: BTreeMap<DnsName, String> = BTreeMap::new();
    let mut add = |name: &str, used: &str| {
        let is_name = name.contains('.') && !name.starts_with('[');
        if let Some(name) = DnsName::parse(name).ok().filter(|_| is_name) {
            names.entry(name).or_insert_with(|| used.to_owned());
        }
    };
    for upstream in &config.upstreams {
        if let UpstreamKind::Smtp(smtp) = &upstream.kind {
            match &smtp.ehlo {
                Some(ehlo) => add(ehlo, &format!("ehlo of upstream {}", upstream.name)),
                None => add(&config.hostname, "hostname"),
            }
        }
    }
    names
}
