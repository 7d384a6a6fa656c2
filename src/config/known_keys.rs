//! Which keys the sections have, as they have read themselves, and where a key belongs that stands elsewhere.

use std::collections::BTreeMap;

use super::overrides::{REPEATED, variable};
use super::synonyms::{self, Synonym};
use super::words::nearest;

/// Sections that are named at most for one key.
const MOST_SECTIONS: usize = 3;

/// The name of a section: `upstream.limits`. That of the whole configuration is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SectionPath {
    dotted: String,
    /// Whether it may stand several times.
    is_repeated: bool,
}

impl SectionPath {
    /// As findings name it.
    pub(super) fn dotted(&self) -> &str {
        &self.dotted
    }

    /// The full name of a key in it: `upstream.limits.connections`.
    pub(super) fn name(&self, key: &str) -> String {
        if self.dotted.is_empty() { key.to_owned() } else { format!("{}.{key}", self.dotted) }
    }

    /// A section in it.
    pub(super) fn inner(&self, key: &str) -> Self {
        Self { dotted: self.name(key), is_repeated: false }
    }

    /// A section in it that may stand several times.
    pub(super) fn repeated(&self, key: &str) -> Self {
        Self { dotted: self.name(key), is_repeated: true }
    }

    /// As it stands in a file: `[log]`, `[[upstream]]`.
    fn heading(&self) -> String {
        match (self.dotted.as_str(), self.is_repeated) {
            ("", _) => "the top of the file, before all sections".to_owned(),
            (path, true) => format!("[[{path}]]"),
            (path, false) => format!("[{path}]"),
        }
    }

    /// The environment variable of a key in it; `None` where the environment does not reach.
    fn variable(&self, key: &str) -> Option<String> {
        let is_reached = !self.is_repeated || REPEATED.contains(&self.dotted.as_str());
        is_reached.then(|| variable(&self.name(key)))
    }

    /// How far away it is from another one: sections that are not shared by both paths.
    fn distance(&self, other: &Self) -> usize {
        let parts =
            |path: &Self| path.dotted.split('.').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        let (own, other): (Vec<String>, Vec<String>) = (parts(self), parts(other));
        let shared = own.iter().zip(&other).take_while(|(a, b)| a == b).count();
        own.len() + other.len() - 2 * shared
    }
}

/// The keys of all sections.
#[derive(Debug, Default)]
pub(super) struct KnownKeys(BTreeMap<SectionPath, Vec<&'static str>>);

impl KnownKeys {
    /// Notes the keys that a section has asked for.
    pub(super) fn add(&mut self, section: SectionPath, keys: &[&'static str]) {
        let known = self.0.entry(section).or_default();
        for key in keys {
            if !known.contains(key) {
                known.push(key);
            }
        }
    }

    /// Whether a full name is that of a key or section.
    pub(super) fn has(&self, name: &str) -> bool {
        self.section_of(name).is_some()
    }

    /// The section that is headed by this name; `None` when it is that of a key, or of none.
    pub(super) fn heading(&self, dotted: &str) -> Option<String> {
        self.0.keys().find(|path| path.dotted() == dotted && !dotted.is_empty()).map(SectionPath::heading)
    }

    /// The full names of all keys.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(section, keys)| keys.iter().map(|key| section.name(key)))
    }

    /// The section of a key, by its full name.
    fn section_of(&self, name: &str) -> Option<&SectionPath> {
        let (section, key) = name.rsplit_once('.').unwrap_or(("", name));
        self.0.iter().find(|(path, keys)| path.dotted == section && keys.contains(&key)).map(|(path, _)| path)
    }

    /// What is meant by a key that its section does not have.
    pub(super) fn meant(&self, section: &SectionPath, key: &str) -> Meant<'_> {
        if let Some(synonym) = synonyms::find(section.dotted(), key)
            && let Some(path) = self.section_of(synonym.key)
        {
            return Meant::Synonym(synonym, path);
        }
        let own = self.0.get_key_value(section);
        let with = self.sections_with(section, key);
        if let Some(path) = with.first().copied() {
            let key = self.0[path].iter().find(|known| **known == key).copied().unwrap_or_default();
            return Meant::Elsewhere(key, with);
        }
        if let Some((path, keys)) = own
            && let Some(known) = nearest(key, keys)
        {
            let is_top = section.dotted.is_empty();
            return match self.0.keys().find(|path| is_top && path.dotted == known) {
                Some(path) => Meant::Section(known, path),
                None => Meant::Here(known, path),
            };
        }
        let all: Vec<&'static str> = self.0.values().flatten().copied().collect();
        nearest(key, &all)
            .map_or(Meant::Nothing, |known| Meant::ElsewhereAs(known, self.sections_with(section, known)))
    }

    /// The sections that have a key, the nearest first.
    fn sections_with(&self, section: &SectionPath, key: &str) -> Vec<&SectionPath> {
        let mut with: Vec<_> =
            self.0.iter().filter(|(_, keys)| keys.contains(&key)).map(|(path, _)| path).collect();
        with.sort_by_key(|path| (path.distance(section), path.dotted.len()));
        with
    }
}

