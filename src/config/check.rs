//! What can only be seen when all upstreams, and all listeners, are known.

mod large;
mod limit_groups;
pub(super) mod machine;
mod named;
mod own_listeners;
pub(super) mod rules;
mod same_names;
mod shadowed;
mod sign_ins;

use std::collections::HashMap;

pub(super) use self::limit_groups::check as limit_groups;
use self::named::find;
use self::same_names::same_names;
pub(super) use self::sign_ins::check as sign_ins;
use super::fault::SourcePlace;
use super::reader::Section;
use super::sections::listener::PlacedListener;
use super::sections::upstream::Read;
use super::words::quoted;
use super::{Config, Filter, NamedSignature, ServerAuth, Upstream, UpstreamKind};

/// Checks the upstreams against each other and the listeners, and settles which one is the default.
pub(super) fn upstreams(
    root: &Section<'_>,
    mut reads: Vec<Read>,
    listeners: &[PlacedListener],
) -> Vec<Upstream> {
    if reads.is_empty() && !root.has("upstream") {
        no_upstream(root);
    }
    if let [only] = reads.as_mut_slice()
        && only.default.is_none()
        && only.upstream.filter.is_empty()
    {
        only.upstream.default = true;
    }
    let names = reads.iter().map(|read| (read.upstream.name.as_str(), &read.name));
    same_names(root, "upstream.name", "upstream", names);
    filters(root, &reads);
    defaults(root, &reads);
    let ways = fallbacks(root, &mut reads);
    let carriers = large::check(root, &mut reads);
    without_mail(root, &reads, &ways, &carriers);
    own_listeners::check(root, &reads, listeners);
    reads.into_iter().map(|read| read.upstream).collect()
}

fn no_upstream(root: &Section<'_>) {
    let tried: Vec<String> = root.context.tried.iter().map(|path| path.display().to_string()).collect();
    let (what, instead) = if tried.is_empty() {
        let instead = "write [[upstream]] with name and host, or set MAILSLUICE__UPSTREAM__HOST";
        ("is missing, mail could go nowhere".to_owned(), instead)
    } else {
        let instead = "write one of them, name another by --config, or set MAILSLUICE__UPSTREAM__HOST";
        (format!("is missing, and no configuration was found at {}", tried.join(" or ")), instead)
    };
    root.missing_because("upstream", &what, instead);
}

/// Warns of a name without a dot, where some upstream is told it.
pub(super) fn hostname(root: &Section<'_>, config: &Config) {
    let is_told = |kind: &UpstreamKind| matches!(kind, UpstreamKind::Smtp(smtp) if smtp.ehlo.is_none());
    let name = &config.hostname;
    let is_bare = !name.is_empty() && !name.contains('.') && !name.starts_with('[');
    if is_bare && config.upstreams.iter().any(|upstream| is_told(&upstream.kind)) {
        let what = format!("{} has no dot, and many providers refuse such a name in EHLO", quoted(name));
        let instead = r#"write the full name of this machine, such as "relay.firm.example""#;
        root.warning(&root.place_of("hostname"), "hostname", &what, instead);
    }
}

/// Checks the names of the signatures.
pub(super) fn signatures(
    root: &Section<'_>,
    signatures: Vec<(SourcePlace, NamedSignature)>,
) -> Vec<NamedSignature> {
    let names = signatures.iter().map(|(place, signature)| (signature.name.as_str(), place));
    same_names(root, "signature.name", "signature", names);
    signatures.into_iter().map(|(_, signature)| signature).collect()
}

/// Warns of users who can log in nowhere.
pub(super) fn users(root: &Section<'_>, config: &Config) {
    let takes_logins = config.listeners.iter().any(|listener| listener.auth != ServerAuth::None);
    if let Some(user) = config.users.first().filter(|_| !takes_logins) {
        let what = format!("no listener takes logins, so that {} has no use", quoted(&user.name));
        let instead = r#"write auth = "optional" or "required" in [[listener]]"#;
        root.warning(&root.place_of("user"), "user", &what, instead);
    }
}

