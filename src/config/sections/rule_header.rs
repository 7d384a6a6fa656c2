//! `set_header` and `drop_header` of `[[rule]]`: header fields that are written or taken out on the way out.

use crate::config::HeaderEdit;
use crate::config::fault::SourcePlace;
use crate::config::names::is_field_name;
use crate::config::reader::Section;
use crate::config::tree::Value;
use crate::config::words::quoted;

/// The longest value that is written, in characters.
const LONGEST_VALUE: usize = 500;
const WRITE_FIELDS: &str = r#"write a table such as { "X-Department" = "sales" }"#;

/// Fields that a rule does not write so, and what it says instead. All in lower case.
const OTHERWISE: [(&str, &str); 12] = [
    ("from", "write set_sender"),
    ("sender", "write set_sender"),
    ("reply-to", "write set_reply_to"),
    ("to", "write add_cc or add_bcc for more recipients"),
    ("cc", "write add_cc"),
    ("bcc", "write add_bcc"),
    ("received", "leave it: servers find loops by it"),
    ("return-path", "write set_sender"),
    ("dkim-signature", "write [[dkim]]"),
    ("mime-version", "leave it: it says what the body is"),
    ("content-type", "leave it: it says what the body is"),
    ("content-transfer-encoding", "leave it: it says what the body is"),
];
/// Fields without which no message is one, or that keep it from going round in circles. All in lower case.
const NEEDED: [(&str, &str); 6] = [
    ("from", "write set_sender for another one"),
    ("date", "leave it: each message has one"),
    ("received", "leave it: servers find loops by it"),
    ("mime-version", "leave it: it says what the body is"),
    ("content-type", "leave it: it says what the body is"),
    ("content-transfer-encoding", "leave it: it says what the body is"),
];

/// What is taken out, and then what is written.
pub(super) fn read(section: &mut Section<'_>) -> Vec<HeaderEdit> {
    let mut edits = Vec::new();
    for (place, name) in section.one_or_more_texts("drop_header").unwrap_or_default() {
        if is_free(section, (&place, "drop_header"), name, &NEEDED) {
            edits.push(HeaderEdit { name: name.to_owned(), value: None });
        }
    }
    let Some(node) = section.node("set_header") else { return edits };
    let Value::Table(table) = &node.value else {
        section.unfit("set_header", &format!("is {}, not a table", node.value.kind()), WRITE_FIELDS);
        return edits;
    };
    for (name, (place, value)) in &table.0 {
        let Value::Text(text) = &value.value else {
            section.fault(
                &value.place,
                "set_header",
                &format!("is {}, not a text", value.value.kind()),
                WRITE_FIELDS,
            );
            continue;
        };
        if text.chars().any(char::is_control) || text.chars().count() > LONGEST_VALUE {
            let instead = format!("write one line of at most {LONGEST_VALUE} characters");
            section.fault(
                &value.place,
                "set_header",
                &format!("{} is not a text of one line", quoted(text)),
                &instead,
            );
        } else if is_free(section, (place, "set_header"), name, &OTHERWISE) {
            edits.push(HeaderEdit { name: name.clone(), value: Some(text.clone()) });
        }
    }
    edits
}

/// Whether a rule may do that with fields of a name.
fn is_free(
    section: &Section<'_>,
    (place, key): (&SourcePlace, &str),
    name: &str,
    taken: &[(&str, &str)],
) -> bool {
    let fault =
        |what: &str, instead: &str| section.fault(place, key, &format!("{} {what}", quoted(name)), instead);
    if !is_field_name(name) {
        fault("is not the name of a header field", "write it without the colon, such as \"X-Clerk\"");
        return false;
    }
    match taken.iter().find(|(other, _)| name.eq_ignore_ascii_case(other)) {
        Some((_, instead)) => fault("is not a rule's to change so", instead),
        None => return true,
    }
    false
}
