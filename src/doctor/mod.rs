//! What `mailsluice doctor` thinks of a set-up: pure judgements over facts that others have looked up.
//!
//! A judgement asks a [`Book`] for what the DNS says. Where the book has no answer yet, it notes the question, and whoever holds the
//! book looks it up and judges again, until nothing is missing. So there is one walk through the records of a domain, without any
//! I/O, that the tests follow with tables.

mod book;
mod bulk;
mod diagnosis;
mod dkim;
mod dmarc;
mod in_use;
mod inquiry;
mod machine;
mod names;
mod organisation;
mod sender;
mod spf;

pub use book::{Book, DnsAnswer};
pub use bulk::judge as judge_bulk_rules;
pub use diagnosis::{Check, Diagnosis, Level};
pub use dkim::judge as judge_dkim;
pub use dmarc::{Dmarc, judge as judge_dmarc};
pub use in_use::{SendersInUse, judge_parent, senders_in_use};
pub use inquiry::inquire;
pub use machine::{judge_clock, judge_disk, judge_expiry, judge_mode};
pub use names::{judge_exchange, judge_own_name};
pub use organisation::organisation;
pub use sender::{SenderDomain, Via};
pub use spf::judge as judge_spf;
