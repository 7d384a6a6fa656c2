//! What the crate is built from: where it comes from, under which licences, and one implementation of TLS.

use std::process::Command;

use serde_json::Value;

const LICENCES: [&str; 14] = [
    "0BSD",
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Zlib",
];
/// Other implementations of TLS.
const BANNED: [&str; 4] = ["native-tls", "openssl", "openssl-sys", "schannel"];

/// All packages for this machine, as cargo knows them.
fn packages() -> Vec<Value> {
    let host = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let host = String::from_utf8(host).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    all["packages"].as_array().unwrap().clone()
}

/// The parts of a licence expression between words that stand outside its brackets.
fn parts<'a>(expression: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in expression.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= start && expression[at..].starts_with(word) => {
                parts.push(&expression[start..at]);
                start = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(&expression[start..]);
    parts
}

/// Whether one of the choices that a licence expression gives (SPDX) is allowed as a whole.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.trim();
    let within = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let choices = parts(expression, " OR ");
    let all = parts(expression, " AND ");
    match (choices.as_slice(), all.as_slice(), within) {
        ([_, _, ..], _, _) => choices.into_iter().any(is_allowed),
        (_, [_, _, ..], _) => all.into_iter().all(is_allowed),
        (_, _, Some(within)) => is_allowed(within),
        _ => expression.split('/').any(|one| LICENCES.contains(&one)),
    }
}

#[test]
fn dependencies_are_what_they_may_be() {
    let packages = packages();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    for package in &packages {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let (name, source) = (text("name"), text("source"));
        assert!(source.starts_with("registry+") || name == "mailsluice", "{name} comes from {source:?}");
        assert!(is_allowed(text("license")), "{name} is under {:?}", text("license"));
        assert!(!BANNED.contains(&name), "{name} is another implementation of TLS");
    }
}

#[test]
fn licence_expressions() {
    for (expression, want) in [
        ("MIT OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT AND ISC", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression), want, "{expression}");
    }
}
