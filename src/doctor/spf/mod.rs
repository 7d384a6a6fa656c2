//! SPF: who may send mail for a domain (RFC 7208).

mod chain;
mod record;

use ipnet::IpNet;

use self::chain::{Chain, MOST_LOOKUPS, MOST_VOIDS, Trouble, Walk};
use self::record::{SpfQualifier, SpfRecord};
use super::book::Book;
use super::diagnosis::{Check, Diagnosis, Notes};
use super::sender::{SenderDomain, Via};
use crate::config::SendingHosts;
use crate::dns::DnsName;

/// What there is to say of the SPF record of a domain that is used in reverse-paths.
#[must_use]
pub fn judge(sender: &SenderDomain, book: &Book) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::Spf, &sender.name);
    let texts = match book.texts(&sender.name) {
        Ok(texts) => texts,
        Err(error) => {
            notes.unknown(
                format!("the SPF record cannot be looked up: {error}"),
                "try again when the name server answers",
            );
            return notes.done();
        }
    };
    match record::among(texts).as_slice() {
        [] => without_record(sender, &mut notes),
        [text] => one_record(sender, text, book, &mut notes),
        several => {
            let remedy =
                format!("publish one TXT record in their place: {} TXT \"{}\"", sender.name, merged(several));
            notes.fault(
                format!(
                    "there are {} SPF records, so that receivers ignore all of them (permerror)",
                    several.len()
                ),
                remedy,
            );
        }
    }
    notes.done()
}

