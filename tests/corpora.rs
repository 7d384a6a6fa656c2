//! Replays what the fuzzer has found or was given to begin with: every input of `fuzz/corpus` through its target.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

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
