//! Fills a queue with so many messages through the store's own functions, faster than by SMTP: many share a commit.
//!
//! `fill --data-dir DIR --messages N` makes the folder when it is missing. The relay that opens it afterwards must have an
//! upstream named `sink`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use clap::Parser;
use mailsluice::store::sqlite::{SqliteStore, Threading};
use mailsluice::store::{Intake, NewMessage};
use mailsluice::time::SystemClock;
use tokio::task::JoinSet;

#[path = "message.rs"]
mod message;

use message::new_message;

/// So many messages are handed in at once, and so share a commit.
const AT_ONCE: u32 = 500;
/// So many users and so many recipients' domains, by turns.
const USERS: u32 = 50;
const DOMAINS: u32 = 1_000;

#[derive(Parser)]
struct Options {
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    messages: u32,
    /// Octets of each message, header included.
    #[arg(long, default_value_t = 1_024)]
    octets: usize,
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

fn message(number: u32, octets: usize) -> NewMessage {
    let user = number % USERS;
    let sender = format!("office{user}@firm.example");
    let mut content = format!(
        "From: <{sender}>\r\nTo: <customer@elsewhere.example>\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\n\
         Message-Id: <{number}@source.example>\r\n\r\n"
    );
    while content.len() < octets {
        let width = (octets - content.len()).clamp(2, 80) - 2;
        content.extend(std::iter::repeat_n('X', width));
        content.push_str("\r\n");
    }
    let recipient = format!("customer{number}@d{}.example", number % DOMAINS);
    new_message(number, (&sender, &recipient), content.into_bytes())
}

async fn hand_in(
    store: Arc<SqliteStore>,
    next: Arc<AtomicU32>,
    messages: u32,
    octets: usize,
) -> io::Result<()> {
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number >= messages {
            return Ok(());
        }
        store.enqueue(message(number, octets)).await.map_err(other)?;
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let most = u64::from(options.messages);
    let store = SqliteStore::open(&options.data_dir, most, Threading::Writer, Arc::new(SystemClock));
    let (store, next) = (Arc::new(store.map_err(other)?), Arc::new(AtomicU32::new(0)));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        tasks.spawn(hand_in(store.clone(), next.clone(), options.messages, options.octets));
    }
    while let Some(end) = tasks.join_next().await {
        end.map_err(other)??;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{} messages in {seconds:.1} s", options.messages);
    Ok(())
}
