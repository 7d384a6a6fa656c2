//! The paths that a file names: in `use` trees, also nested ones, and in the middle of an expression.

use std::collections::HashMap;

use crate::sources::Source;
use crate::tokens::{Token, closing, is};

/// A path from the crate's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// A name that a `use` brings into a file.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) named: Named,
    /// What the file calls it; `*` for everything that the path holds.
    pub(crate) alias: String,
    /// Whether it is passed on with some `pub`.
    pub(crate) visible: bool,
}

/// What a file says about other files.
#[derive(Default)]
pub(crate) struct Paths {
    pub(crate) imports: Vec<Import>,
    /// Paths outside `use`.
    pub(crate) inline: Vec<Named>,
    /// How often each name stands outside `use`.
    pub(crate) names: HashMap<String, usize>,
}

/// Reads all paths that lead into the crate; `children` are the names of the file's own child modules.
pub(crate) fn read(source: &Source, children: &[String]) -> Paths {
    let mut reader = Reader {
        tokens: &source.tokens,
        module: source.module.clone(),
        children,
        imports: true,
        found: Paths::default(),
    };
    reader.walk();
    // A second walk, when the imports are known, for paths that begin with an imported name.
    reader.imports = false;
    reader.walk();
    reader.found
}

struct Reader<'a> {
    tokens: &'a [Token],
    /// The module at the place that is read; longer than the file's own in an inline module.
    module: Vec<String>,
    children: &'a [String],
    /// Whether this walk takes the imports, or the paths outside them.
    imports: bool,
    found: Paths,
}

impl Reader<'_> {
    fn walk(&mut self) {
        // One entry for each open brace: whether it is that of an inline module.
        let mut braces = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let token = &self.tokens[at];
            match token.text.as_str() {
                "{" => {
                    let module = at >= 2 && is(self.tokens, at - 2, "mod");
                    if module {
                        self.module.push(self.tokens[at - 1].text.clone());
                    }
                    braces.push(module);
                }
                "}" if braces.pop() == Some(true) => drop(self.module.pop()),
                "use" => {
                    let visible = at > 0 && matches!(self.tokens[at - 1].text.as_str(), "pub" | ")");
                    at = self.tree(at + 1, &[], visible);
                }
                _ if token.is_name() && !self.imports => at = self.path(at),
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads the tree that begins at `at` below `prefix`; returns the place of what ends it (`;`, `,` or `}`).
    fn tree(&mut self, at: usize, prefix: &[String], visible: bool) -> usize {
        let (mut at, mut path) = (at, prefix.to_vec());
        while at < self.tokens.len() {
            match self.tokens[at].text.as_str() {
                "{" => {
                    let end = closing(self.tokens, at);
                    while at < end {
                        at = self.tree(at + 1, &path, visible);
                    }
                    return end + 1;
                }
                ";" | "," | "}" => break,
                "as" | "::" => {}
                text if is(self.tokens, at.wrapping_sub(1), "as") => {
                    let alias = text.to_owned();
                    self.import(&path, alias, visible, at);
                    return at + 1;
                }
                text => path.push(text.to_owned()),
            }
            at += 1;
        }
        if path.len() > prefix.len() {
            if path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            let alias = path.last().cloned().unwrap_or_default();
            self.import(&path, alias, visible, at - 1);
        }
        at
    }

    fn import(&mut self, path: &[String], alias: String, visible: bool, at: usize) {
        let path = if alias == "*" { &path[..path.len() - 1] } else { path };
        if let Some(path) = self.imports.then(|| self.absolute(path)).flatten() {
            let named = Named { path, line: self.tokens[at].line };
            self.found.imports.push(Import { named, alias, visible });
        }
    }

    /// Reads the path or the bare name at `at`; returns its last place.
    fn path(&mut self, at: usize) -> usize {
        *self.found.names.entry(self.tokens[at].text.clone()).or_default() += 1;
        let mut path = vec![self.tokens[at].text.clone()];
        let mut end = at;
        while is(self.tokens, end + 1, "::") && self.tokens.get(end + 2).is_some_and(Token::is_name) {
            end += 2;
            path.push(self.tokens[end].text.clone());
        }
        let begins = at == 0 || !matches!(self.tokens[at - 1].text.as_str(), "::" | ".");
        if path.len() > 1
            && begins
            && let Some(path) = self.absolute(&path)
        {
            self.found.inline.push(Named { path, line: self.tokens[at].line });
        }
        end
    }

    /// The path from the crate's root, if it leads into the crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut base = self.module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Vec::new(), &path[1..]),
            "self" | "super" => {
                while let Some(first @ ("self" | "super")) = rest.first().map(String::as_str) {
                    if first == "super" {
                        base.pop()?;
                    }
                    rest = &rest[1..];
                }
            }
            head if self.children.iter().any(|child| child == head) => {}
            head => {
                let import = self.found.imports.iter().find(|import| import.alias == head)?;
                (base, rest) = (import.named.path.clone(), &path[1..]);
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }
}

#[test]
fn paths_are_read_from_the_root() {
    for (name, text, imports, inline) in [
        ("plain", "use crate::c::D;", "c::D", ""),
        ("group", "use crate::{c::{D, self}, e as f};", "c::D c e", ""),
        ("nested group", "use crate::c::{d::{E, F}, g::H};", "c::d::E c::d::F c::g::H", ""),
        ("all", "use super::*;", "a", ""),
        ("sibling, child", "use super::c::D; use kid::E;", "a::c::D a::b::kid::E", ""),
        ("another crate", "use std::fmt; fn f() { fmt::g() }", "", ""),
        ("expression", "fn f() { crate::c::d(super::e::F) + kid::g() }", "", "c::d a::e::F a::b::kid::g"),
        ("imported module", "fn f() { c::d::<E>() } use super::c;", "a::c", "a::c::d"),
        ("inline module", "mod m { use super::X; } use super::Y;", "a::b::X a::Y", ""),
        ("a method is no path", "fn f() { x.kid::<Y>() }", "", ""),
        ("visibility", "pub(in crate::a) use self::kid::X;", "a::b::kid::X", "a"),
        ("in a function", "fn f() { use crate::c::D; D::e() }", "c::D", "c::D::e"),
    ] {
        let [source] = &crate::sources::from_texts([("a/b.rs", text)])[..] else { unreachable!() };
        let found = read(source, &["kid".to_owned()]);
        let join = |paths: Vec<&Named>| {
            paths.iter().map(|named| named.path.join("::")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(join(found.imports.iter().map(|import| &import.named).collect()), imports, "{name}");
        assert_eq!(join(found.inline.iter().collect()), inline, "{name}");
    }
}
