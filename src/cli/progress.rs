//! How far something has come that takes its time: a line on a terminal that changes, and nothing elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// What is done sooner needs no such line, and it changes no more often than a person can read.
const FIRST: Duration = Duration::from_millis(700);
const EACH: Duration = Duration::from_millis(200);

/// The line, on stderr.
#[derive(Debug)]
pub(super) struct LiveLine {
    /// When it is written next; `None`: nobody sees it.
    next: Option<Instant>,
    is_shown: bool,
}

impl LiveLine {
    /// Nothing is shown yet.
    pub(super) fn new() -> Self {
        let is_seen = io::stderr().is_terminal();
        Self { next: is_seen.then(|| Instant::now() + FIRST), is_shown: false }
    }

    /// Shows how much of all is done, where that is known, and so many of these.
    pub(super) fn show(&mut self, (done, all): (u64, Option<u64>), count: &str) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + EACH);
        self.is_shown = true;
        let part = all.filter(|all| *all > 0).map(|all| format!("{:3} %  ", done.min(all) * 100 / all));
        // A terminal that can't be written to is no reason to stop.
        let _ = write!(io::stderr(), "\r{}{count}\x1b[K", part.unwrap_or_default());
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
