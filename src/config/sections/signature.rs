//! `[upstream.signature]` and `[[signature]]`

use std::path::Path;

use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::signature::LONGEST_LINE;
use crate::config::{NamedSignature, Signature};

/// The longest file, in octets.
const LONGEST: u64 = 64 * 1024;
/// The most that a character beyond ASCII takes: a reference by its number, or two changes of the character set.
const LONGEST_CHARACTER: usize = 10;
const WRITE_FILE: &str = "write the path of a file that the relay can read";

/// What is wrong with a file, and what to do.
type Wrong = (String, &'static str);

/// `[upstream.signature]`; `None` where there is none, or a wrong one.
pub(super) fn of_upstream(upstream: &mut Section<'_>) -> Option<Signature> {
    let is_there = upstream.has("signature");
    let mut section = upstream.section("signature");
    let signature = read(&mut section, is_there);
    section.finish();
    signature
}

/// All `[[signature]]`, each with the place of its name.
pub(in crate::config) fn read_all(root: &mut Section<'_>) -> Vec<(SourcePlace, NamedSignature)> {
    let mut signatures = Vec::new();
    for mut section in root.sections("signature") {
        let name = super::name(&mut section, "write the name by which rules name it, such as \"sales\"");
        let signature = read(&mut section, true);
        let signature = signature.unwrap_or(Signature { text: None, html: None, skip_replies: true });
        signatures.push((section.place_of("name"), NamedSignature { name, signature }));
        section.finish();
    }
    signatures
}

fn read(section: &mut Section<'_>, is_there: bool) -> Option<Signature> {
    if is_there && !section.has("text") && !section.has("html") {
        section.missing("text", "write the path of a file with the text, or html with one in HTML, or both");
    }
    let text = file(section, "text", text);
    let html = file(section, "html", html);
    let skip_replies = section.flag("skip_replies").unwrap_or(true);
    (text.is_some() || html.is_some()).then_some(Signature { text, html, skip_replies })
}

fn file(
    section: &mut Section<'_>,
    key: &'static str,
    check: fn(&str) -> Result<(), Wrong>,
) -> Option<String> {
    let path = section.path(key)?;
    match written(section, &path).and_then(|text| check(&text).map(|()| text)) {
        Ok(text) => Some(text),
        Err((what, instead)) => {
            section.fault(&section.place_of(key), key, &what, instead);
            None
        }
    }
}

/// What a file says, without empty lines around it: lines that end in LF.
fn written(section: &Section<'_>, path: &Path) -> Result<String, Wrong> {
    let text = section.context.read_file(path, LONGEST).map_err(|why| (why, WRITE_FILE))?.text;
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    if text.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
        return Err((
            format!("{} has control characters in it", path.display()),
            "save it as a plain text file",
        ));
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let is_full = |line: &&str| !line.trim().is_empty();
    let first = lines.iter().position(is_full);
    let last = lines.iter().rposition(is_full);
    match first.zip(last) {
        Some((first, last)) => Ok(lines[first..=last].join("\n")),
        None => {
            Err((format!("{} is empty", path.display()), "write the signature into it, or remove the key"))
        }
    }
}

fn text(text: &str) -> Result<(), Wrong> {
    // Where there is no other, it stands in HTML as well: escaped, with its line break.
    let in_html = |c: char| match c {
        '<' | '>' => 4,
        '&' => 5,
        c if c.is_ascii() => 1,
        _ => LONGEST_CHARACTER,
    };
    lines(text, 4, in_html)
}

fn html(text: &str) -> Result<(), Wrong> {
    let lower = text.to_ascii_lowercase();
    if let Some(tag) = ["<html", "<body", "</body"].into_iter().find(|tag| lower.contains(tag)) {
        let what = format!("is a whole document: it has {tag}>");
        return Err((what, "leave in the file only what stands between <body> and </body>"));
    }
    lines(text, 0, |c| if c.is_ascii() { 1 } else { LONGEST_CHARACTER })
}

/// Looks whether all lines fit into mail, however they are written there.
fn lines(text: &str, more: usize, length: impl Fn(char) -> usize) -> Result<(), Wrong> {
    let is_long = |line: &str| line.chars().map(&length).sum::<usize>() + more > LONGEST_LINE;
    match text.split('\n').position(is_long) {
        Some(line) => Err((format!("has a line that is too long for mail: {}", line + 1), "break the line")),
        None => Ok(()),
    }
}
