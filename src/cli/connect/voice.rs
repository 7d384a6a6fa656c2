//! What `connect` says while it goes on.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::{Instant, interval};

use super::super::failure::{Failure, complain};
use super::super::output;
use crate::report::log::escape::printable;

/// Says things to a person: on stdout, or on stderr where stdout is for JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice {
    is_json: bool,
}

impl Voice {
    pub(super) fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Says lines.
    pub(super) fn say(self, text: &str) -> Result<(), Failure> {
        if self.is_json {
            complain(text);
            return Ok(());
        }
        let lines: Vec<String> = text.lines().map(printable).collect();
        output::text(&lines.join("\n"))
    }

    /// Shows how much time is left, on a terminal, for as long as this is polled. Never ends; the line goes when it is dropped.
    pub(super) async fn count_down(self, time: Duration) -> std::convert::Infallible {
        let end = Instant::now() + time;
        let mut ticks = interval(Duration::from_secs(1));
        let _line = CountDownLine;
        loop {
            ticks.tick().await;
            if io::stderr().is_terminal() {
                let left = end.saturating_duration_since(Instant::now()).as_secs();
                // The line is overwritten, and its words are ours.
                let _ = write!(io::stderr(), "\r  {}:{:02} left, Ctrl-C gives up ", left / 60, left % 60);
                let _ = io::stderr().flush();
            }
        }
    }
}

/// The line of [`Voice::count_down`], which nobody wants to read when it is over.
struct CountDownLine;

impl Drop for CountDownLine {
    fn drop(&mut self) {
        if io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\r{:40}\r", "");
        }
    }
}
