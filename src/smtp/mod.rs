//! The protocol, both ways: commands, replies, the data stream. No I/O, no clock.

pub mod command;
pub mod data_stream;
pub mod dot_stuffing;
pub mod extension;
mod instance;
pub mod line;
pub mod line_ends;
pub mod long_lines;
mod reply;
mod reply_parser;
pub mod sasl;
mod sasl_prep;
pub mod sasl_server;
pub mod scram;
mod scram_client;
pub mod shown;

pub use instance::{INSTANCE_KEYWORD, InstanceId};
pub use reply::{EnhancedStatus, Reply};
pub use reply_parser::{ReplyError, ReplyParser, parse_status};
