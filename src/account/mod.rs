//! Who may send, how fast, how well: one [`Account`] for each login of an upstream.
//!
//! Accounts live by their names, over reloads. Each has its connections, its condition (suspended, down, limited, slowed),
//! and one fair queue of those who wait for it. A lane asks its [`Candidates`] for the right to send; whether there is room
//! under the limits the store decides, when it is asked for messages or for a permit.
//!
//! ```text
//! Candidates::choose ─► Account::grant: connections, probes ─► Store::claim or take_permit ─► attempt ─► Feedback
//!        ▲                                                        │ no room, until …
//!        └────────────── Waiting: a place in each queue ◄─────────┘
//! ```

mod accounts;
mod candidates;
mod complaints;
mod condition;
mod feedback;
mod goodbye;
mod login;
mod obstacle;
mod pool;
mod precedents;
mod probe;
mod refused_login;
mod refused_senders;
mod session_length;
mod settings;
mod tasks;
mod throughput;
mod token_watch;
mod used_connections;
mod verdict;
mod view;
mod waiters;

pub use accounts::{AccountServices, Accounts};
pub(crate) use candidates::Choice;
pub use candidates::{Candidates, Waiting};
pub use complaints::Complaint;
pub(crate) use feedback::Feedback;
pub(crate) use goodbye::say_goodbye;
pub use login::Account;
pub(crate) use login::{Grant, Probe};
pub use obstacle::{Down, Obstacle, Pause};
pub(crate) use pool::PooledConnection;
pub use probe::{NoConnectionFree, ProbeTurn};
pub use settings::AccountSettings;
pub use throughput::{FinishedRecipients, THROUGHPUT_WINDOW};
pub(crate) use verdict::{Answered, MailFacts, RefusedWhenUsed};
pub use view::{AccountView, DISABLED_BY_HAND, StopInForce, UpstreamView, enabling};
