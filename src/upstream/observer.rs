//! Who looks on while a connection is made and used: a person who probes an account, or who traces an upstream.
//!
//! Secrets and contents can't get here: the wire knows when a login is under way and shows nothing of it, and what carries a
//! content is never handed over. While nobody looks, nothing is made for them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::dial_error::DialError;
use super::dialogue::{ConnectionTap, Speaker};
use super::error::{ConnectCause, ConnectError, DialogueFault, LoginError};
use super::step::{ConnectStep, StepFailure, StepFinding, StepName};
use crate::smtp::{Reply, shown};

/// Who looks on. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Observer {
    steps: Option<Arc<StepSink>>,
    tap: Option<Arc<ConnectionTap>>,
}

/// Takes the steps of a connection that is being made.
#[derive(Debug)]
struct StepSink {
    steps: mpsc::Sender<ConnectStep>,
    /// When the last step had ended.
    since: Mutex<Instant>,
}

impl Observer {
    /// Somebody who wants to know of each step, the first of which begins now. What does not fit into the channel is lost:
    /// there are never more than some twenty.
    #[must_use]
    pub fn of_steps(steps: mpsc::Sender<ConnectStep>) -> Self {
        let sink = StepSink { steps, since: Mutex::new(Instant::now()) };
        Self { steps: Some(Arc::new(sink)), tap: None }
    }

    /// The same, and whoever listens to the connection.
    pub(super) fn with_tap(self, tap: Option<ConnectionTap>) -> Self {
        Self { tap: tap.map(Arc::new), ..self }
    }

    /// A step has succeeded.
    pub fn found(&self, finding: impl FnOnce() -> StepFinding) {
        if !self.is_watched() {
            return;
        }
        let finding = finding();
        // All else is seen in the lines themselves.
        if matches!(finding, StepFinding::Connected(_) | StepFinding::Tunnelled(_) | StepFinding::Secured(_))
        {
            self.note(&finding.to_string());
        }
        self.step(finding.step(), Ok(finding));
    }

    /// An address could not be reached; others may be tried.
    pub fn tried(&self, address: SocketAddr, reason: &str) {
        if !self.is_watched() {
            return;
        }
        let reason = format!("{address}: {reason}");
        self.note(&reason);
        self.step(StepName::Connect, Err(StepFailure { reason, action: None, reply: None }));
    }

    /// The connection does not come about.
    pub(super) fn failed(&self, error: &ConnectError) {
        if !self.is_watched() {
            return;
        }
        self.note(&error.words());
        let name = match &error.cause {
            // Each address was told of.
            ConnectCause::Dial(DialError::Unreachable { .. }) => return,
            ConnectCause::Dial(DialError::Proxy { .. }) => StepName::Connect,
            ConnectCause::Dial(_) => StepName::Resolve,
            ConnectCause::Login(LoginError::NoToken(_) | LoginError::NotReplaced(_)) => StepName::SignIn,
            _ => error.stage.into(),
        };
        self.step(name, Err(StepFailure::of(error)));
    }

    /// We say this.
    pub(super) fn said(&self, line: &str) {
        if let Some(tap) = &self.tap {
            tap.tell(Speaker::Client, line);
        }
    }

    /// A content of so many octets is on its way.
    pub(super) fn sent_content(&self, octets: u64) {
        if self.is_tapped() {
            self.said(&format!("[content, {} octets]", grouped(octets)));
        }
    }

    /// The upstream has answered. `concealed`: what it says may repeat a secret.
    pub(super) fn heard(&self, reply: &Reply, concealed: bool) {
        let Some(tap) = self.tap.as_ref().filter(|tap| tap.is_watched()) else { return };
        shown::reply_lines(reply, concealed).for_each(|line| tap.tell(Speaker::Server, &line));
    }

    /// The upstream has said this.
    pub(super) fn heard_line(&self, line: &str) {
        if let Some(tap) = &self.tap {
            tap.tell(Speaker::Server, line);
        }
    }

    /// Something has happened beside the words.
    pub(super) fn note(&self, words: &str) {
        if let Some(tap) = &self.tap {
            tap.tell(Speaker::Nobody, words);
        }
    }

    /// The dialogue has broken.
    pub(super) fn note_fault(&self, fault: &DialogueFault) {
        if self.is_tapped() {
            self.note(&fault.to_string());
        }
    }

    /// Whether anybody looks on.
    fn is_watched(&self) -> bool {
        self.steps.is_some() || self.is_tapped()
    }

    /// Whether somebody listens to the lines.
    pub(super) fn is_tapped(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.is_watched())
    }

    fn step(&self, name: StepName, outcome: Result<StepFinding, StepFailure>) {
        let Some(sink) = &self.steps else { return };
        let mut since = sink.since.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let took = now - std::mem::replace(&mut *since, now);
        // Whoever looked may be gone.
        let _ = sink.steps.try_send(ConnectStep { name, took, outcome });
    }
}

/// A number that can be read at a glance: `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups() {
        for (number, want) in [(0, "0"), (999, "999"), (12_345, "12,345"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), want);
        }
    }
}
