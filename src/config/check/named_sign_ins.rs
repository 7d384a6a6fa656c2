//! Whether the sign-ins are there that logins name.

use crate::config::reader::Section;
use crate::config::sections::oauth::PlacedSignIn;
use crate::config::sections::upstream::Read;
use crate::config::words::{nearest, quoted};

/// Checks the logins of all upstreams.
pub(in crate::config) fn check(root: &Section<'_>, reads: &[Read], sign_ins: &[PlacedSignIn]) {
    let known: Vec<&str> = sign_ins.iter().map(|sign_in| sign_in.name.as_str()).collect();
    for named in reads.iter().flat_map(|read| &read.sign_ins) {
        if known.contains(&&*named.name) {
            continue;
        }
        let name = quoted(&named.name);
        let instead = match nearest(&named.name, &known) {
            Some(name) => format!("write {}", quoted(name)),
            None => format!("write [[oauth]] with name = {name}"),
        };
        root.fault(&named.place, named.key, &format!("{name} is not the name of an [[oauth]]"), &instead);
    }
}
