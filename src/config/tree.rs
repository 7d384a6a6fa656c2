//! The configuration as a tree of values that know where they were written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::fault::SourcePlace;
use super::lines::Lines;

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

/// What breaks the grammar of TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Where, in octets.
    pub(super) span: Range<usize>,
    /// In the words of whoever knows the grammar.
    pub(super) message: String,
}

/// How often a text is read again without the lines that are wrong.
const ROUNDS: usize = 4;

/// Reads TOML.
///
/// # Errors
/// All that breaks the grammar, at least one. The rest is not looked at then: what a broken line meant, and which table
/// it opened, can only be guessed.
pub(super) fn parse(text: &str) -> Result<Table, Vec<SyntaxError>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(Lines::of(text).table(root.get_ref()));
    }
    let mut all: Vec<SyntaxError> = errors.iter().map(SyntaxError::of).collect();
    // Behind some errors the library looks at little, so the lines that are wrong go, and it reads the rest.
    let mut rest = text.to_owned();
    for _ in 0..ROUNDS {
        let shorter = without_lines(&rest, &all);
        if shorter == rest {
            break;
        }
        rest = shorter;
        let (_, errors) = DeTable::parse_recoverable(&rest);
        // Where the heading of a section is gone, keys seem to stand twice.
        let more = errors.iter().map(SyntaxError::of).filter(|error| !error.is_duplicate());
        all.extend(more);
    }
    Err(all)
}

/// A text with blanks in place of the lines of these errors, but for those that are a part of a list.
fn without_lines(text: &str, errors: &[SyntaxError]) -> String {
    let lines = Lines::of(text);
    let wrong: BTreeSet<usize> = errors
        .iter()
        .filter(|error| !error.is_in_value())
        .map(|error| lines.number(error.span.start))
        .collect();
    let lines = text.split_inclusive('\n').enumerate().map(|(at, line)| {
        let length = line.trim_end_matches('\n').len();
        if wrong.contains(&(at + 1)) { " ".repeat(length) + &line[length..] } else { line.to_owned() }
    });
    lines.collect()
}

impl SyntaxError {
    fn of(error: &toml::de::Error) -> Self {
        let message = error.message().trim().replace('\n', ", ");
        Self { span: error.span().unwrap_or(0..0), message }
    }

    /// Whether it is in a list or an inline table, which may have several lines.
    pub(super) fn is_in_value(&self) -> bool {
        self.is_in_list()
            || ["inline table", "key-value pairs"].iter().any(|part| self.message.contains(part))
    }

    /// Whether it is in a list.
    pub(super) fn is_in_list(&self) -> bool {
        ["array elements", "in array", "unclosed array,"].iter().any(|part| self.message.contains(part))
    }

    /// Whether a key or a section stands twice.
    pub(super) fn is_duplicate(&self) -> bool {
        self.message.starts_with("duplicate key")
    }
}

/// Reads as much of a text as is TOML, and passes over the rest.
pub(super) fn parse_readable(text: &str) -> Table {
    Lines::of(text).table(DeTable::parse_recoverable(text).0.get_ref())
}

impl Lines<'_> {
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
    fn a_number_beyond_64_bits_is_none() {
        let table = parse("a = 99999999999999999999").unwrap_or_default();
        assert!(matches!(table.0["a"].1.value, Value::Integer(None)));
    }
}
