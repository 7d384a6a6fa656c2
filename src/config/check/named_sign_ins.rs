//! Whether the sign-ins are there that logins name.

use crate::config::reader::Section;
use crate::config::sections::upstream::Read;
use crate::config::words::{nearest, quoted};

/// Checks the logins of all upstreams; `names` are those of all sign-ins.
pub(in crate::config) fn check(root: &Section<'_>, reads: &[Read], names: &[String]) {
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
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
