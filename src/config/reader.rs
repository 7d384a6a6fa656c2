//! Reads one section of the configuration: takes out values, collects every finding, and tells which keys are unknown.

mod alike;
mod context;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::ByteSize;
use super::fault::{Finding, SourcePlace};
use super::known_keys::SectionPath;
use super::later::{self, KeyStatus};
use super::overrides::variable;
use super::tree::{Node, Table, Value};
use super::units::{self, WRITE_SIZE, WRITE_TIME, WRITE_TIME_OR_NEVER};
use super::words::{one_of, quoted};
pub(super) use context::{MissingKey, ReadContext, UnknownKey};

/// A section and what has been read of it.
pub(super) struct Section<'a> {
    pub(super) context: &'a ReadContext<'a>,
    /// Where the section begins.
    pub(super) place: SourcePlace,
    path: SectionPath,
    table: &'a Table,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole configuration.
    pub(super) fn root(context: &'a ReadContext<'a>, table: &'a Table) -> Self {
        Self { context, place: SourcePlace::Start, path: SectionPath::default(), table, known: Vec::new() }
    }

    /// The full name of a key: `upstream.limits.connections`.
    pub(super) fn name(&self, key: &str) -> String {
        self.path.name(key)
    }

    /// Notes a fault of a key.
    pub(super) fn fault(&self, place: &SourcePlace, key: &str, what: &str, instead: &str) {
        let (place, key) = (place.clone(), self.name(key));
        let finding = Finding { place, key, what: what.to_owned(), instead: instead.to_owned() };
        self.context.faults.borrow_mut().push(finding);
    }

    /// Notes a warning about a key.
    pub(super) fn warning(&self, place: &SourcePlace, key: &str, what: &str, instead: &str) {
        let (place, key) = (place.clone(), self.name(key));
        let finding = Finding { place, key, what: what.to_owned(), instead: instead.to_owned() };
        self.context.warnings.borrow_mut().push(finding);
    }

    /// Notes that a key must be there.
    pub(super) fn missing(&self, key: &str, instead: &str) {
        self.missing_because(key, "is missing", instead);
    }

    /// Notes that a key must be there, and why.
    pub(super) fn missing_because(&self, key: &str, what: &str, instead: &str) {
        let key = self.name(key);
        let place = match &self.place {
            SourcePlace::Environment(_) => SourcePlace::Environment(variable(&key)),
            place => place.clone(),
        };
        let finding = Finding { place, key, what: what.to_owned(), instead: instead.to_owned() };
        let missing = MissingKey { section_place: self.place.clone(), finding };
        self.context.missing.borrow_mut().push(missing);
    }

    /// The place of a key's value, or of the section when the key is not there.
    pub(super) fn place_of(&self, key: &str) -> SourcePlace {
        self.table.0.get(key).map_or(&self.place, |(_, node)| &node.place).clone()
    }

    /// Whether a key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.0.contains_key(key)
    }

    /// The value of a key, which is known from now on.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.table.0.get(key).map(|(_, node)| node)
    }

    /// A text as it is written, before any key is read.
    pub(super) fn written(&self, key: &str) -> Option<(SourcePlace, &'a str)> {
        match &self.table.0.get(key)?.1 {
            Node { place, value: Value::Text(text) | Value::Untyped(text) } => Some((place.clone(), text)),
            Node { .. } => None,
        }
    }

    fn wrong_type(&self, node: &Node, key: &str, wanted: &str, instead: &str) {
        match &node.value {
            Value::Untyped(_) => self.wrong_value(node, key, &format!("is not {wanted}"), instead),
            value => self.fault(&node.place, key, &format!("is {}, not {wanted}", value.kind()), instead),
        }
    }

    /// Notes a fault of the value of a key that is there.
    pub(super) fn unfit(&self, key: &str, what: &str, instead: &str) {
        if let Some((_, node)) = self.table.0.get(key) {
            self.wrong_value(node, key, what, instead);
        }
    }

    /// Notes a fault of a value. In a variable quotes are a part of it, and often the only fault.
    fn wrong_value(&self, node: &Node, key: &str, what: &str, instead: &str) {
        match &node.value {
            Value::Untyped(text) if text.len() > 1 && text.starts_with('"') && text.ends_with('"') => {
                self.fault(
                    &node.place,
                    key,
                    "has quotes, which belong to the value here",
                    "write it without them",
                );
            }
            _ => self.fault(&node.place, key, what, instead),
        }
    }

    /// Notes that a section was written as a variable.
    fn section_as_variable(&self, node: &Node, key: &str) {
        let instead = format!("write {}__KEY, with the name of a key of it", variable(&self.name(key)));
        self.fault(&node.place, key, "is a section, not a key", &instead);
    }

    /// A text; else the key "is …, not `wanted`".
    pub(super) fn text(&mut self, key: &'static str, wanted: &str, instead: &str) -> Option<&'a str> {
        let node = self.node(key)?;
        if let Value::Text(text) | Value::Untyped(text) = &node.value {
            return Some(text);
        }
        self.wrong_type(node, key, wanted, instead);
        None
    }

    /// A text that `parse` makes something of; else the key "is not `wanted`".
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        instead: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key, wanted, instead)?;
        let value = parse(text);
        if value.is_none() {
            self.unfit(key, &format!("{} is not {wanted}", quoted(text)), instead);
        }
        value
    }

    /// A path; relative ones start at the file's folder.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let is_path = |text: &str| (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned());
        let path = self.parsed(key, "a path", "write the path of a file or folder", is_path)?;
        self.whole_path(&self.place_of(key), key, &path)
    }

    /// The path that a text stands for. What only a shell would understand is a fault.
    pub(super) fn whole_path(&self, place: &SourcePlace, key: &str, text: &str) -> Option<PathBuf> {
        let mark = ["~", "$"].into_iter().find(|mark| text.starts_with(mark));
        if let Some(mark) = mark {
            let what = format!("begins with {mark}, which means nothing here");
            self.fault(place, key, &what, "write the whole path, or one that starts at the file's folder");
            return None;
        }
        Some(self.context.folder.join(text))
    }

    /// Reads a key that takes one of some words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, options: &[(&str, T)]) -> Option<T> {
        let instead = format!("write {}", one_of(options.iter().map(|(name, _)| *name)));
        let text = self.text(key, "one of its values", &instead)?;
        let value = options.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if value.is_none() {
            self.unfit(key, &format!("{} is not one of its values", quoted(text)), &instead);
        }
        value
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        let flag = match &node.value {
            Value::Boolean(flag) => Some(*flag),
            Value::Untyped(text) => text.parse().ok(),
            _ => None,
        };
        if flag.is_none() {
            self.wrong_type(node, key, "true or false", "write true or false without quotes");
        }
        flag
    }

    /// A whole number.
    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        let node = self.node(key)?;
        let instead = format!("write a whole number from {} to {}", range.start(), range.end());
        let number = match &node.value {
            Value::Integer(number) => *number,
            Value::Untyped(text) if text.parse::<i128>().is_ok() => text.parse().ok(),
            _ => {
                self.wrong_type(node, key, "a whole number", &instead);
                return None;
            }
        };
        let value = number.filter(|number| range.contains(number)).and_then(|number| number.try_into().ok());
        if value.is_none() {
            // One that does not even fit is not repeated.
            let shown = number.map_or_else(String::new, |number| format!("{number} "));
            self.fault(&node.place, key, &format!("{shown}is out of range"), &instead);
        }
        value
    }

    /// A time.
    pub(super) fn time(&mut self, key: &'static str, least: Duration) -> Option<Duration> {
        let time = self.parsed(key, "a time", WRITE_TIME, units::duration)?;
        self.in_range(key, time, least)
    }

    /// A time, or `None` for never; `usual` when the key is not there.
    pub(super) fn time_or_never(
        &mut self,
        key: &'static str,
        least: Duration,
        usual: Option<Duration>,
    ) -> Option<Duration> {
        if !self.has(key) {
            self.known.push(key);
            return usual;
        }
        let read = |text: &str| if text == "never" { Some(None) } else { units::duration(text).map(Some) };
        let time = self.parsed(key, "a time", WRITE_TIME_OR_NEVER, read)??;
        self.in_range(key, time, least)
    }

    fn in_range(&self, key: &str, time: Duration, least: Duration) -> Option<Duration> {
        if (least..=units::TEN_YEARS).contains(&time) {
            return Some(time);
        }
        let instead =
            format!("write a time from \"{}\" to \"{}\"", units::show(least), units::show(units::TEN_YEARS));
        let what = format!("{} is out of range", units::show(time));
        self.fault(&self.place_of(key), key, &what, &instead);
        None
    }

    /// A size of at least `least` octets.
    pub(super) fn size(&mut self, key: &'static str, least: ByteSize) -> Option<ByteSize> {
        let node = self.node(key)?;
        let size = match &node.value {
            Value::Integer(octets) => octets.and_then(|octets| u64::try_from(octets).ok()).map(ByteSize),
            Value::Text(_) | Value::Untyped(_) => self.parsed(key, "a size", WRITE_SIZE, units::size),
            _ => {
                self.wrong_type(node, key, "a size", WRITE_SIZE);
                return None;
            }
        };
        // Above this (8 EiB) sizes no longer fit the store's and TOML's own integers.
        let most = ByteSize(i64::MAX as u64);
        match size {
            Some(size) if (least..=most).contains(&size) => Some(size),
            None if !matches!(node.value, Value::Integer(_)) => None,
            _ => {
                let shown = size.map_or_else(String::new, |size| format!("{size} "));
                let instead = format!("write at least \"{least}\"");
                self.fault(&node.place, key, &format!("{shown}is out of range"), &instead);
                None
            }
        }
    }

    /// A list of texts with their places; from the environment, with commas.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<(SourcePlace, &'a str)>> {
        const INSTEAD: &str = r#"write a list of texts, such as ["one", "two"]"#;
        let node = self.node(key)?;
        let nodes = match &node.value {
            Value::List(nodes) => nodes,
            Value::Untyped(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                return Some(items.map(|item| (node.place.clone(), item)).collect());
            }
            _ => {
                self.wrong_type(node, key, "a list", INSTEAD);
                return None;
            }
        };
        let mut texts = Vec::with_capacity(nodes.len());
        for node in nodes {
            match &node.value {
                Value::Text(text) => texts.push((node.place.clone(), text.as_str())),
                _ => self.wrong_type(node, key, "a text", INSTEAD),
            }
        }
        (texts.len() == nodes.len()).then_some(texts)
    }

    /// The same, where a sole one may stand without a list.
    pub(super) fn one_or_more_texts(&mut self, key: &'static str) -> Option<Vec<(SourcePlace, &'a str)>> {
        match self.table.0.get(key) {
            Some((_, Node { place, value: Value::Text(text) })) => {
                self.known.push(key);
                Some(vec![(place.clone(), text)])
            }
            _ => self.texts(key),
        }
    }

    /// A section in this one; an empty one when it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let instead = format!("write [{}] and its keys below", self.name(key));
        self.inner(key, &instead)
    }

    /// A table in this one; an empty one when it is not there.
    pub(super) fn inner(&mut self, key: &'static str, instead: &str) -> Self {
        let (place, table) = match self.node(key) {
            Some(Node { place, value: Value::Table(table) }) => (place.clone(), table),
            Some(node) if matches!(node.value, Value::Untyped(_)) => {
                self.section_as_variable(node, key);
                (node.place.clone(), self.context.nothing())
            }
            Some(node) => {
                self.wrong_type(node, key, "a table", instead);
                (node.place.clone(), self.context.nothing())
            }
            None => (self.place.clone(), self.context.nothing()),
        };
        Self { context: self.context, place, path: self.path.inner(key), table, known: Vec::new() }
    }

    /// The sections of a name that may stand several times. One that was written as if it could stand only once is read
    /// all the same, so that all that is wrong in it is told at once.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let instead = format!("write [[{}]] and its keys below", self.name(key));
        let nodes = match (&node.value, &node.place) {
            (Value::List(nodes), _) => nodes.as_slice(),
            (Value::Table(_), SourcePlace::Environment(_)) => {
                let what = "is not reached by variables, since it may stand several times";
                let instead = format!("write [[{}]] into the file", self.name(key));
                self.fault(&node.place, key, what, &instead);
                return Vec::new();
            }
            (Value::Untyped(_), _) => {
                self.section_as_variable(node, key);
                return Vec::new();
            }
            (value, _) => {
                self.wrong_type(node, key, "a list of tables", &instead);
                if matches!(value, Value::Table(_)) { std::slice::from_ref(node) } else { return Vec::new() }
            }
        };
        let mut sections = Vec::with_capacity(nodes.len());
        for node in nodes {
            if let Value::Table(table) = &node.value {
                let (context, place, path) = (self.context, node.place.clone(), self.path.repeated(key));
                sections.push(Self { context, place, path, table, known: Vec::new() });
            } else {
                self.wrong_type(node, key, "a table", &instead);
            }
        }
        sections
    }

    /// Notes each key that was not asked for, and which ones were.
    pub(super) fn finish(self) {
        for (key, (place, node)) in &self.table.0 {
            if !self.known.contains(&key.as_str()) {
                self.unread(key, place, node);
            }
        }
        self.context.known.borrow_mut().add(self.path, &self.known);
    }

    fn unread(&self, key: &str, place: &SourcePlace, node: &'a Node) {
        match later::key_status(self.path.dotted(), key, node) {
            KeyStatus::Harmless => {}
            KeyStatus::NotYet => {
                self.fault(place, key, "is not in this version yet", "remove it");
            }
            KeyStatus::Unknown => {
                let (place, section_place, key) = (place.clone(), self.place.clone(), key.to_owned());
                let unknown = UnknownKey { place, section: self.path.clone(), section_place, key };
                self.context.unknown.borrow_mut().push(unknown);
            }
        }
    }
}
