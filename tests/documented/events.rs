//! docs/log.md has every event of the log with all its keys, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use mailsluice::store::RecipientState;

use super::root;

type Events = BTreeMap<String, BTreeSet<String>>;

/// What the log writes without a macro, or by a name that is no literal.
fn by_hand() -> Events {
    let attempts =
        [RecipientState::Sent, RecipientState::Bounced, RecipientState::Expired, RecipientState::Captured];
    let mut events: Events = attempts.map(|state| (state.name().to_owned(), BTreeSet::new())).into();
    events.insert("deferred".to_owned(), BTreeSet::new());
    events.insert("panic".to_owned(), BTreeSet::new());
    events.insert("log_lost".to_owned(), ["lines".to_owned()].into());
    events
}

/// The events that the sources write.
fn written(folder: &Path, events: &mut Events) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.file_stem().is_some_and(|name| name == "tests");
        if path.is_dir() && !is_test {
            written(&path, events);
        } else if path.extension().is_some_and(|end| end == "rs") && !is_test {
            let text = fs::read_to_string(&path).unwrap();
            // Tests stand at the end of a file.
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for level in ["trace", "debug", "info", "warn", "error"] {
                for arguments in text.split(&format!("{level}!(")).skip(1) {
                    note(arguments, events);
                }
            }
        }
    }
}

fn note(call: &str, events: &mut Events) {
    let arguments = arguments(call);
    let value =
        |argument: &String| argument.strip_prefix("event = ").map(|text| text.trim_matches('"').to_owned());
    let Some(event) = arguments.iter().find_map(value) else {
        panic!("a line of the log without an event: {call:.80}")
    };
    let words = arguments
        .iter()
        .find(|argument| argument.starts_with("next = \"") || argument.starts_with("next = format!"));
    assert!(
        words.is_none(),
        "`next` holds times alone, `effect` what follows, `action` what to do: {words:?}"
    );
    let keys = events.entry(event).or_default();
    keys.extend(arguments.iter().filter_map(|argument| key(argument)).filter(|key| key != "event"));
}

/// The arguments of a call, up to its closing bracket.
fn arguments(text: &str) -> Vec<String> {
    let (mut all, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        all.last_mut().unwrap().push(c);
    }
    all.into_iter().map(|argument| argument.trim().to_owned()).collect()
}

/// The key of an argument: `reason = %error`, `%reply`, `upstream`.
fn key(argument: &str) -> Option<String> {
    let argument = argument.trim_start_matches(['%', '?']);
    let name = argument.split_once(" = ").map_or(argument, |(name, _)| name);
    let is_name =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
    is_name.then(|| name.to_owned())
}

/// The rows of the document.
fn documented() -> Events {
    let text = fs::read_to_string(root().join("docs/log.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [event, _level, _when, keys] = cells.as_slice() else {
            panic!("a row with other than four cells: {row}")
        };
        (event.trim_matches('`').to_owned(), keys.split_whitespace().map(str::to_owned).collect())
    })
    .collect()
}

#[test]
fn every_event_and_all_its_keys() {
    let mut events = by_hand();
    written(&root().join("src"), &mut events);
    let documented = documented();
    let names = |events: &Events| events.keys().cloned().collect::<BTreeSet<_>>();
    let (of_code, of_document) = (names(&events), names(&documented));
    assert!(events.len() > 40, "only {} were found", events.len());
    let missing: Vec<_> = of_code.difference(&of_document).collect();
    let unknown: Vec<_> = of_document.difference(&of_code).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "docs/log.md lacks {missing:?}, and has {unknown:?}, which nothing writes"
    );
    let lacks = events.iter().flat_map(|(event, keys)| {
        keys.difference(&documented[event]).map(move |key| format!("{event}: {key}"))
    });
    let lacks: Vec<_> = lacks.collect();
    assert!(lacks.is_empty(), "docs/log.md lacks keys: {lacks:?}");
}