/// Warns of what is made ready for mail, and that no mail ever gets.
pub(super) fn without_effect(root: &Section<'_>, config: &Config) {
    let is_named = |signature: &NamedSignature| {
        config.rules.iter().any(|rule| rule.actions.signature.as_ref() == Some(&signature.name))
    };
    for signature in config.signatures.iter().filter(|signature| !signature.name.is_empty()) {
        if !is_named(signature) {
            let what =
                format!("{} is named by no rule, so that it stands below no mail", quoted(&signature.name));
            let instead = "name it in signature of a [[rule]], or remove it";
            root.warning(&root.place_of("signature"), "signature.name", &what, instead);
        }
    }
    let mut smart_hosts =
        config.upstreams.iter().filter(|up| matches!(up.kind, UpstreamKind::Smtp(_))).peekable();
    let signs = smart_hosts.peek().is_none() || smart_hosts.any(|upstream| upstream.sign);
    if let Some(entry) = config.dkim.first().filter(|_| !signs) {
        let what =
            format!("no upstream has mail signed here, so that the key of {} has no use", entry.domain);
        root.warning(&root.place_of("dkim"), "dkim", &what, "remove sign = false at one, or remove [[dkim]]");
    }
}

fn filters(root: &Section<'_>, reads: &[Read]) {
    let mut seen: HashMap<&Filter, (&str, &SourcePlace)> = HashMap::new();
    for read in reads {
        for (filter, place) in read.upstream.filter.iter().zip(&read.filters) {
            if let Some((name, first)) = seen.insert(filter, (&read.upstream.name, place)) {
                let what = format!(
                    "{} is a filter of {}{}, too",
                    quoted(&written(filter)),
                    quoted(name),
                    first.in_brackets()
                );
                root.fault(place, "upstream.filter", &what, "remove it from one of them");
            }
        }
    }
}

fn defaults(root: &Section<'_>, reads: &[Read]) {
    let mut defaults = reads.iter().filter(|read| read.upstream.default);
    let first = defaults.next();
    for second in defaults {
        let place = second.default.as_ref().unwrap_or(&second.place);
        let name = first.map_or("", |first| &first.upstream.name);
        let what = format!("is true for {}, too", quoted(name));
        root.fault(place, "upstream.default", &what, "leave it at one upstream");
    }
    if first.is_none() && !reads.is_empty() {
        let what = "is true for none, so that senders without a filter are refused";
        root.warning(
            &root.place,
            "upstream.default",
            what,
            "write default = true at one upstream, if this is not meant",
        );
    }
}

/// Gives fallbacks the names as their upstreams write them. For each upstream: which of its entries leads to which
/// upstream.
fn fallbacks(root: &Section<'_>, reads: &mut [Read]) -> Vec<Vec<(usize, usize)>> {
    let names: Vec<String> = reads.iter().map(|read| read.upstream.name.clone()).collect();
    let mut ways = Vec::with_capacity(reads.len());
    for (own, read) in reads.iter_mut().enumerate() {
        let mut way = Vec::new();
        for (entry, (name, place)) in
            read.upstream.fallback.upstreams.iter_mut().zip(&read.fallbacks).enumerate()
        {
            let (what, instead) = match find(name, &names[own], &names) {
                Err(unknown) => unknown,
                Ok(to) if to == own => ("names the upstream itself".to_owned(), "remove it".to_owned()),
                Ok(to) if way.iter().any(|(_, other)| *other == to) => {
                    (format!("names {} twice", quoted(name)), "remove one of them".to_owned())
                }
                Ok(to) => {
                    name.clone_from(&names[to]);
                    way.push((entry, to));
                    continue;
                }
            };
            root.fault(place, "upstream.fallback", &what, &instead);
        }
        ways.push(way);
    }
    ways
}

/// Warns of upstreams that no mail takes: no filter, not the default, nobody's fallback, and nobody's `large`.
fn without_mail(root: &Section<'_>, reads: &[Read], ways: &[Vec<(usize, usize)>], carriers: &[usize]) {
    let stands_in = |at: usize| ways.iter().flatten().any(|&(_, to)| to == at) || carriers.contains(&at);
    let gets_mail = |at: usize, upstream: &Upstream| {
        reads.len() == 1 || upstream.default || !upstream.filter.is_empty() || stands_in(at)
    };
    for (_, read) in reads.iter().enumerate().filter(|&(at, read)| !gets_mail(at, &read.upstream)) {
        let what = "is missing, it is not the default, and nobody's fallback, so that it gets no mail";
        root.warning(&read.place, "upstream.filter", what, "write filter or default = true");
    }
}

fn written(filter: &Filter) -> String {
    match filter {
        Filter::Address(address) => address.to_string(),
        Filter::Domain(domain) => domain.to_string(),
        Filter::Subdomains(parent) => format!("*.{parent}"),
    }
}
