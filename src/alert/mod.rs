//! What a person must know, and who is told: one judgement of what stands ([`Alerts::standing`]), which `status` shows, and a book
//! of what was told of it ([`TroubleBook`]), by which mail, a webhook and a command get each trouble once a day, and its end.
//!
//! ```text
//! Alerts::standing ─► TroubleBook::look ─► Notice ─┬─► the log
//!   accounts, sign-ins,   what was told,           ├─► mail, by an upstream that is not in trouble
//!   store, disk, ends     written down first       ├─► a webhook
//!                                                  └─► a command
//! ```

mod alerts;
mod book;
mod channels;
mod command;
mod disk;
mod expiring;
mod mail;
mod notice;
mod quiet;
mod trouble;
mod upstreams;
mod watch;
mod webhook;

pub use alerts::{AlertServices, Alerts, StoreFacts};
pub use book::{TroubleBook, TroubleNews};
pub use channels::{AlertChannel, ChannelTrial};
pub use disk::{Disk, DiskVerdict, MAKE_ROOM};
pub use notice::{Notice, NoticeEvent};
pub use trouble::{AlertCause, StandingTrouble, TroubleKey, Troubles};
