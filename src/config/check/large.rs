//! Whether `large` names a smart host that takes what a request can't carry.

use super::named::find;
use crate::config::UpstreamKind;
use crate::config::reader::Section;
use crate::config::sections::upstream::Read;
use crate::config::words::quoted;

/// Gives `large` the name as its upstream writes it. Tells which upstreams are named so.
pub(super) fn check(root: &Section<'_>, reads: &mut [Read]) -> Vec<usize> {
    let names: Vec<String> = reads.iter().map(|read| read.upstream.name.clone()).collect();
    let hosts: Vec<bool> =
        reads.iter().map(|read| matches!(read.upstream.kind, UpstreamKind::Smtp(_))).collect();
    let mut found = Vec::new();
    for own in 0..reads.len() {
        let Read { upstream, large: Some(place), .. } = &mut reads[own] else { continue };
        let UpstreamKind::Graph(graph) = &mut upstream.kind else { continue };
        let Some(name) = &mut graph.large else { continue };
        let another = || "write the name of an upstream with kind = \"smtp\"".to_owned();
        let (what, instead) = match find(name, &names[own], &names) {
            Err(unknown) => unknown,
            Ok(at) if hosts[at] => {
                name.clone_from(&names[at]);
                found.push(at);
                continue;
            }
            Ok(at) if at == own => ("names the upstream itself".to_owned(), another()),
            Ok(_) => (format!("{} does not speak SMTP", quoted(name)), another()),
        };
        root.fault(place, "upstream.large", &what, &instead);
    }
    found
}
