//! The order of the house, read from the sources of `src/`: imports go down only, no files import each other in a
//! circle, a public type name stands once, addresses are compared by their keys, no secret is shown, nothing is too long
//! to be read, and the crate is built from what it may be.
//!
//! The sources are read as tokens, so that comments, doc links and texts do not count, while every path into the crate
//! does: in `use` groups, in the middle of an expression, and through `super`.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

#[path = "layering/circles.rs"]
mod circles;
#[path = "layering/dependencies.rs"]
mod dependencies;
#[path = "layering/exceptions.rs"]
mod exceptions;
#[path = "layering/folding.rs"]
mod folding;
#[path = "layering/levels.rs"]
mod levels;
#[path = "layering/names.rs"]
mod names;
#[path = "layering/paths.rs"]
mod paths;
#[path = "layering/secrets.rs"]
mod secrets;
#[path = "layering/sizes.rs"]
mod sizes;
#[path = "layering/sources.rs"]
mod sources;
#[path = "layering/tokens.rs"]
mod tokens;

#[test]
fn imports_go_down_only() {
    let mut faults = Vec::new();
    for source in sources::of_the_crate() {
        faults.extend(
            levels::upward_imports(&source).iter().map(|fault| format!("src/{}:{fault}", source.path)),
        );
    }
    assert!(faults.is_empty(), "imports that do not go down:\n{}", faults.join("\n"));
}

#[test]
fn files_do_not_import_each_other() {
    let known = |files: &std::collections::BTreeSet<String>| {
        exceptions::CIRCLES.iter().any(|circle| files.iter().all(|file| circle.contains(&file.as_str())))
    };
    let found = circles::circles(&sources::of_the_crate());
    let faults: Vec<String> =
        found.into_iter().filter(|(files, _)| !known(files)).map(|(_, text)| text).collect();
    assert!(faults.is_empty(), "files that import each other:\n{}", faults.join("\n"));
}

#[test]
fn a_public_type_name_stands_once() {
    let mut faults = Vec::new();
    for (name, mut files) in names::shared_names(&sources::of_the_crate()) {
        files.retain(|file| !exceptions::NAMES.contains(&(name.as_str(), file.as_str())));
        if files.len() > 1 {
            faults.push(format!("`{name}`: {}", files.join(", ")));
        }
    }
    assert!(faults.is_empty(), "names of two types:\n{}", faults.join("\n"));
}

#[test]
fn addresses_are_compared_by_their_keys() {
    let mut faults = Vec::new();
    for source in sources::of_the_crate() {
        let found = folding::comparisons(&source, exceptions::FOLDING);
        faults.extend(found.iter().map(|fault| format!("src/{}:{fault}", source.path)));
    }
    assert!(faults.is_empty(), "compared otherwise than by a key of `mail`:\n{}", faults.join("\n"));
}

/// The same for SQL, which can fold case by itself.
#[test]
fn sql_compares_addresses_by_their_keys() {
    let mut faults = Vec::new();
    for (path, text) in sources::texts(&["rs", "sql"]) {
        for (line, text) in (1..).zip(text.lines()).filter(|_| path.starts_with("store/")) {
            let folds = text.contains("lower(") || text.to_uppercase().contains("NOCASE");
            let known = exceptions::SQL.iter().any(|(file, part)| *file == path && text.contains(part));
            if folds && !known && !text.trim_start().starts_with("//") {
                faults.push(format!("src/{path}:{line}"));
            }
        }
    }
    assert!(faults.is_empty(), "SQL that folds case: use address_key or pattern_key:\n{}", faults.join("\n"));
}

#[test]
fn no_secret_is_shown() {
    let mut faults = secrets::unclosed(&sources::of_the_crate(), exceptions::CLOSED);
    for source in sources::of_the_crate() {
        let mut found = secrets::shown(&source, exceptions::SECRETS);
        found.extend(secrets::written(&source));
        faults.extend(found.iter().map(|fault| format!("src/{}:{fault}", source.path)));
    }
    assert!(
        faults.is_empty(),
        "secrets that Debug, Serialize or a message shows (SecretString, or a Debug of its own):\n{}",
        faults.join("\n")
    );
}

#[test]
fn nothing_is_too_long() {
    let sources = sources::of_the_crate();
    let mut faults = Vec::new();
    for (path, lines) in sizes::long_files(&sources) {
        if !exceptions::FILES.contains(&path.as_str()) {
            faults.push(format!("src/{path} has {lines} lines"));
        }
    }
    for (function, lines) in sizes::long_functions(&sources) {
        if !exceptions::FUNCTIONS.iter().any(|(known, _)| *known == function) {
            faults.push(format!("src/{function} has {lines} lines"));
        }
    }
    for (room, lines, all) in sizes::large_rooms(&sources) {
        if !exceptions::ROOMS.contains(&room.as_str()) {
            faults.push(format!("the room `{room}` has {lines} of {all} lines"));
        }
    }
    assert!(faults.is_empty(), "too long:\n{}", faults.join("\n"));
}