/// Whether the record of a domain lets the hosts behind these includes send, for certain: SPF passes then.
pub(super) fn lets_send(domain: &DnsName, names: &[&'static str], book: &Book) -> bool {
    let Ok(texts) = book.texts(domain) else { return false };
    let [text] = record::among(texts)[..] else { return false };
    let Ok(record) = SpfRecord::parse(text) else { return false };
    let chain = Walk::from(book, domain, domain, &record);
    let is_sound =
        chain.troubles.is_empty() && chain.lookups <= MOST_LOOKUPS && chain.voids.len() <= MOST_VOIDS;
    let passes = || passing(domain, names, &chain).is_some();
    is_sound && (passes() || refused(names, &chain).is_none() && are_covered(names, &chain, domain, book))
}

fn without_record(sender: &SenderDomain, notes: &mut Notes) {
    let wanted = missing(sender);
    if !wanted.is_empty() {
        let remedy = format!("publish {} TXT \"{}\"", sender.name, with_includes("v=spf1 ~all", &wanted));
        notes.fault("there is no SPF record", remedy);
    } else if !sender.upstreams.is_empty()
        && sender.upstreams.iter().all(|via| via.hosts == SendingHosts::OfProvider)
    {
        notes.ok(
            "there is no SPF record, and none is needed: the provider sends with a reverse-path of its own",
        );
    } else {
        let remedy = format!(
            "publish {} TXT \"v=spf1 … ~all\" with the include that your provider names",
            sender.name
        );
        notes.warning("there is no SPF record", remedy);
    }
}

fn one_record(sender: &SenderDomain, text: &str, book: &Book, notes: &mut Notes) {
    let name = &sender.name;
    let record = match SpfRecord::parse(text) {
        Ok(record) => record,
        Err(wrong) => return syntax(name, &wrong, notes),
    };
    let chain = Walk::from(book, name, name, &record);
    for trouble in &chain.troubles {
        tell(trouble, notes);
    }
    ceilings(&chain, notes);
    open_ends(name, text, (&record, &chain), notes);
    let has_no_faults = notes.is_clean();
    hosts(sender, text, &chain, book, notes);
    if has_no_faults {
        notes.ok(format!("the record is valid and needs {} of {MOST_LOOKUPS} look-ups", chain.lookups));
    }
}

fn syntax(name: &DnsName, wrong: &[record::Misspelt], notes: &mut Notes) {
    for record::Misspelt { term, what } in wrong {
        let text = format!(
            "the record of {name} has a syntax error, so that receivers ignore it (permerror): {term} {what}"
        );
        notes.fault(text, format!("correct or remove {term} in the SPF record of {name}"));
    }
}

fn tell(trouble: &Trouble, notes: &mut Notes) {
    match trouble {
        Trouble::Syntax(name, wrong) => syntax(name, wrong, notes),
        Trouble::NoRecord { at, term } => notes.fault(
            format!("the record of {at} has {term}, and there is no SPF record at that name (permerror)"),
            format!("remove {term} from the SPF record of {at}, or correct its name"),
        ),
        Trouble::Several(name, count) => notes.fault(
            format!("{name}, which the record includes, has {count} SPF records (permerror)"),
            format!("remove the include of {name}, or have its owner publish a single record"),
        ),
        Trouble::Loop(ring) => {
            let names: Vec<&str> = ring.iter().map(DnsName::as_str).collect();
            let [.., last, back] = names.as_slice() else { return };
            notes.fault(
                format!("the records lead in a circle: {} (permerror)", names.join(" → ")),
                format!("remove the include or redirect of {back} from the SPF record of {last}"),
            );
        }
        Trouble::Exchanges(name) => notes.fault(
            format!("mx of {name} stands for more than 10 hosts (permerror)"),
            format!("write the networks of these hosts as ip4: and ip6: in place of mx of {name}"),
        ),
        Trouble::NoName { at, term } => notes.fault(
            format!("the record of {at} has {term}, whose name no name server can be asked about"),
            format!("correct or remove {term} in the SPF record of {at}"),
        ),
        Trouble::Unanswered(name, why) => notes.unknown(
            format!("{name}, which the record leads to, cannot be looked up: {why}"),
            "try again when the name server answers",
        ),
    }
}

fn ceilings(chain: &Chain, notes: &mut Notes) {
    if chain.lookups > MOST_LOOKUPS {
        notes.fault(
            format!(
                "the record needs {} look-ups, and receivers give up at {MOST_LOOKUPS} (permerror)",
                chain.lookups
            ),
            "remove includes that are not used, or write hosts that do not change as ip4: and ip6:",
        );
    }
    if chain.voids.len() > MOST_VOIDS {
        let terms = chain.voids.join(", ");
        notes.fault(
            format!(
                "{} terms find nothing, and receivers give up at more than {MOST_VOIDS} (permerror): {terms}",
                chain.voids.len()
            ),
            format!("remove what finds nothing: {terms}"),
        );
    } else if !chain.voids.is_empty() {
        let terms = chain.voids.join(", ");
        notes.warning(format!("terms that find nothing: {terms}"), format!("remove {terms}"));
    }
}

/// What the record says of hosts that nothing else names.
fn open_ends(name: &DnsName, text: &str, (record, chain): (&SpfRecord, &Chain), notes: &mut Notes) {
    let remedy = || format!("publish {name} TXT \"{}\"", ending_softly(text));
    match &chain.world {
        Some(world) if world == name => {
            notes.fault("+all lets the whole world send for this domain", remedy());
        }
        Some(world) => notes.fault(
            format!(
                "the record of {world}, which it leads to, lets the whole world send for this domain (+all)"
            ),
            format!("remove the include or redirect that leads to {world} from the SPF record of {name}"),
        ),
        None => {}
    }
    match record.all() {
        Some(SpfQualifier::Neutral) => {
            notes
                .warning("?all says nothing about other hosts, so that the record protects nobody", remedy());
        }
        None if record.redirect.is_none() => {
            notes.warning("the record has no all, so that it says nothing about other hosts", remedy());
        }
        _ => {}
    }
    if chain.has_ptr {
        let remedy = "write the networks of the hosts as ip4: and ip6: in place of ptr (RFC 7208 5.5)";
        notes.warning("ptr is slow, and many receivers do not look at it", remedy);
    }
}

/// Whether the hosts that send for the upstreams may do so.
fn hosts(sender: &SenderDomain, text: &str, chain: &Chain, book: &Book, notes: &mut Notes) {
    let is_unsure =
        chain.is_open || chain.troubles.iter().any(|trouble| matches!(trouble, Trouble::Unanswered(..)));
    for via in &sender.upstreams {
        match via.hosts {
            SendingHosts::OfProvider => notes.ok(format!(
                "upstream {}: the provider sends with a reverse-path of its own, whose SPF record is its affair",
                via.name
            )),
            SendingHosts::Unknown => notes.unknown(
                format!("upstream {}: whether its hosts may send cannot be judged, since they are not known", via.name),
                "compare the record with what the provider documents; a preset in [[upstream]] names a provider",
            ),
            SendingHosts::Included(names) => {
                if let Some(name) = passing(&sender.name, names, chain) {
                    notes.ok(format!("upstream {}: its hosts may send, by {name}", via.name));
                } else if let Some(name) = refused(names, chain) {
                    let what = format!("upstream {}: its hosts may not send: the record matches {name}, and does not let it pass", via.name);
                    notes.fault(what, format!("publish {} TXT \"{}\"", sender.name, with_includes(text, &[name])));
                } else if are_covered(names, chain, &sender.name, book) {
                    notes.ok(format!("upstream {}: its hosts may send, by their addresses", via.name));
                } else if is_unsure {
                    notes.unknown(
                        format!("upstream {}: whether its hosts may send depends on what cannot be evaluated here", via.name),
                        format!("write include:{}, which is certain", names[0]),
                    );
                } else {
                    let record = with_includes(text, &[names[0]]);
                    let what = format!("upstream {}: its hosts may not send: {} is not in the record", via.name, names[0]);
                    notes.fault(what, format!("publish {} TXT \"{record}\"", sender.name));
                }
            }
        }
    }
}

/// The name in the chain that lets the provider's hosts send.
fn passing(domain: &DnsName, names: &[&'static str], chain: &Chain) -> Option<&'static str> {
    let is_in = |name: &&&str| domain.as_str() == **name || matched(name, chain) == Some(SpfQualifier::Pass);
    names.iter().find(is_in).copied()
}

/// The name in the chain whose hosts match what does not let them send.
fn refused(names: &[&'static str], chain: &Chain) -> Option<&'static str> {
    names.iter().find(|name| matched(name, chain).is_some()).copied()
}

fn matched(name: &str, chain: &Chain) -> Option<SpfQualifier> {
    chain.matches.iter().find(|(known, _)| known.as_str() == name).map(|(_, qualifier)| *qualifier)
}

/// The includes that the upstreams want.
fn missing(sender: &SenderDomain) -> Vec<&'static str> {
    let mut wanted: Vec<&'static str> = Vec::new();
    for Via { hosts, .. } in &sender.upstreams {
        if let SendingHosts::Included(names) = hosts
            && !wanted.contains(&names[0])
        {
            wanted.push(names[0]);
        }
    }
    wanted
}

/// Whether the addresses in the record hold all networks of the provider: the record was flattened.
fn are_covered(names: &[&str], chain: &Chain, domain: &DnsName, book: &Book) -> bool {
    if chain.networks.is_empty() {
        return false;
    }
    let of_provider = |name: &&str| -> Option<Vec<IpNet>> {
        let name = DnsName::parse(name).ok()?;
        let texts = book.texts(&name).ok()?;
        let [text] = record::among(texts)[..] else { return None };
        let own = Walk::from(book, domain, &name, &SpfRecord::parse(text).ok()?);
        (own.troubles.is_empty() && !own.is_open && !own.networks.is_empty()).then_some(own.networks)
    };
    let is_held = |network: &IpNet| chain.networks.iter().any(|own| own.contains(network));
    names.iter().filter_map(of_provider).any(|networks| networks.iter().all(is_held))
}

/// The record with these includes, before all that does not let hosts pass: the first match counts. Where they stand already,
/// and do not count, they go.
fn with_includes(text: &str, names: &[&str]) -> String {
    let stands_already = |term: &str| record::included(term).is_some_and(|own| names.contains(&own.as_str()));
    let (mut terms, all): (Vec<String>, Vec<String>) = text
        .split_whitespace()
        .filter(|term| !stands_already(term))
        .map(str::to_owned)
        .partition(|term| !is_last(term));
    let place = terms.iter().position(|term| term.starts_with(['-', '~', '?'])).unwrap_or(terms.len());
    terms.splice(place..place, names.iter().map(|name| format!("include:{name}")));
    terms.extend(all);
    terms.join(" ")
}

/// The record, with all others failing softly.
fn ending_softly(text: &str) -> String {
    let terms: Vec<&str> = text.split_whitespace().filter(|term| !is_last(term)).collect();
    format!("{} ~all", terms.join(" "))
}

/// One record in place of several.
fn merged(records: &[&str]) -> String {
    let mut terms: Vec<&str> = Vec::new();
    for term in records.iter().flat_map(|record| record.split_whitespace().skip(1)) {
        if !is_last(term) && !terms.contains(&term) {
            terms.push(term);
        }
    }
    terms.insert(0, "v=spf1");
    terms.push("~all");
    terms.join(" ")
}

fn is_last(term: &str) -> bool {
    let bare = term.trim_start_matches(['+', '-', '~', '?']);
    bare.eq_ignore_ascii_case("all")
        || term.get(..9).is_some_and(|head| head.eq_ignore_ascii_case("redirect="))
}

#[cfg(test)]
mod tests;
