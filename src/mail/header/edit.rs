//! Changes fields of a header section, and keeps every other octet of the content.

use std::borrow::Cow;

use super::{Field, Fields};

/// Where lines are folded (RFC 5322 2.1.1), in octets without the line end.
const FOLD_AT: usize = 78;
/// The longest line (RFC 5322 2.1.1), in octets without the line end.
pub const MAX_LINE: usize = 998;
/// The longest piece of a word that has to be broken; short of [`MAX_LINE`] by a name and a space.
const MAX_WORD: usize = 900;

/// The header section of a content, as fields that can be changed.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    fields: Vec<Cow<'a, [u8]>>,
    rest: &'a [u8],
    changed: bool,
}

impl<'a> Header<'a> {
    /// Reads the header section at the beginning of a content.
    #[must_use]
    pub fn parse(content: &'a [u8]) -> Self {
        let fields: Vec<_> = Fields::new(content).map(|f| Cow::Borrowed(f.raw())).collect();
        let length = fields.iter().map(|f| f.len()).sum();
        Self { fields, rest: &content[length..], changed: false }
    }

    /// The fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(|raw| Field::of(raw))
    }

    /// The first field of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Field<'_>> {
        self.fields().find(|f| f.is(name))
    }

    /// What follows the fields: the empty line and the body, or nothing.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The body, without the empty line before it.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        match self.rest {
            [b'\r', b'\n', body @ ..] | [b'\n', body @ ..] => body,
            other => other,
        }
    }

    /// Whether anything was changed.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Removes the fields for which `keep` says no; returns how many.
    pub fn retain(&mut self, mut keep: impl FnMut(&Field<'_>) -> bool) -> usize {
        let before = self.fields.len();
        self.fields.retain(|raw| keep(&Field::of(raw)));
        self.changed |= self.fields.len() != before;
        before - self.fields.len()
    }

    /// Removes all fields of that name; returns how many.
    pub fn remove(&mut self, name: &str) -> usize {
        self.retain(|field| !field.is(name))
    }

    /// Puts a field before all others, folded as [`fold`] does.
    pub fn prepend(&mut self, name: &str, value: &[u8]) {
        self.fields.insert(0, Cow::Owned(fold(name, value)));
        self.changed = true;
    }

    /// Puts a field behind all others, folded as [`fold`] does.
    pub fn append(&mut self, name: &str, value: &[u8]) {
        self.append_raw(fold(name, value));
    }

    /// Puts a whole field with its line end behind all others.
    pub fn append_raw(&mut self, field: Vec<u8>) {
        if let Some(last) = self.fields.last_mut().filter(|last| !last.ends_with(b"\n")) {
            last.to_mut().extend_from_slice(b"\r\n");
        }
        self.fields.push(Cow::Owned(field));
        self.changed = true;
    }

    /// Gives the first field of that name a new value and removes the others; adds it when there is none.
    pub fn replace(&mut self, name: &str, value: &[u8]) {
        self.replace_raw(name, fold(name, value));
    }

    /// Puts a whole field with its line end in the place of the first field of that name and removes the others; adds it
    /// when there is none.
    pub fn replace_raw(&mut self, name: &str, field: Vec<u8>) {
        let mut field = Some(field);
        self.map(|old| {
            if old.is(name) {
                field.take().map_or(FieldChange::Remove, FieldChange::Replace)
            } else {
                FieldChange::Keep
            }
        });
        if let Some(field) = field {
            self.append_raw(field);
        }
    }

    /// Looks at each field once and does with it what `change` says.
    pub fn map(&mut self, mut change: impl FnMut(&Field<'_>) -> FieldChange) {
        let fields = std::mem::take(&mut self.fields);
        for raw in fields {
            match change(&Field::of(&raw)) {
                FieldChange::Keep => {
                    self.fields.push(raw);
                    continue;
                }
                FieldChange::Remove => {}
                FieldChange::Replace(field) => self.fields.push(Cow::Owned(field)),
            }
            self.changed = true;
        }
    }

    /// Writes the header section without its empty line.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for field in &self.fields {
            out.extend_from_slice(field);
        }
    }

    /// The whole content: the fields, and unchanged what follows them.
    #[must_use]
    pub fn to_content(&self) -> Vec<u8> {
        let length: usize = self.fields.iter().map(|f| f.len()).sum();
        let mut out = Vec::with_capacity(length + self.rest.len());
        self.write_to(&mut out);
        out.extend_from_slice(self.rest);
        out
    }
}

/// What to do with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldChange {
    /// Nothing.
    Keep,
    /// Take it out.
    Remove,
    /// Put this whole field, line end included, in its place.
    Replace(Vec<u8>),
}

