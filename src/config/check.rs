//! What can only be seen when all upstreams are known.

use std::collections::HashMap;

use super::fault::Place;
use super::reader::Section;
use super::sections::upstream::Read;
use super::words::quoted;
use super::{Filter, Upstream};

/// Checks the upstreams against each other, and settles which one is the default.
pub(super) fn upstreams(root: &Section<'_>, mut reads: Vec<Read>) -> Vec<Upstream> {
    if reads.is_empty() && !root.has("upstream") {
        let instead = "write [[upstream]] with name and host, or set MAILSLUICE__UPSTREAM__HOST";
        root.fault(&root.place, "upstream", "is missing, mail could go nowhere", instead);
    }
    if let [only] = reads.as_mut_slice()
        && only.default.is_none()
        && only.upstream.filter.is_empty()
    {
        only.upstream.default = true;
    }
    names(root, &reads);
    filters(root, &reads);
    defaults(root, &reads);
    reads.into_iter().map(|read| read.upstream).collect()
}

fn names(root: &Section<'_>, reads: &[Read]) {
    // Commands take names as they are typed, so names that differ in case alone are the same.
    let mut seen: HashMap<String, &Read> = HashMap::new();
    for read in reads.iter().filter(|read| !read.upstream.name.is_empty()) {
        if let Some(first) = seen.insert(read.upstream.name.to_lowercase(), read) {
            let what = format!(
                "{} is the name of another upstream{}, too",
                quoted(&read.upstream.name),
                at(&first.name)
            );
            root.fault(&read.name, "upstream.name", &what, "write another name");
        }
    }
}

fn filters(root: &Section<'_>, reads: &[Read]) {
    let mut seen: HashMap<&Filter, (&str, &Place)> = HashMap::new();
    for read in reads {
        for (filter, place) in read.upstream.filter.iter().zip(&read.filters) {
            if let Some((name, first)) = seen.insert(filter, (&read.upstream.name, place)) {
                let what =
                    format!("{} is a filter of {}{}, too", quoted(&written(filter)), quoted(name), at(first));
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
    for read in reads
        .iter()
        .filter(|read| reads.len() > 1 && !read.upstream.default && read.upstream.filter.is_empty())
    {
        let what = "is missing and it is not the default, so that it gets no mail";
        root.warning(&read.place, "upstream.filter", what, "write filter or default = true");
    }
}

fn written(filter: &Filter) -> String {
    match filter {
        Filter::Address(text) | Filter::Domain(text) => text.clone(),
        Filter::Subdomains(parent) => format!("*.{parent}"),
    }
}

fn at(place: &Place) -> String {
    match place {
        Place::File(line, _) => format!(" (line {line})"),
        Place::Start | Place::Environment(_) => String::new(),
    }
}
