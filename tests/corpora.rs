//! Replays what the fuzzer has found or was given to begin with: every input of `fuzz/corpus` through its target. And
//! contents made of what matters in them, at random.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use proptest::prelude::*;

/// Parts of contents that mean something to somebody.
const PARTS: &[&[u8]] = &[
    b"\r",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r\r\n",
    b".",
    b"\r\n.\r\n",
    b" ",
    b"\t",
    b":",
    b"a: b",
    b"text",
    b"From x",
    b">",
    b"From: \"a <b@c>",
    b"Bcc: d@e",
    b"Return-Path: f",
    b"Subject",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"\x01",
    b"\0",
    &[b'x'; 990],
    &[b','; 990],
    &[b'\r'; 17_000],
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_content_holds(seed: u8, parts in prop::collection::vec(prop::sample::select(PARTS), 0..24)) {
        let input = [&[seed][..], &parts.concat()].concat();
        targets::ALL.iter().filter(|(name, _)| ["data_stream", "bdat", "header"].contains(name)).for_each(|(_, target)| target(&input));
    }
}

#[test]
fn every_input_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut failures = Vec::new();
    for (name, target) in targets::ALL {
        let mut files: Vec<_> =
            std::fs::read_dir(corpus.join(name)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 10, "the corpus of {name} has only {} inputs", files.len());
        for file in files {
            let input = std::fs::read(&file).unwrap();
            if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
                failures.push(file.display().to_string());
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// A corpus that nobody replays helps nobody.
#[test]
fn every_corpus_has_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut folders: Vec<String> =
        std::fs::read_dir(corpus).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let mut targets: Vec<String> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    folders.sort();
    targets.sort();
    assert_eq!(folders, targets);
}
