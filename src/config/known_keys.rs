//! Which keys the sections have, as they have read themselves, and where a key belongs that stands elsewhere.

use std::collections::BTreeMap;

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

    /// The full names of all keys.
    #[cfg(test)]
    pub(super) fn names(&self) -> std::collections::BTreeSet<String> {
        self.0.iter().flat_map(|(section, keys)| keys.iter().map(|key| section.name(key))).collect()
    }

    /// What to do about a key that its section does not have: move it, write another one, or remove it.
    pub(super) fn advice(&self, section: &SectionPath, key: &str) -> String {
        let own = self.0.get(section).map_or(&[][..], Vec::as_slice);
        let elsewhere = self.sections_with(section, key);
        if !elsewhere.is_empty() {
            return format!("belongs into {}", elsewhere.join(" or "));
        }
        if let Some(known) = nearest(key, own) {
            return format!("write {known}");
        }
        let all: Vec<&str> = self.0.values().flatten().copied().collect();
        match nearest(key, &all) {
            Some(known) => {
                format!("belongs as {known} into {}", self.sections_with(section, known).join(" or "))
            }
            None => "remove it".to_owned(),
        }
    }

    /// The sections that have a key, the nearest first.
    fn sections_with(&self, section: &SectionPath, key: &str) -> Vec<String> {
        let mut with: Vec<_> =
            self.0.iter().filter(|(_, keys)| keys.contains(&key)).map(|(path, _)| path).collect();
        with.sort_by_key(|path| (path.distance(section), path.dotted.len()));
        with.into_iter().take(MOST_SECTIONS).map(SectionPath::heading).collect()
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
            (&upstream, "hostname", "belongs into the top of the file, before all sections"),
            (&session, "colour", "remove it"),
        ] {
            assert_eq!(known.advice(section, key), want, "{key} in {section:?}");
        }
    }
}