/// What is meant by a key that its section does not have.
pub(super) enum Meant<'k> {
    /// Another program's name for a key, and the section of that key.
    Synonym(&'static Synonym, &'k SectionPath),
    /// A section of the whole configuration.
    Section(&'static str, &'k SectionPath),
    /// A key of the section itself.
    Here(&'static str, &'k SectionPath),
    /// The key by that name of other sections, the nearest first; at least one.
    Elsewhere(&'static str, Vec<&'k SectionPath>),
    /// A key by another name of other sections.
    ElsewhereAs(&'static str, Vec<&'k SectionPath>),
    /// Nothing that we know.
    Nothing,
}

impl Meant<'_> {
    /// The full name of the key, when there is no doubt which one it is.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::Synonym(synonym, _) => Some(synonym.key.to_owned()),
            Self::Here(key, path) => Some(path.name(key)),
            Self::Section(name, _) => Some((*name).to_owned()),
            Self::Elsewhere(..) | Self::ElsewhereAs(..) | Self::Nothing => None,
        }
    }

    /// What to do about a key of that section in the file: move it, write another one, or remove it.
    pub(super) fn advice(&self, section: &SectionPath) -> String {
        let headings = |paths: &[&SectionPath]| {
            let headings: Vec<_> = paths.iter().take(MOST_SECTIONS).map(|path| path.heading()).collect();
            headings.join(" or ")
        };
        match self {
            Self::Synonym(synonym, _) if !synonym.write.is_empty() => synonym.write.to_owned(),
            Self::Synonym(synonym, path) => {
                let key = synonym.key.rsplit('.').next().unwrap_or_default();
                if *path == section {
                    format!("write {key}")
                } else {
                    format!("belongs as {key} into {}", path.heading())
                }
            }
            Self::Here(key, _) => format!("write {key}"),
            Self::Section(_, path) => format!("write {}", path.heading()),
            Self::Elsewhere(_, paths) => format!("belongs into {}", headings(paths)),
            Self::ElsewhereAs(key, paths) => format!("belongs as {key} into {}", headings(paths)),
            Self::Nothing => "remove it".to_owned(),
        }
    }

    /// What to do about a variable by that name, for such a key of that section or for one in it.
    pub(super) fn advice_for_variable(&self, name: &str, section: &SectionPath, key: &str) -> String {
        let rest = name.strip_prefix(&variable(&section.name(key))).unwrap_or_default();
        let meant = match self {
            Self::Synonym(synonym, path) => path.variable(synonym.key.rsplit('.').next().unwrap_or_default()),
            Self::Here(key, path) => path.variable(key),
            Self::Section(name, _) => Some(variable(name)),
            Self::Elsewhere(key, paths) | Self::ElsewhereAs(key, paths) => {
                paths.iter().find_map(|path| path.variable(key))
            }
            Self::Nothing => None,
        };
        let rest = if rest.is_empty() && matches!(self, Self::Section(..)) { "__KEY" } else { rest };
        meant.map_or_else(|| "remove it".to_owned(), |meant| format!("write {meant}{rest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_where_a_key_belongs() {
        let root = SectionPath::default();
        let (session, upstream) = (root.inner("session"), root.repeated("upstream"));
        let limits = upstream.inner("limits");
        let mut known = KnownKeys::default();
        known.add(root.clone(), &["hostname", "session", "upstream"]);
        known.add(session.clone(), &["max_recipients"]);
        known.add(upstream.clone(), &["host", "limits", "port"]);
        known.add(limits.clone(), &["connections", "per_day"]);
        known.add(limits.inner("per_day"), &["messages"]);
        known.add(root.repeated("listener"), &["port"]);
        for (section, key, want) in [
            (&root, "max_recipients", "belongs into [session]"),
            (&root, "max_recipient", "belongs as max_recipients into [session]"),
            (&limits, "host", "belongs into [[upstream]]"),
            (&limits, "port", "belongs into [[upstream]] or [[listener]]"),
            (&limits, "messages", "belongs into [upstream.limits.per_day]"),
            (&limits, "conections", "write connections"),
            (&session, "hostname", "belongs into the top of the file, before all sections"),
            (&upstream, "hostname", "write host"),
            (&upstream, "max_connections", "belongs as connections into [upstream.limits]"),
            (&upstream, "rate", "remove it"),
            (&session, "colour", "remove it"),
            (&root, "sesion", "write [session]"),
            (&root, "upsteam", "write [[upstream]]"),
            (&root, "smtp", "write [[upstream]]"),
        ] {
            assert_eq!(known.meant(section, key).advice(section), want, "{key} in {section:?}");
        }
    }
}
