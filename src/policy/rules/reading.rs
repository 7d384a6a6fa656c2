//! Reads of a content what conditions are about, and no more: some header fields, and the names of attachments. All of it
//! is bounded, however large the content is.

use std::io::{self, Read};

use super::part_names::PartNames;
use crate::config::{Rule, RuleCondition};
use crate::content::ContentError;
use crate::mail::decoded_text;
use crate::mail::header::Field;
use crate::store::Content;

/// Octets that are read at once.
const BLOCK: usize = 64 << 10;
/// What is kept of one field, in octets.
const LONGEST_FIELD: usize = 64 << 10;
/// What is kept of all fields, in octets.
const MOST_KEPT: usize = 256 << 10;

/// What of a content conditions are about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    /// Names of header fields, in lower case.
    fields: Vec<String>,
    attachments: bool,
}

/// What was found of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FoundText {
    fields: Vec<FoundField>,
    pub(super) attachments: Vec<String>,
}

/// A header field with its folding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundField(Vec<u8>);

impl Wanted {
    /// What these rules are about; `None` when there are none.
    pub(super) fn by(rules: &[Rule]) -> Option<Self> {
        let mut wanted = Self::default();
        for rule in rules {
            rule.when.each(&mut |condition| match condition {
                RuleCondition::Header { name, .. } => wanted.fields.push(name.to_ascii_lowercase()),
                RuleCondition::Subject(_) => wanted.fields.push("subject".to_owned()),
                RuleCondition::Attachment(_) => wanted.attachments = true,
                _ => {}
            });
            wanted.fields.extend(rule.actions.cc_from_header.iter().map(|name| name.to_ascii_lowercase()));
        }
        (!rules.is_empty()).then_some(wanted)
    }

    fn is_empty(&self) -> bool {
        self.fields.is_empty() && !self.attachments
    }
}

impl FoundText {
    /// The fields of a name.
    pub(super) fn fields(&self, name: &str) -> impl Iterator<Item = &FoundField> {
        self.fields.iter().filter(move |field| field.field().is(name))
    }
}

impl FoundField {
    fn field(&self) -> Field<'_> {
        Field::of(&self.0)
    }

    pub(super) fn value(&self) -> &[u8] {
        self.field().value()
    }

    /// The value as a person reads it: in one line, encoded words decoded.
    pub(super) fn text(&self) -> String {
        decoded_text(&self.field())
    }
}

/// Reads a content; one in a file on a thread where that disturbs nobody.
pub(super) async fn read(content: &Content, wanted: Wanted) -> Result<FoundText, ContentError> {
    if wanted.is_empty() {
        return Ok(FoundText::default());
    }
    if let Some(octets) = content.octets() {
        return Ok(Scanner::new(wanted).all(octets));
    }
    content.examine(move |file| scan(file, wanted)).await
}

fn scan(mut file: impl Read, wanted: Wanted) -> io::Result<FoundText> {
    let mut scanner = Scanner::new(wanted);
    let mut block = vec![0; BLOCK];
    while !scanner.is_done() {
        match file.read(&mut block)? {
            0 => break,
            length => scanner.feed(&block[..length]),
        }
    }
    Ok(scanner.end())
}

/// Takes a content in blocks.
struct Scanner {
    wanted: Wanted,
    found: FoundText,
    /// The field that is arriving, as much of it as is kept.
    field: Vec<u8>,
    /// The line that is arriving, as much of it as matters.
    line: Vec<u8>,
    in_header: bool,
    /// Whether a field has ended yet: the first is our own Received.
    is_first: bool,
    kept: usize,
    parts: PartNames,
}

impl Scanner {
    fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            found: FoundText::default(),
            field: Vec::new(),
            line: Vec::new(),
            in_header: true,
            is_first: true,
            kept: 0,
            parts: PartNames::default(),
        }
    }

    fn all(mut self, octets: &[u8]) -> FoundText {
        self.feed(octets);
        self.end()
    }

    fn is_done(&self) -> bool {
        !self.in_header && !self.wanted.attachments
    }

    fn feed(&mut self, block: &[u8]) {
        for piece in block.split_inclusive(|&b| b == b'\n') {
            if self.is_done() {
                return;
            }
            let room = LONGEST_FIELD.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take(&line);
                self.line = line;
                self.line.clear();
            }
        }
    }

    fn end(mut self) -> FoundText {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take(&line);
        }
        self.field_ends();
        self.parts.end();
        self.found.attachments = self.parts.names;
        self.found
    }

    fn take(&mut self, line: &[u8]) {
        if self.wanted.attachments {
            self.parts.line(line);
        }
        if !self.in_header {
            return;
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            self.field_ends();
        }
        if matches!(line, b"\r\n" | b"\n") {
            self.in_header = false;
            return;
        }
        let room = LONGEST_FIELD.saturating_sub(self.field.len());
        self.field.extend_from_slice(&line[..line.len().min(room)]);
    }

    /// Keeps the field that has arrived, if somebody asks for it.
    fn field_ends(&mut self) {
        let field = std::mem::take(&mut self.field);
        if field.is_empty() {
            return;
        }
        let is_ours = std::mem::take(&mut self.is_first) && Field::of(&field).is("Received");
        let name = Field::of(&field).name().to_ascii_lowercase();
        let is_wanted = self.wanted.fields.iter().any(|wanted| wanted.as_bytes() == name);
        if is_wanted && !is_ours && self.kept + field.len() <= MOST_KEPT {
            self.kept += field.len();
            self.found.fields.push(FoundField(field));
        }
    }
}
