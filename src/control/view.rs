//! The shapes of the JSON. Times are RFC 3339 in UTC, sizes octets, durations seconds.

mod alerts;
mod blacklist;
mod bulk;
mod health;
mod history;
mod limits;
mod message;
mod probe;
mod problem;
mod release;
mod restored;
mod send;
mod sent_copies;
mod sign_in;
mod status;
mod test_mode;
mod trace;
mod upstream;
mod waits;

pub use alerts::AlertTrialJson;
pub use blacklist::{
    BlacklistAnswer, BlacklistLine, BlacklistRequest, ImportAnswer, ImportFault, LearnRequest,
    LearnedAddress, LearnedLine,
};
pub use bulk::{BulkAction, BulkFilter, BulkProgress, BulkRequest};
pub use health::Health;
pub use history::{Forget, ForgottenJson, HistoryJson, Resend, Resent};
pub use limits::{LimitJson, LimitReset, Used};
pub use message::{Done, DoneOutcome, MessageDetail, MessageJson, RecipientJson, Retried};
pub use probe::{
    CertificateJson, ProbeEvent, ProbeRequest, ProbeResult, ProbedAccount, StepJson, TlsJson, tell_steps,
};
pub use problem::{Problem, ProblemKind};
pub use release::{Release, ReleaseAll, ReleasePlan, ReleaseProgress, ReleaseQuery};
pub use restored::RestoredJson;
pub use send::{OutcomeJson, QueuedJson, SendEnd, SendEvent, SendPlan, WaitingJson};
pub use sent_copies::SentCopiesJson;
pub use sign_in::{SignInGrantJson, SignInJson, TokenJson};
pub use status::{ListenerJson, Reloaded, StatusJson};
pub use test_mode::{TestModeChange, TestModeJson};
pub use trace::{TraceEvent, TraceLine};
pub use upstream::{AccountJson, RefusedSenderJson, StrangeReplyJson, UpstreamJson, action};
pub use waits::{WaitJson, WaitSources};

use jiff::Timestamp;

/// The root of the interface.
pub const ROOT: &str = "/api/v1";

/// Messages in one answer when nobody says how many.
pub const DEFAULT_LIMIT: u64 = 10_000;

/// Messages in one answer at most.
pub const MAX_LIMIT: u64 = 100_000;

/// A time as the interface writes it.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

pub(super) fn wall_ms(ms: i64) -> String {
    rfc3339(Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX))
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
