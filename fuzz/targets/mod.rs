//! What is fuzzed: one function per target, which panics when something that must hold does not.
//!
//! Both the fuzzer (`fuzz_targets/`) and `tests/corpora.rs` include this file, so that what was found once is looked at
//! by every `cargo test`. An input is a first octet that says how the rest is cut into pieces, and the rest.

mod bdat;
mod blacklist_file;
mod command;
mod data_stream;
mod header;
mod pieces;
mod proxy;
mod reply;
mod returned;
mod sasl;

pub(crate) use bdat::bdat;
pub(crate) use blacklist_file::blacklist_file;
pub(crate) use command::command;
pub(crate) use data_stream::data_stream;
pub(crate) use header::header;
pub(crate) use proxy::proxy;
pub(crate) use reply::reply;
pub(crate) use returned::returned;
pub(crate) use sasl::sasl;

/// A target: the name of its corpus, and what it does with an input.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All targets.
pub(crate) const ALL: &[Target] = &[
    ("bdat", bdat),
    ("blacklist_file", blacklist_file),
    ("command", command),
    ("data_stream", data_stream),
    ("header", header),
    ("proxy", proxy),
    ("reply", reply),
    ("returned", returned),
    ("sasl", sasl),
];
