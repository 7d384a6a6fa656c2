//! Whether sign-ins have names of their own, those are there that logins name, and somebody uses each.

use std::sync::Arc;

use super::same_names::same_names;
use crate::config::SignIn;
use crate::config::reader::Section;
use crate::config::sections::oauth::PlacedSignIn;
use crate::config::sections::upstream::{NamedSignIn, Read};
use crate::config::words::{nearest, quoted};

/// Checks the sign-ins against each other and the logins of all upstreams.
pub(in crate::config) fn check(
    root: &Section<'_>,
    reads: Vec<PlacedSignIn>,
    upstreams: &[Read],
) -> Vec<Arc<SignIn>> {
    let own = reads.iter().map(|read| (read.name.as_str(), &read.place));
    same_names(root, "oauth.name", "sign-in", own);
    let named: Vec<&NamedSignIn> = upstreams.iter().flat_map(|read| &read.sign_ins).collect();
    are_there(root, &reads, &named);
    are_for_graph(root, &reads, &named);
    let is_used = |name: &str| named.iter().any(|named| &*named.name == name);
    for read in reads.iter().filter(|read| !read.name.is_empty() && !is_used(&read.name)) {
        let what = format!("{} is the sign-in of no upstream or account", quoted(&read.name));
        let instead = format!("write oauth = {:?} at one, or remove this", read.name);
        root.warning(&read.place, "oauth.name", &what, &instead);
    }
    reads.into_iter().filter_map(|read| read.sign_in).map(Arc::new).collect()
}

/// Not every provider has tokens for Microsoft Graph.
fn are_for_graph(root: &Section<'_>, sign_ins: &[PlacedSignIn], named: &[&NamedSignIn]) {
    let lacks = |name: &str| {
        let of_that_name = |read: &&PlacedSignIn| read.name == name;
        let sign_in = sign_ins.iter().find(of_that_name).and_then(|read| read.sign_in.as_ref());
        sign_in.is_some_and(|sign_in| sign_in.graph_scope.is_none())
    };
    for named in named.iter().filter(|named| named.for_graph && lacks(&named.name)) {
        let what = format!("{} gives no tokens for Microsoft Graph", quoted(&named.name));
        let instead = "name a sign-in at Microsoft, or write graph_scope at that one";
        root.fault(&named.place, named.key, &what, instead);
    }
}

fn are_there(root: &Section<'_>, sign_ins: &[PlacedSignIn], named: &[&NamedSignIn]) {
    let known: Vec<&str> = sign_ins.iter().map(|sign_in| sign_in.name.as_str()).collect();
    for named in named.iter().filter(|named| !known.contains(&&*named.name)) {
        let name = quoted(&named.name);
        let instead = match nearest(&named.name, &known) {
            Some(name) => format!("write {}", quoted(name)),
            None => format!("write [[oauth]] with name = {name}"),
        };
        root.fault(&named.place, named.key, &format!("{name} is not the name of an [[oauth]]"), &instead);
    }
}
