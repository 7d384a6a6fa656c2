//! No two files import each other, neither directly nor around others.
//!
//! A name is looked for where it is defined: a `mod.rs` that only declares its children and passes on what they define
//! takes no part in a circle. One that uses what they define, while they use what it defines, does.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::paths::{self, Named, Paths};
use crate::sources::Source;

/// Which file imports which, with the first line that does.
type Edges = BTreeMap<usize, BTreeMap<usize, usize>>;

/// The circles of files, each as the files in it and a text for the reader.
pub(crate) fn circles(sources: &[Source]) -> Vec<(BTreeSet<String>, String)> {
    let edges = Crate::new(sources).edges();
    let reach: Vec<HashSet<usize>> = (0..sources.len()).map(|from| reachable(&edges, from)).collect();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for start in 0..sources.len() {
        if !reach[start].contains(&start) || !seen.insert(start) {
            continue;
        }
        let members: Vec<usize> =
            (0..sources.len()).filter(|o| reach[start].contains(o) && reach[*o].contains(&start)).collect();
        seen.extend(&members);
        let mut lines = vec!["a circle:".to_owned()];
        for from in &members {
            for (to, line) in edges[from].iter().filter(|(to, _)| members.contains(to)) {
                lines.push(format!("  src/{}:{line} uses src/{}", sources[*from].path, sources[*to].path));
            }
        }
        found.push((members.iter().map(|m| sources[*m].path.clone()).collect(), lines.join("\n")));
    }
    found
}

fn reachable(edges: &Edges, from: usize) -> HashSet<usize> {
    let mut found = HashSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        for to in edges.get(&next).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(*to) {
                open.push(*to);
            }
        }
    }
    found
}

struct Crate<'a> {
    sources: &'a [Source],
    modules: HashMap<&'a [String], usize>,
    paths: Vec<Paths>,
    /// What each file defines.
    defined: Vec<HashSet<&'a str>>,
}

impl<'a> Crate<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let modules: HashMap<&[String], usize> =
            sources.iter().enumerate().map(|(at, source)| (source.module.as_slice(), at)).collect();
        let children = |of: &Source| -> Vec<String> {
            let depth = of.module.len();
            modules
                .keys()
                .filter(|m| m.len() == depth + 1 && m[..depth] == of.module)
                .map(|m| m[depth].clone())
                .collect()
        };
        let paths = sources.iter().map(|source| paths::read(source, &children(source))).collect();
        let defined = sources.iter().map(definitions).collect();
        Self { sources, modules, paths, defined }
    }

    fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (from, paths) in self.paths.iter().enumerate() {
            let passed_on =
                |import: &paths::Import| import.visible && !paths.names.contains_key(&import.alias);
            let used = paths.imports.iter().filter(|import| !passed_on(import));
            for Named { path, line } in used.map(|import| &import.named).chain(&paths.inline) {
                if let Some(to) = self.home(path, 0).filter(|to| *to != from) {
                    let first = edges.entry(from).or_default().entry(to).or_insert(*line);
                    *first = (*first).min(*line);
                }
            }
        }
        edges
    }

    /// The file that defines what the path names; none for a module, since naming one is not yet using it.
    fn home(&self, path: &[String], hops: usize) -> Option<usize> {
        let depth = (0..=path.len()).rev().find(|end| self.modules.contains_key(&path[..*end]))?;
        let file = self.modules[&path[..depth]];
        let (name, rest) = path[depth..].split_first()?;
        if self.defined[file].contains(name.as_str()) || hops > 8 {
            return Some(file);
        }
        for import in &self.paths[file].imports {
            let on = |tail: &[String]| [import.named.path.as_slice(), tail].concat();
            if import.alias == *name {
                return self.home(&on(rest), hops + 1);
            }
            if import.alias == "*" {
                let there = self.home(&on(&path[depth..]), hops + 1);
                if let Some(there) = there.filter(|there| self.defined[*there].contains(name.as_str())) {
                    return Some(there);
                }
            }
        }
        // A function of a macro's making, or an inline module.
        (!self.sources[file].module.is_empty()).then_some(file)
    }
}

fn definitions(source: &Source) -> HashSet<&str> {
    const KINDS: [&str; 9] =
        ["struct", "enum", "trait", "type", "union", "fn", "const", "static", "macro_rules"];
    source
        .tokens
        .windows(2)
        .filter(|pair| KINDS.contains(&pair[0].text.as_str()) && pair[1].is_name())
        .map(|pair| pair[1].text.as_str())
        .collect()
}

#[test]
fn a_circle_is_found() {
    for (name, files, wanted) in [
        ("none", &[("r/a.rs", "use super::b::B;"), ("r/b.rs", "pub struct B;")][..], ""),
        (
            "siblings",
            &[("r/a.rs", "use super::b::f; fn g() {}"), ("r/b.rs", "use super::a::g;")],
            "r/a.rs r/b.rs",
        ),
        (
            "around a third, by expression",
            &[
                ("r/a.rs", "fn a() { super::b::b() }"),
                ("r/b.rs", "fn b() { crate::s::c::C }"),
                ("s/c.rs", "use crate::r::a::a;"),
            ],
            "r/a.rs r/b.rs s/c.rs",
        ),
        (
            "passed on by the parent",
            &[
                ("r/mod.rs", "mod a; mod b; pub use a::A;"),
                ("r/a.rs", "use super::b::B; pub struct A;"),
                ("r/b.rs", "use super::A;"),
            ],
            "r/a.rs r/b.rs",
        ),
        (
            "passed on whole",
            &[
                ("r/mod.rs", "mod a; mod b; pub use a::*;"),
                ("r/a.rs", "use super::b::B; pub struct A;"),
                ("r/b.rs", "use super::A;"),
            ],
            "r/a.rs r/b.rs",
        ),
        (
            "a parent that only passes on",
            &[
                ("r/mod.rs", "mod a; mod b; pub use a::A;"),
                ("r/a.rs", "pub struct A;"),
                ("r/b.rs", "use super::A;"),
            ],
            "",
        ),
        (
            "a parent's own item",
            &[("r.rs", "mod a; use a::A; fn f(a: A) {}"), ("r/a.rs", "use super::f; pub struct A;")],
            "r.rs r/a.rs",
        ),
        (
            "passed on and used",
            &[("r.rs", "mod a; pub use a::A; fn f(a: A) {}"), ("r/a.rs", "use super::f; pub struct A;")],
            "r.rs r/a.rs",
        ),
        (
            "by module name",
            &[("r/a.rs", "use super::b; fn a() { b::f() }"), ("r/b.rs", "fn f() { super::a::a() }")],
            "r/a.rs r/b.rs",
        ),
        (
            "in tests only",
            &[
                ("r/a.rs", "#[cfg(test)] mod tests { use crate::r::b::f; } fn g() {}"),
                ("r/b.rs", "use super::a::g;"),
            ],
            "",
        ),
        (
            "a test file",
            &[("r/a.rs", "fn g() {} #[cfg(test)] mod tests;"), ("r/a/tests.rs", "use super::g; fn t() {}")],
            "",
        ),
        ("docs", &[("r/a.rs", "/// [`super::b::f`]\nfn g() {}"), ("r/b.rs", "use super::a::g;")], ""),
    ] {
        let found = circles(&crate::sources::from_texts(files.iter().copied()));
        let groups: Vec<String> =
            found.iter().map(|(files, _)| files.iter().cloned().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(groups.join(", "), wanted, "{name}: {found:?}");
    }
}
