//! The configuration: what `mailsluice.toml` and the environment say, checked once, in our own types.
//!
//! Level 1: knows `mail` only.

mod limits;
mod model;

pub use limits::{Limits, Pace, Quota, Window};
pub use load::{Faults, Loaded};
pub use model::{
    Auth, Blacklist, BlacklistAction, BounceFrom, ByteSize, Capture, Config, DkimEntry, Filter, Listener,
    Log, LogFormat, LogLevel, LongLines, Newlines, Queue, Security, Session, Smtp, TestAction, TestMode,
    Timeouts, Upstream, UpstreamKind,
};
