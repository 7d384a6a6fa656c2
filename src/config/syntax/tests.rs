use proptest::prelude::*;

use super::*;
use crate::config::known_keys::SectionPath;
use crate::config::tree;

fn known() -> KnownKeys {
    let root = SectionPath::default();
    let upstream = root.repeated("upstream");
    let mut known = KnownKeys::default();
    known.add(root.clone(), &["hostname", "watch", "log", "upstream", "user"]);
    known.add(root.inner("log"), &["level"]);
    known.add(root.repeated("user"), &["name"]);
    known.add(upstream.clone(), &["host", "port", "password", "filter", "limits"]);
    known.add(upstream.inner("limits"), &["per_minute", "connections"]);
    known
}

fn told(text: &str) -> Vec<String> {
    let errors = tree::parse(text).err().unwrap_or_default();
    explain(text, &errors, &known()).iter().map(|finding| finding.of_file(Some("m")).to_string()).collect()
}

/// A text, and what is told of it.
const MEANT: &[(&str, &str)] = &[
    (
        "hostname = smtp.x.example # x",
        "1:12: hostname: a text stands without quotes: write hostname = \"smtp.x.example\"",
    ),
    ("[[upstream]]\nport = 5a", "2:8: upstream.port: a text stands without quotes: write port = \"5a\""),
    (
        "[[upstream]]\nhost = 127.0.0.1",
        "2:13: upstream.host: a text stands without quotes: write host = \"127.0.0.1\"",
    ),
    (
        "[[upstream]]\npassword = hush",
        "2:12: upstream.password: a text stands without quotes: write password = \"…\"",
    ),
    (
        "[[upstream]]\nhost = me:hush@x",
        "2:8: upstream.host: a text stands without quotes: write host = \"…\"",
    ),
    ("pasword = hush", "1:11: syntax: a text stands without quotes: write key = \"…\""),
    (
        "[[upstream]]\nport = 0587",
        "2:8: upstream.port: a number begins with 0: write port = 587, or a text in quotes",
    ),
    ("watch = Yes", "1:9: watch: yes and no are true and false here: write watch = true"),
    ("watch = FALSE", "1:9: watch: yes and no are true and false here: write watch = false"),
    ("hostname =", "1:11: hostname: the value is missing: write one behind the ="),
    ("hostname = # x", "1:12: hostname: the value is missing: write one behind the ="),
    ("hostname: x", "1:9: syntax: a colon stands where = belongs: write hostname = …"),
    ("hush: x", "1:5: syntax: a colon stands where = belongs: write key = …"),
    ("hostname", "1:9: syntax: no = and no value follow: write hostname = …, or # before a comment"),
    ("hush me", "1:6: syntax: no = and no value follow: write key = …, or # before a comment"),
    (
        "hostname = a = b",
        "1:12: hostname: two = stand in one line: write one key = value or one [section] on a line, texts in quotes",
    ),
    ("hostname == \"a\"", "1:11: hostname: two = stand behind the name: write one"),
    ("= 1", "1:1: syntax: the name before = is missing: write key = …"),
    ("hostname = “a”", "1:12: hostname: “ is a quotation mark of a word processor: write \" around a text"),
    ("hostname\u{a0}= 1", "1:9: hostname: U+00A0 looks like a blank, and is none: write a blank, or nothing"),
    ("hostname = \"a", "1:14: hostname: the text has no end: write \" at its end"),
    ("hostname = 'a", "1:14: hostname: the text has no end: write ' at its end"),
    ("hostname = \"\"\"a\nb = 1\n", "1:12: hostname: the text has no end: write \"\"\" at its end"),
    (
        "hostname = \"C:\\data\\qed\"",
        "1:16: hostname: a backslash in the text means something else: write \\\\ for it, or the text in '…'",
    ),
    ("hostname = \"a\";", "1:15: hostname: ; stands behind the value: remove it"),
    (
        "hostname = \"a\", watch = true",
        "1:15: hostname: more stands behind the value: write one key = value or one [section] on a line, texts in quotes",
    ),
    (
        "hostname = \"a\" \"b\"",
        "1:16: hostname: something stands behind the value: write one value, or a list, such as [\"one\", \"two\"]",
    ),
    (
        "[[upstream]]\nfilter = [a, b]",
        "2:11: upstream.filter: the list is not written as one: write texts in quotes, and commas between them, such as [\"one\", \"two\"]",
    ),
    (
        "[[upstream]]\nfilter = [\n\"a\"\n\"b\"]",
        "4:1: syntax: the list is not written as one: write texts in quotes, and commas between them, such as [\"one\", \"two\"]",
    ),
    (
        "[[upstream]]\nfilter = [\"a\"\nhost = \"b\"\n[log]\nlevel = \"x\"",
        "2:10: upstream.filter: the list has no end: write ] at its end",
    ),
    (
        "[upstream.limits]\nper_minute = { messages = 1\n[log]",
        "2:14: upstream.limits.per_minute: the table has no end: write } at its end",
    ),
    ("// x", "1:1: syntax: a comment does not begin so: write # before it"),
    ("[log", "1:5: syntax: the name of a section does not stand in its brackets: write [log]"),
    (
        "[upstream]]",
        "1:11: upstream: the name of a section does not stand in its brackets: write [[upstream]]",
    ),
    (
        "[hush it]",
        "1:6: syntax: the name of a section does not stand in its brackets: write [section], or [[section]] for one of several",
    ),
    (
        "[log] level = \"x\"",
        "1:7: log: something stands behind the section's name: write [log] alone on its line",
    ),
    (
        "hostname = 1\nwatch = true\nhostname = 2",
        "3:1: hostname: the key stands here again, first in line 1: remove one of them",
    ),
    (
        "[log]\n[[user]]\n[log]",
        "3:2: log: the section stands here again, first in line 1: write all keys of [log] below one of them",
    ),
    (
        "[[upstream]]\n[upstream]",
        "2:2: upstream: the section stands here again, first in line 1: write [[upstream]] each time",
    ),
    (
        "log = 1\n[log]",
        "2:2: log: the section stands here again, first in line 1: write all keys of [log] below one of them",
    ),
    (
        "[upstream.limits]\nper_minute = { messages = 1, messages = 2 }",
        "2:30: upstream.limits.per_minute: the key stands here again: remove one of them",
    ),
];

