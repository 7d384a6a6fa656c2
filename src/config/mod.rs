//! The configuration: what `mailsluice.toml` and the environment say, checked once, in our own types.
//!
//! [`Config::load`] finds the file, `tree` parses it and keeps the place of each value, `overrides` writes the
//! environment into it, `sections` reads it with `reader`, which collects every finding, and `check` looks at what
//! concerns several sections. Level 1: knows `mail` only.

mod account;
mod check;
mod der;
mod fault;
mod files;
mod identity;
mod later;
mod limits;
mod load;
mod machine;
mod model;
mod overrides;
mod presets;
mod private_key;
mod reader;
mod scram;
mod secret;
mod sections;
mod tree;
mod units;
mod words;

pub use account::{Account, CausesSet, Fallback, SharedLimits};
pub use fault::{Fault, Faults, Warning, report};
pub use identity::Identity;
pub use limits::{Batch, Limits, Pace, Quota, Window};
pub use load::Loaded;
pub use machine::Machine;
pub use model::{
    Auth, Blacklist, BlacklistAction, BounceFrom, ByteSize, Capture, Config, DkimEntry, Filter, Listener,
    Log, LogFormat, LogLevel, LongLines, Mode, Newlines, Queue, Security, ServerAuth, ServerTls, Session,
    Smtp, TestAction, TestMode, Timeouts, TlsMode, Upstream, UpstreamKind, User, UserPassword, UserPriority,
};
pub use scram::{NotAVerifier, ScramVerifier};
