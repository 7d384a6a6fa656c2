//! Whether limit groups have names of their own, those are there that upstreams name, and each has an upstream.

use std::sync::Arc;

use super::same_names::same_names;
use crate::config::LimitGroup;
use crate::config::reader::Section;
use crate::config::sections::limit_group::PlacedLimitGroup;
use crate::config::sections::upstream::Read;
use crate::config::words::{nearest, quoted};

/// Checks the limit groups against each other and all upstreams, which get theirs.
pub(in crate::config) fn check(root: &Section<'_>, groups: Vec<PlacedLimitGroup>, reads: &mut [Read]) {
    same_names(
        root,
        "limit_group.name",
        "limit group",
        groups.iter().map(|group| (group.name.as_str(), &group.place)),
    );
    are_there(root, &groups, reads);
    for PlacedLimitGroup { name, place, limits } in groups.into_iter().filter(|group| !group.name.is_empty())
    {
        let has_it = |read: &Read| read.limit_group.as_ref().is_some_and(|(named, _)| *named == name);
        let members = || reads.iter().filter(|read| has_it(read)).map(|read| &read.upstream);
        let upstreams: Vec<String> = members().map(|upstream| upstream.name.clone()).collect();
        if upstreams.is_empty() {
            let what = format!("{} is the limit group of no upstream", quoted(&name));
            let instead = format!("write limit_group = {name:?} at those that share it, or remove this");
            root.warning(&place, "limit_group.name", &what, &instead);
        }
        let calendar =
            members().flat_map(|upstream| &upstream.accounts).any(|account| account.limits.calendar);
        let group = Arc::new(LimitGroup { name: name.clone(), upstreams, limits, calendar });
        for read in reads.iter_mut().filter(|read| has_it(read)) {
            read.upstream.limit_group = Some(group.clone());
        }
    }
}

fn are_there(root: &Section<'_>, groups: &[PlacedLimitGroup], reads: &[Read]) {
    let known: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let named = reads.iter().filter_map(|read| read.limit_group.as_ref());
    for (name, place) in named.filter(|(name, _)| !known.contains(&name.as_str())) {
        let instead = match nearest(name, &known) {
            Some(name) => format!("write {}", quoted(name)),
            None => format!("write [[limit_group]] with name = {}", quoted(name)),
        };
        let what = format!("{} is not the name of a [[limit_group]]", quoted(name));
        root.fault(place, "upstream.limit_group", &what, &instead);
    }
}
