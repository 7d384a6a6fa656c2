//! Whether nothing is sent while mail waits.

use std::collections::HashMap;
use std::time::Duration;

use crate::time::Moment;

/// How the mail of an upstream is, at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WaitingMail {
    /// Messages that wait, limits apart: what waits for a limit goes when that lets it.
    pub(super) messages: u64,
    /// Whether one of them is due, or soon will be; one that is to go later only waits for its time.
    pub(super) is_due: bool,
    /// When something was last taken, by it or by what stands in for it, since the start.
    pub(super) last_sent: Option<Moment>,
}

/// Since when the mail of upstreams waits with nothing sent.
#[derive(Debug, Default)]
pub(super) struct QuietWatch(HashMap<String, Quiet>);

/// What is known of an upstream whose mail waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quiet {
    /// Since when.
    pub(super) since: Moment,
    /// Messages that wait.
    pub(super) messages: u64,
}

impl QuietWatch {
    /// Notes how the mail of an upstream is.
    pub(super) fn note(&mut self, upstream: &str, mail: WaitingMail, now: Moment) {
        let before = self.0.get(upstream).map(|quiet| quiet.since);
        let before = before.filter(|since| mail.last_sent.is_none_or(|sent| sent < *since));
        let since = match before {
            _ if mail.messages == 0 => None,
            Some(since) => Some(since),
            None => mail.is_due.then_some(now),
        };
        match since {
            Some(since) => {
                self.0.insert(upstream.to_owned(), Quiet { since, messages: mail.messages });
            }
            None => {
                self.0.remove(upstream);
            }
        }
    }

    /// Forgets upstreams that are not looked at any more.
    pub(super) fn keep(&mut self, is_watched: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_watched(name));
    }

    /// How it stands with an upstream: `None` when nothing waits, or what waited was sent.
    pub(super) fn of(&self, upstream: &str) -> Option<Quiet> {
        self.0.get(upstream).copied()
    }
}

impl Quiet {
    /// Whether it has lasted for so long.
    pub(super) fn has_lasted(self, long: Duration, now: Moment) -> bool {
        now.since(self.since) >= long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_when_mail_was_due_and_nothing_was_sent() {
        let mut watch = QuietWatch::default();
        for (at, messages, is_due, last_sent, want, why) in [
            (0, 0, false, None, None, "nothing waits"),
            (10, 1, false, None, None, "it is to go later"),
            (20, 1, true, None, Some(20), "it is due"),
            (30, 2, false, Some(5), Some(20), "it was deferred, and what was sent before says nothing"),
            (40, 2, true, Some(35), Some(40), "another was sent, and this is due"),
            (50, 2, false, Some(45), None, "another was sent, and this rests"),
            (60, 2, true, Some(45), Some(60), "it is due again"),
            (70, 0, false, Some(45), None, "a person has deleted it, or a limit is reached"),
        ] {
            watch.note("up", WaitingMail { messages, is_due, last_sent: last_sent.map(Moment) }, Moment(at));
            assert_eq!(watch.of("up").map(|quiet| quiet.since), want.map(Moment), "{why}");
        }
        watch.note("up", WaitingMail { messages: 1, is_due: true, last_sent: None }, Moment(0));
        let quiet = watch.of("up").unwrap();
        let long = Duration::from_millis(100);
        assert!(!quiet.has_lasted(long, Moment(99)) && quiet.has_lasted(long, Moment(100)));
        watch.keep(|name| name != "up");
        assert_eq!(watch.of("up"), None);
    }
}
