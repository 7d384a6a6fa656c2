//! docs/commands.md is what the program says of its commands; docs/stuck-message.md has each word that a message waits for.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::root;

const BEGIN: &str = "<!-- by the program: UPDATE_DOCS=1 cargo test --test documented -->\n";
const END: &str = "<!-- end -->\n";

fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mailsluice")).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that a help text names, with what they do.
fn commands(help: &str) -> Vec<(String, String)> {
    let lines =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let split = |line: &str| {
        let (name, about) = line.trim().split_once(' ')?;
        (name != "help").then(|| (name.to_owned(), about.trim().to_owned()))
    };
    lines.filter_map(split).collect()
}

/// What follows `Usage: ` in a help text.
fn usage(words: &[&str]) -> String {
    let help = help(words);
    let line = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap();
    line.replace("[OPTIONS] ", "").replace(" [OPTIONS]", "")
}

/// Puts what the program says between the marks of a document, or fails when something else stands there.
fn hold(document: &str, said: &str) {
    let path = root().join(document);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the document has the mark of the beginning");
    let (between, after) = rest.split_once(END).expect("the document has the mark of the end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{said}{END}{after}")).unwrap();
    } else {
        assert_eq!(
            between, said,
            "{document} is not true any more: UPDATE_DOCS=1 cargo test --test documented"
        );
    }
}

#[test]
fn every_command() {
    let mut table = "| Command | Does |\n|---|---|\n".to_owned();
    for (name, about) in commands(&help(&[])) {
        let below = commands(&help(&[&name]));
        if below.is_empty() {
            let _ = writeln!(table, "| `{}` | {about} |", usage(&[&name]));
        }
        for (word, about) in below {
            let _ = writeln!(table, "| `{}` | {about} |", usage(&[&name, &word]));
        }
    }
    assert!(table.lines().count() > 15, "{table}");
    hold("docs/commands.md", &table);
}

/// A row for each preset, as `mailsluice presets --json` tells it.
fn preset_row(preset: &Value) -> String {
    let text = |key: &str| match &preset[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let limits = preset["limits"].as_array().unwrap().iter().map(|limit| {
        let counted = ["messages", "recipients"].map(|key| (key, &limit[key]));
        let counted = counted.into_iter().filter(|(_, most)| !most.is_null());
        let counted: Vec<_> = counted.map(|(key, most)| format!("{most} {key}")).collect();
        let window = limit["window"].as_str().unwrap();
        format!("{} {} {window}", counted.join(" and "), if window == "hour" { "an" } else { "a" })
    });
    let limits: Vec<_> = limits.collect();
    let size =
        preset["message_size"].as_u64().map_or_else(String::new, |octets| format!("{} MiB", octets >> 20));
    format!(
        "| `{}` | {} | {} | {} | {} | {} | {} | {size} |\n",
        text("name"),
        if preset["host"].is_null() { "write `host`".to_owned() } else { text("host") },
        text("port"),
        text("security"),
        text("connections"),
        limits.join(", "),
        text("recipients_per_message"),
    )
}

#[test]
fn every_preset() {
    let output = Command::new(env!("CARGO_BIN_EXE_mailsluice")).args(["presets", "--json"]).output().unwrap();
    let presets: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let head = "| Preset | Host | Port | Security | Connections | Limits | Recipients a message | Size |\n\
                |---|---|---|---|---|---|---|---|\n";
    let rows: String = presets.iter().map(preset_row).collect();
    hold("docs/presets.md", &format!("{head}{rows}"));
}

#[test]
fn every_word_that_a_message_waits_for() {
    let source = fs::read_to_string(root().join("src/control/view/message.rs")).unwrap();
    let words = source.split_once("    /// `retry").unwrap().1.split_once('`').unwrap().0;
    let words: BTreeSet<String> = format!("retry{words}").split(' ').map(str::to_owned).collect();
    let document = fs::read_to_string(root().join("docs/stuck-message.md")).unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: BTreeSet<String> = rows.map(|(word, _)| word.to_owned()).collect();
    assert_eq!(rows, words);
}
