//! docs/commands.md is what the program says of its commands; docs/stuck-message.md has each word that a message waits for.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::root;

const BEGIN: &str = "<!-- by the program: UPDATE_DOCS=1 cargo test --test documented -->\n";
const END: &str = "<!-- end -->\n";

fn help(words: &[&str], flag: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mailsluice")).args(words).arg(flag).output().unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines below a heading of a help text, up to the next empty one: a name, and what is said of it.
fn rows(help: &str, heading: &str) -> Vec<(String, String)> {
    let lines = help.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.is_empty());
    let split = |line: &str| {
        let (name, said) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
        (name.to_owned(), said.trim().to_owned())
    };
    lines.map(split).collect()
}

/// The commands that a help text names, with what they do.
fn commands(help: &str) -> Vec<(String, String)> {
    rows(help, "Commands:").into_iter().filter(|(name, _)| name != "help").collect()
}

/// What follows `Usage: ` in a help text.
fn usage(help: &str) -> String {
    help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap().to_owned()
}

/// A table of what is said of names; nothing where there are none.
fn table(head: &str, rows: &[(String, String)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let row = |(name, said): &(String, String)| format!("| `{name}` | {} |\n", said.replace('|', "\\|"));
    format!("| {head} | |\n|---|---|\n{}\n", rows.iter().map(row).collect::<String>())
}

/// All about one command: usage, what it does, its arguments and options, and an example that has its name.
fn section(words: &[&str]) -> String {
    let (short, long) = (help(words, "-h"), help(words, "--help"));
    let about = long.split("\n\nUsage: ").next().unwrap().trim();
    let mut options = rows(&short, "Options:");
    options.retain(|(name, _)| !name.starts_with("-h,") && !name.starts_with("-V,"));
    let example = short.split("Example:\n").nth(1).unwrap_or_default().trim();
    let name = format!("mailsluice {}", words.join(" "));
    assert!(example.starts_with(&name), "the help of `{name}` has no example of it");
    let (arguments, options) = (table("Argument", &rows(&short, "Arguments:")), table("Option", &options));
    format!("### {name}\n\n`{}`\n\n{about}\n\n{arguments}{options}```sh\n{example}\n```\n\n", usage(&short))
}

/// Puts what the program says between the marks of a document, or fails when something else stands there.
pub(super) fn hold(document: &str, said: &str) {
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
    let main = help(&[], "-h");
    let mut overview = Vec::new();
    let mut sections = String::new();
    for (name, about) in commands(&main) {
        let below = commands(&help(&[&name], "-h"));
        if below.is_empty() {
            overview.push((format!("mailsluice {name}"), about));
            sections += &section(&[&name]);
        }
        for (word, about) in below {
            overview.push((format!("mailsluice {name} {word}"), about));
            sections += &section(&[&name, &word]);
        }
    }
    assert!(overview.len() > 15, "{overview:?}");
    let globals = rows(&main, "Options of all commands:");
    let statuses = rows(&main, "Exit status:");
    assert!(globals.len() >= 3 && statuses.len() >= 3, "{globals:?} {statuses:?}");
    let (overview, globals) = (table("Command", &overview), table("Option of all commands", &globals));
    let said = format!("{overview}{globals}{}{sections}", table("Exit status", &statuses));
    hold("docs/commands.md", &said);
}

/// A row for each preset, as `mailsluice presets --json` tells it.
fn preset_row(preset: &Value) -> String {
    let text = |key: &str| match &preset[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let limits = preset["limits"].as_array().unwrap().iter().map(|limit| {
        let counted = ["messages", "recipients", "octets"].map(|key| (key, &limit[key]));
        let counted = counted.into_iter().filter(|(_, most)| !most.is_null());
        let counted: Vec<_> = counted.map(|(key, most)| format!("{most} {key}")).collect();
        let window = limit["window"].as_str().unwrap();
        let each = match window {
            "hour" => "an",
            "minute" | "day" | "week" => "a",
            _ => "in",
        };
        format!("{} {each} {window}", counted.join(" and "))
    });
    let limits: Vec<_> = limits.collect();
    let size = match preset["message_size"].as_u64() {
        None => String::new(),
        Some(octets) if octets % (1 << 20) == 0 => format!("{} MiB", octets >> 20),
        Some(octets) => format!("{octets} octets"),
    };
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
