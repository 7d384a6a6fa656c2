//! Tables within a section that are read as that section is: what stands in them has the same keys.

use super::Section;
use crate::config::fault::Finding;
use crate::config::tree::{Node, Value};

impl<'a> Section<'a> {
    /// A table that has the keys of this section, as the value of a key.
    pub(in crate::config) fn alike(&mut self, key: &'static str, instead: &str) -> Option<Self> {
        let node = self.node(key)?;
        self.of_node(node, key, instead)
    }

    /// The same for a list of such tables; with at least one.
    pub(in crate::config) fn all_alike(&mut self, key: &'static str, instead: &str) -> Vec<Self> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::List(nodes) = &node.value else {
            self.wrong_type(node, key, "a list of tables", instead);
            return Vec::new();
        };
        if nodes.is_empty() {
            self.fault(&node.place, key, "is empty", instead);
        }
        nodes.iter().filter_map(|node| self.of_node(node, key, instead)).collect()
    }

    fn of_node(&self, node: &'a Node, key: &str, instead: &str) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            self.wrong_type(node, key, "a table", instead);
            return None;
        };
        let (context, place, path) = (self.context, node.place.clone(), self.path.clone());
        Some(Self { context, place, path, table, known: Vec::new() })
    }

    /// The tables in a table whose keys the file chooses, each with its key.
    pub(in crate::config) fn chosen(&mut self, key: &'static str, instead: &str) -> Vec<(&'a str, Self)> {
        let all = self.inner(key, instead);
        let mut tables = Vec::new();
        for (name, (_, node)) in &all.table.0 {
            let Value::Table(table) = &node.value else {
                all.wrong_type(node, name, "a table", instead);
                continue;
            };
            let (context, place, path) = (self.context, node.place.clone(), all.path.inner(name));
            tables.push((name.as_str(), Self { context, place, path, table, known: Vec::new() }));
        }
        tables
    }

    /// Whether nothing stands in it.
    pub(in crate::config) fn is_empty(&self) -> bool {
        self.table.0.is_empty()
    }

    /// Notes a fault of the section as a whole.
    pub(in crate::config) fn fault_of_all(&self, what: &str, instead: &str) {
        let (place, key) = (self.place.clone(), self.path.dotted().to_owned());
        let finding = Finding { place, key, what: what.to_owned(), instead: instead.to_owned() };
        self.context.faults.borrow_mut().push(finding);
    }
}
