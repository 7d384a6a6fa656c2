//! What the DNS says of the sender domains, and of our own names.

use std::collections::BTreeMap;

use crate::cli::client::runtime;
use crate::cli::failure::Failure;
use crate::config::{Config, UpstreamKind};
use crate::dns::{DnsName, Resolver};
use crate::doctor::{
    Book, Diagnosis, SenderDomain, inquire, judge_bulk_rules, judge_dmarc, judge_exchange, judge_own_name,
    judge_spf,
};

/// Looks up all that is to be judged, and judges it.
pub(super) fn judge(config: &Config, senders: &[SenderDomain]) -> Result<Vec<Diagnosis>, Failure> {
    let names = own_names(config);
    runtime()?.block_on(async {
        let resolver = Resolver::new(&config.dns.servers).map_err(|error| Failure::Failed(error.into()))?;
        let looking = inquire(&resolver, |book| all(senders, &names, book));
        tokio::select! {
            found = looking => Ok(found),
            _ = tokio::signal::ctrl_c() => Err(Failure::new("interrupted")),
        }
    })
}

fn all(senders: &[SenderDomain], names: &BTreeMap<DnsName, String>, book: &Book) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for sender in senders {
        let mut of_sender = judge_spf(sender, book);
        of_sender.extend(judge_dmarc(sender, book));
        let bulk = judge_bulk_rules(sender, &of_sender);
        found.extend(of_sender);
        found.extend(bulk);
        found.extend(judge_exchange(&sender.name, book));
    }
    for (name, used) in names {
        found.extend(judge_own_name(name, used, book));
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
