//! The configuration as a tree of values that know where they were written.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::fault::{Finding, SourcePlace};

/// A value and its place. No `Debug`: it may be a secret.
pub(super) struct Node {
    pub(super) place: SourcePlace,
    pub(super) value: Value,
}

/// What a value is.
pub(super) enum Value {
    /// From the environment: whatever the key wants it to be.
    Untyped(String),
    Text(String),
    /// `None` is beyond 64 bits.
    Integer(Option<i64>),
    Float,
    Boolean(bool),
    Time,
    List(Vec<Node>),
    Table(Table),
}

/// A table: for each key the place of the key itself, and the value.
#[derive(Default)]
pub(super) struct Table(pub(super) BTreeMap<String, (SourcePlace, Node)>);

impl Value {
    /// The type in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Untyped(_) | Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float => "a fraction",
            Self::Boolean(_) => "true or false",
            Self::Time => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::List(nodes) => nodes.is_empty(),
            Self::Table(table) => table.0.is_empty(),
            _ => false,
        }
    }
}

/// Reads TOML.
///
/// # Errors
/// One finding for each line that breaks the grammar. The rest is not looked at then: what a broken line meant, and
/// which table it opened, can only be guessed.
pub(super) fn parse(text: &str) -> Result<Table, Vec<Finding>> {
    let lines = LineStarts::of(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(lines.table(root.get_ref()));
    }
    let mut findings: Vec<Finding> = errors.iter().map(|error| lines.finding(error)).collect();
    findings.sort();
    findings.dedup_by(|later, first| same_line(&later.place, &first.place));
    Err(findings)
}

/// Reads as much of a text as is TOML, and passes over the rest.
pub(super) fn parse_readable(text: &str) -> Table {
    LineStarts::of(text).table(DeTable::parse_recoverable(text).0.get_ref())
}

fn same_line(a: &SourcePlace, b: &SourcePlace) -> bool {
    matches!((a, b), (SourcePlace::File(a, _), SourcePlace::File(b, _)) if a == b)
}

/// Where the lines of a text start.
struct LineStarts<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineStarts<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn place(&self, offset: usize) -> SourcePlace {
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line.saturating_sub(1)];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        SourcePlace::File(line, column)
    }

    fn finding(&self, error: &toml::de::Error) -> Finding {
        let place = error.span().map_or(SourcePlace::Start, |span| self.place(span.start));
        let what = match error.message().trim() {
            "" => "is not valid TOML".to_owned(),
            message => format!("is not valid TOML ({})", message.replace('\n', ", ")),
        };
        let instead = "write one `key = value` or one `[section]` on a line, texts in quotes".to_owned();
        Finding { place, key: "syntax".to_owned(), what, instead }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            (name.to_string(), (self.place(key.span().start), self.node(value)))
        };
        Table(table.iter().map(entry).collect())
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => Value::Integer(number(integer)),
            DeValue::Float(_) => Value::Float,
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Datetime(_) => Value::Time,
            DeValue::Array(nodes) => Value::List(nodes.iter().map(|node| self.node(node)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { place, value }
    }
}

fn number(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(table: &Table, key: &str) -> (SourcePlace, SourcePlace) {
        let (key, node) = &table.0[key];
        (key.clone(), node.place.clone())
    }

    #[test]
    fn knows_lines_and_columns() {
        let table = parse("a = 1\n  'ü' = \"ä\" # x\n[log]\nb = 0x10\n[[user]]\nc = 1_000\n[[user]]\n")
            .unwrap_or_default();
        assert_eq!(place(&table, "a"), (SourcePlace::File(1, 1), SourcePlace::File(1, 5)));
        assert_eq!(place(&table, "ü"), (SourcePlace::File(2, 3), SourcePlace::File(2, 9)));
        let (_, Node { place: at, value: Value::Table(log) }) = &table.0["log"] else { panic!("no table") };
        assert_eq!(*at, SourcePlace::File(3, 1));
        assert!(matches!(log.0["b"].1.value, Value::Integer(Some(16))));
        let (_, Node { value: Value::List(users), .. }) = &table.0["user"] else { panic!("no list") };
        assert_eq!(
            users.iter().map(|user| user.place.clone()).collect::<Vec<_>>(),
            [SourcePlace::File(5, 1), SourcePlace::File(7, 1)]
        );
        let Value::Table(user) = &users[0].value else { panic!("no table") };
        assert!(matches!(user.0["c"].1.value, Value::Integer(Some(1000))));
    }

    #[test]
    fn tells_all_syntax_errors() {
        let Err(findings) = parse("a = \nb = 1\nb = 2\nc = \"x\n") else { panic!("no error") };
        let places: Vec<_> = findings.into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, [SourcePlace::File(1, 5), SourcePlace::File(3, 1), SourcePlace::File(4, 7)]);
    }

    #[test]
    fn a_number_beyond_64_bits_is_none() {
        let table = parse("a = 99999999999999999999").unwrap_or_default();
        assert!(matches!(table.0["a"].1.value, Value::Integer(None)));
    }
}
