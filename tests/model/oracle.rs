//! Nothing is idle while it could go: for each message that waits at a quiet moment there is a reason that is true.

use std::collections::HashMap;

use mailsluice::config::{Config, Filter, Login, Upstream, UpstreamKind};
use mailsluice::store::{MOST_DOUBTS, MessageState, Summary};

use super::count::upstream;
use super::facts::{Book, Ms};
use super::plan::{FALLBACK_AFTER, RETRY_MAX};
use super::reasons::{Judge, Reason};
use super::walk::World;

/// What is just due may be about to go.
const JUST: i64 = 130;

/// Looks at everything that waits. Nothing may have happened for a moment before; when something does while the relay is
/// asked, it was no quiet moment.
pub(crate) async fn nothing_idle(world: &World) {
    let before = world.facts.book().events;
    let said: HashMap<String, Option<String>> = world.said().await;
    let queue = world.queue().await;
    let book = world.facts.book();
    if book.events != before {
        return;
    }
    let is_used = book.lines.iter().any(|line| line.closed.is_none() && line.busy);
    let look = Look { world, book: &book, now: world.facts.now() };
    for message in &queue {
        let says = said.get(message.queue_id.as_str()).and_then(Option::as_deref);
        match message.state {
            MessageState::Held => assert_eq!(says, Some("release"), "{message:?}"),
            MessageState::Sending => assert!(is_used, "in an attempt that is none: {message:?}"),
            MessageState::Ready | MessageState::Deferred => look.message(message, says),
        }
    }
}

struct Look<'a> {
    world: &'a World,
    book: &'a Book,
    now: Ms,
}

/// The upstream that serves a sender.
fn serving<'a>(config: &'a Config, sender: &str) -> &'a Upstream {
    let domain = sender.rsplit_once('@').map_or("", |(_, domain)| domain);
    let is_for = |filter: &Filter| *filter == Filter::parse(domain).unwrap();
    let own = config.upstreams.iter().find(|upstream| upstream.filter.iter().any(is_for));
    own.unwrap_or_else(|| config.upstreams.iter().find(|upstream| upstream.default).unwrap())
}

impl<'a> Look<'a> {
    fn message(&self, message: &Summary, says: Option<&str>) {
        let moment = self.world.moment();
        if message.due.0 > moment.0 {
            return self.is_put_off(message);
        }
        if message.due.0 > moment.0 - JUST {
            return;
        }
        let config: &'a Config = &self.world.sim.config;
        let up = serving(config, &message.sender);
        let bound: Vec<&'a Login> =
            up.accounts.iter().filter(|one| one.sender_bound && one.name() == message.sender).collect();
        let free = |up: &'a Upstream| -> Vec<&'a Login> {
            up.accounts.iter().filter(|one| !one.sender_bound).collect()
        };
        let own = if bound.is_empty() { free(up) } else { bound };
        let reasons = self.none_is_free(message, up, &own);
        if self.stands_in(up, &own) {
            for name in &up.fallback.upstreams {
                let other = upstream(config, name).unwrap();
                self.none_is_free(message, other, &free(other));
            }
        }
        let via = self.world.via(&message.lane);
        let is_true = match says {
            Some("limit") => reasons.iter().any(|reason| matches!(reason, Reason::Full(_))),
            Some("disabled") => reasons
                .iter()
                .any(|reason| matches!(reason, Reason::Disabled | Reason::Down { disabled: true })),
            Some("connection") => {
                reasons.iter().any(|reason| matches!(reason, Reason::Busy | Reason::Down { .. }))
            }
            _ => via.is_some(),
        };
        assert!(
            is_true,
            "said to wait for {says:?}, which is not so: {reasons:?} at {} {message:?}\nthe lane says {:?}",
            self.now,
            self.world.status(&message.lane)
        );
    }

    /// It rests for its own sake: one of its recipients was put off, not longer ago than it may rest.
    fn is_put_off(&self, message: &Summary) {
        let waiting = message.recipients.iter().filter(|recipient| recipient.state.name() == "waiting");
        // What may have arrived so often rests until it expires, or a person wants it.
        if waiting.clone().all(|recipient| recipient.doubts >= MOST_DOUBTS) {
            return;
        }
        let put_off = waiting.filter_map(|recipient| self.book.put_off_or_cut(&recipient.address)).max();
        let longest = RETRY_MAX * 1_100 + 1_000;
        let rests = message.due.0 - self.world.moment().0;
        assert!(
            put_off.is_some_and(|at| self.now + rests as Ms <= at + longest),
            "it rests for {rests} ms without a reason ({put_off:?} at {}): {message:?}",
            self.now
        );
    }

    fn judge(&self, upstream: &'a Upstream, account: &'a Login) -> Judge<'a> {
        let UpstreamKind::Smtp(smtp) = &upstream.kind else { unreachable!("all are smart hosts") };
        let (world, book, now) = (self.world, self.book, self.now);
        Judge { world, book, upstream, account, host: &smtp.host, now, moment: world.moment() }
    }

    /// Each account has a reason not to send; these are all of them.
    fn none_is_free(&self, message: &Summary, upstream: &'a Upstream, accounts: &[&'a Login]) -> Vec<Reason> {
        let mut all = Vec::new();
        for account in accounts {
            let reasons = self.judge(upstream, account).reasons();
            let name = (&upstream.name, account.name());
            let status = self.world.status(&message.lane);
            assert!(
                !reasons.is_empty(),
                "at {}: {name:?} could send and does not: {message:?}\nthe lane says {status:?}",
                self.now
            );
            all.extend(reasons);
        }
        all
    }

    /// Whether the fallback must take the mail, beyond doubt.
    fn stands_in(&self, upstream: &'a Upstream, own: &[&'a Login]) -> bool {
        let hardest: Option<Vec<Reason>> =
            own.iter().map(|account| self.judge(upstream, account).hardest()).collect();
        let Some(hardest) = hardest else { return false };
        let on = &upstream.fallback.on;
        let full: Vec<_> = hardest
            .iter()
            .filter_map(|reason| if let Reason::Full(full) = reason { Some(full.until) } else { None })
            .collect();
        if !full.is_empty() {
            let after = self.now + (FALLBACK_AFTER + 5) * 1_000;
            return on.quota && full.iter().all(|until| until.is_some_and(|until| until > after));
        }
        let down = hardest.iter().find(|reason| matches!(reason, Reason::Down { .. }));
        match down {
            Some(Reason::Down { disabled }) => on.unreachable || (on.disabled && *disabled),
            _ => on.disabled,
        }
    }
}