#[test]
fn says_what_was_meant() {
    let mut wrong = Vec::new();
    for (text, want) in MEANT {
        let (told, want) = (told(text), [format!("m:{want}")]);
        if told != want {
            wrong.push(format!("{text}\n  told {told:?}\n  want {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tells_each_line_once_and_in_order() {
    let told = told("a = \nb = 1\nb = 2\nc = \"x\n");
    let places: Vec<_> = told.iter().map(|line| line.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(places, ["m:1:5", "m:3:1", "m:4:7"]);
}

#[test]
fn looks_behind_lines_that_make_no_sense() {
    let told = told(
        "// x\nhostname: a\nwatch = yes\n[[upstream]\nhost = a\n[log]\nlevel = \"x\n[[upstream]]\nhost = b\n",
    );
    let lines: Vec<_> = told.iter().map(|line| line.split(':').nth(1).unwrap_or_default()).collect();
    assert_eq!(lines, ["1", "2", "3", "4", "5", "7", "9"], "{told:?}");
}

#[test]
fn repeats_nothing_that_may_be_secret() {
    for text in [
        "[[upstream]]\npassword = hush",
        "[[upstream]]\npassword = \"\\qhush\"",
        "[[upstream]]\npassword = “hush”",
        "[[upstream]]\npassword = hush = hush",
        "[[upstream]]\npassword: hush",
        "[[upstream]]\npassword hush",
        "[[upstream]]\npassword = hush\npassword = hush2",
        "hush = hush\nhush = 1",
        "[[upstream]]\npassword = 0123hush",
        "[hush",
        "hush",
        "-----BEGIN PRIVATE KEY-----\nhush==\n-----END",
    ] {
        let told = told(text).join("\n");
        assert!(!told.is_empty() && !told.contains("hush"), "{text}: {told}");
    }
}

proptest! {
    #[test]
    fn any_text_is_explained(text in "([a-z.]{1,8}|[=:\\[\\]{}\"',;#\\\\ \u{a0}“ü0-9]|\"\"\"|hostname = |\\[log\\]|\n){0,40}") {
        if let Err(errors) = tree::parse(&text) {
            let found = explain(&text, &errors, &known());
            prop_assert!(!found.is_empty());
            prop_assert!(found.is_sorted());
        }
    }
}
