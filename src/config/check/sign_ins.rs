//! Whether sign-ins have names of their own, and somebody uses them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::sections::oauth::PlacedSignIn;
use crate::config::words::quoted;
use crate::config::{SignIn, Upstream};

/// Checks the sign-ins against each other and the accounts.
pub(in crate::config) fn check(
    root: &Section<'_>,
    reads: Vec<PlacedSignIn>,
    upstreams: &[Upstream],
) -> Vec<Arc<SignIn>> {
    names(root, &reads);
    let logins = upstreams.iter().flat_map(|upstream| &upstream.accounts);
    let used: Vec<&str> = logins.filter_map(|login| login.oauth.as_deref()).collect();
    for read in reads.iter().filter(|read| !read.name.is_empty() && !used.contains(&read.name.as_str())) {
        let what = format!("{} is the sign-in of no upstream or account", quoted(&read.name));
        let instead = format!("write oauth = {:?} at one, or remove this", read.name);
        root.warning(&read.place, "oauth.name", &what, &instead);
    }
    reads.into_iter().filter_map(|read| read.sign_in).map(Arc::new).collect()
}

/// Commands take names as they are typed, so names that differ in case alone are the same.
fn names(root: &Section<'_>, reads: &[PlacedSignIn]) {
    let mut seen: HashMap<String, &SourcePlace> = HashMap::new();
    for read in reads.iter().filter(|read| !read.name.is_empty()) {
        if let Some(first) = seen.insert(read.name.to_lowercase(), &read.place) {
            let what =
                format!("{} is the name of another sign-in{}, too", quoted(&read.name), first.in_brackets());
            root.fault(&read.place, "oauth.name", &what, "write another name");
        }
    }
}