/// Writes a field with its line end, folded between words so that lines stay within 78 octets where they can, and
/// within 998 always. Line ends and runs of white space in the value become one space.
#[must_use]
pub fn fold(name: &str, value: &[u8]) -> Vec<u8> {
    let words = value.split(|&b| b.is_ascii_whitespace() || b == 0).filter(|word| !word.is_empty());
    fold_words(name, words)
}

/// The same with words that are whole, whatever white space is in them: a local part in quotes may hold some.
#[must_use]
pub fn fold_words<'a>(name: &str, words: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = format!("{name}:").into_bytes();
    let mut column = out.len();
    for (i, word) in words.flat_map(|word| word.chunks(MAX_WORD)).enumerate() {
        if column + 1 + word.len() > FOLD_AT && (i > 0 || word.len() == MAX_WORD) {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(b' ');
        out.extend_from_slice(word);
        column += 1 + word.len();
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONTENT: &[u8] = b"A: 1\r\nTo : x,\r\n\ty\r\nnonsense\r\nB: 2\r\nto: z\r\n\r\nTo: body\r\n";

    fn edited(edit: impl FnOnce(&mut Header<'_>)) -> String {
        let mut header = Header::parse(CONTENT);
        edit(&mut header);
        String::from_utf8(header.to_content()).unwrap()
    }

    #[test]
    fn edits_one_field_and_keeps_the_rest() {
        for (name, got, want) in [
            (
                "nothing",
                edited(|_| ()),
                "A: 1\r\nTo : x,\r\n\ty\r\nnonsense\r\nB: 2\r\nto: z\r\n\r\nTo: body\r\n",
            ),
            (
                "remove",
                edited(|h| assert_eq!(h.remove("TO"), 2)),
                "A: 1\r\nnonsense\r\nB: 2\r\n\r\nTo: body\r\n",
            ),
            (
                "replace",
                edited(|h| h.replace("To", b"t")),
                "A: 1\r\nTo: t\r\nnonsense\r\nB: 2\r\n\r\nTo: body\r\n",
            ),
            (
                "add",
                edited(|h| {
                    h.replace("Cc", b"c");
                    h.prepend("X", b"x\r\nBcc: evil");
                }),
                "X: x Bcc: evil\r\nA: 1\r\nTo : x,\r\n\ty\r\nnonsense\r\nB: 2\r\nto: z\r\nCc: c\r\n\r\nTo: body\r\n",
            ),
        ] {
            assert_eq!(got, want, "{name}");
        }
        let header = Header::parse(CONTENT);
        assert_eq!(header.get("to").unwrap().unfolded(), b"x,\ty");
        assert_eq!((header.body(), header.is_changed()), (&b"To: body\r\n"[..], false));
        let mut open = Header::parse(b"A: 1");
        open.append("B", b"2");
        assert_eq!(open.to_content(), b"A: 1\r\nB: 2\r\n");
    }

    #[test]
    fn folds() {
        assert_eq!(fold("A", b""), b"A:\r\n");
        let words = fold("Some-Name", "word ".repeat(100).as_bytes());
        assert!(words.split(|&b| b == b'\n').all(|line| line.len() <= FOLD_AT + 1));
        assert_eq!(Field::of(&words).unfolded(), "word ".repeat(100).trim().as_bytes());
        let long = fold("A", &b"x".repeat(5_000));
        assert!(long.split(|&b| b == b'\n').all(|line| line.len() <= MAX_LINE));
        assert_eq!(Fields::new(&long).count(), 1);
        assert_eq!(String::from_utf8(long).unwrap().matches('x').count(), 5_000);
    }

    proptest! {
        #[test]
        fn keeps_every_other_octet(content in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'T'), Just(b'o'), any::<u8>()], 0..300)) {
            let mut header = Header::parse(&content);
            prop_assert_eq!(&header.to_content(), &content);
            header.prepend("X-New", b"y");
            let prepended = header.to_content();
            prop_assert!(prepended.strip_prefix(b"X-New: y\r\n").is_some_and(|rest| rest == &content[..]));
            header.remove("X-New");
            header.remove("To");
            prop_assert!(header.get("to").is_none());
            let kept: Vec<u8> = Fields::new(&content).filter(|f| !f.is("to")).flat_map(|f| f.raw().to_vec()).collect();
            let mut got = Vec::new();
            header.write_to(&mut got);
            prop_assert_eq!(got, kept);
        }

        #[test]
        fn a_folded_value_is_one_field(value in proptest::collection::vec(any::<u8>(), 0..3_000)) {
            let field = fold("Name", &value);
            prop_assert_eq!(Fields::new(&field).count(), 1);
            prop_assert!(field.split(|&b| b == b'\n').all(|line| line.len() <= MAX_LINE));
            let octets = |v: &[u8]| v.iter().copied().filter(|b| !b.is_ascii_whitespace() && *b != 0).collect::<Vec<_>>();
            prop_assert_eq!(octets(Field::of(&field).value()), octets(&value));
        }
    }
}
