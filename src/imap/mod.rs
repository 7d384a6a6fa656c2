//! A client of IMAP servers that does one thing: it puts messages into a folder (RFC 3501).
//!
//! The parser of answers is a library's; what is said, and how long an answer may be and take, is ours. An IMAP server is
//! reached by the ways of its upstream: source address, proxy, authorities, login. Nothing is said without TLS.

mod answer;
mod error;
mod folder_name;
mod login;
mod mailbox;
mod wire;

pub use error::ImapError;
pub use mailbox::{MailboxSession, SentMailbox};
