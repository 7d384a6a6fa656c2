#![no_main]
#![allow(dead_code, reason = "each binary runs one of the targets")]

#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::blacklist_file(input));
