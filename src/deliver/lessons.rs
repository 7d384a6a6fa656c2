//! What a refusal teaches about a login, or about the upstream as a whole: be slower, pause, stop, try again later.
//!
//! What becomes of the message is another matter: see [`classify`](super::classify()).

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::carrier::Carrier;
use super::context::Context;
use super::health::{Down, Health};
use crate::config::Window;
use crate::mail::ReversePath;
use crate::smtp::Reply;
use crate::store::{MessageKind, QueuedMessage, Standing, StandingKind};
use crate::throttle::Slowdown;
use crate::time::Moment;
use crate::upstream::{Answer, RecipientResult};
use crate::upstream::{ConnectError, Stage};
use crate::upstream::{Row, Scope, Senders, Slow, Treatment, stated_wait, treat};

/// A pause for a quota lasts at least so long, so that room that comes back bit by bit is not asked for bit by bit.
const SHORTEST_PAUSE: Duration = Duration::from_mins(1);
/// Senders that are told of once; beyond, they are told of again.
const SENDERS: usize = 1_000;

/// Senders whose refusal was told.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashSet<String>>);

impl Told {
    fn is_news(&self, sender: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= SENDERS {
            told.clear();
        }
        told.insert(sender.to_owned())
    }
}

/// What an attempt has found out about the carrier by which it was made.
pub(super) struct Teacher<'a> {
    pub(super) context: &'a Context,
    pub(super) carrier: &'a Carrier,
    pub(super) now: Moment,
}

/// Whose mail it was that taught something.
pub(super) struct Mail<'a> {
    /// Whether it is a report of ours.
    pub(super) is_report: bool,
    /// The address that routing goes by; empty where it is not known.
    pub(super) sender: &'a str,
    pub(super) reverse_path: &'a ReversePath,
}

impl<'a> Mail<'a> {
    pub(super) fn of(message: &'a QueuedMessage) -> Self {
        let is_report = message.kind == MessageKind::Report;
        Self { is_report, sender: &message.sender, reverse_path: &message.reverse_path }
    }
}

impl Teacher<'_> {
    /// From a connection that could not be made ready.
    pub(super) async fn not_ready(&self, error: &ConnectError) {
        let own = if error.stage < Stage::Auth { Scope::Upstream } else { Scope::Account };
        let row = error.reply().map(|reply| (reply, treat(error.stage, reply)));
        match row.map(|(reply, row)| (reply, row, row.treatment)) {
            Some((reply, row, Treatment::Slow(slow))) => self.slow(slow, reply, row),
            Some((reply, row, Treatment::Pause { scope, until })) => {
                self.pause(scope, until, reply, row).await;
            }
            Some((_, row, Treatment::Stop { scope })) => {
                self.stop(scope, &format!("{error}: {}", row.advice)).await;
            }
            Some((_, _, Treatment::Unavailable { scope })) => {
                self.unreachable(scope, &error.to_string(), error.needs_a_person()).await;
            }
            _ => self.unreachable(own, &error.to_string(), error.needs_a_person()).await,
        }
    }

    /// From a transaction.
    pub(super) async fn transaction(&self, mail: &Mail<'_>, answers: &[RecipientResult]) {
        let mut learned = false;
        let mut before: Option<&Row> = None;
        for answer in answers {
            let Answer::Refused(reply) = &answer.answer else { continue };
            let row = treat(answer.stage, reply);
            if before.is_none_or(|before| !std::ptr::eq(before, row)) {
                before = Some(row);
                learned |= self.refusal(mail, (answer, reply), row).await;
            }
        }
        let broken = |result: &&RecipientResult| match &result.answer {
            Answer::Failed(_) | Answer::Unknown(_) => true,
            // It closes the connection: that is no sign of health.
            Answer::Refused(reply) => reply.code == 421,
            Answer::Accepted(_) | Answer::Later(_) => false,
        };
        if learned {
            return;
        }
        if let Some(broken) = answers.iter().find(broken) {
            let queue = &self.context.config.queue;
            if let Some(down) = self.carrier.health.broke(&broken.to_string(), self.now, queue) {
                self.is_down(&down);
            }
            return;
        }
        if answers.iter().any(|answer| matches!(answer.answer, Answer::Accepted(_))) {
            self.delivered();
        }
        self.is_up().await;
    }

    /// From one refusal. Whether it was about the carrier.
    async fn refusal(&self, mail: &Mail<'_>, (answer, reply): (&RecipientResult, &Reply), row: &Row) -> bool {
        // A refused report of ours never stops anything: some providers take none.
        let report = mail.is_report;
        match row.treatment {
            Treatment::Slow(slow) => self.slow(slow, reply, row),
            Treatment::Pause { scope, until } => self.pause(scope, until, reply, row).await,
            Treatment::Stop { .. } | Treatment::StopSender(_) | Treatment::Refresh if report => return false,
            Treatment::Stop { scope } => self.stop(scope, &format!("{reply}: {}", row.advice)).await,
            Treatment::StopSender(senders) => {
                self.stop_sender(senders, mail, reply, row);
                return false;
            }
            Treatment::Refresh => self.unreachable(Scope::Account, &answer.to_string(), true).await,
            Treatment::Unavailable { scope } => {
                self.unreachable(scope, &answer.to_string(), reply.is_permanent()).await;
            }
            Treatment::Split | Treatment::Bounce | Treatment::Retry | Treatment::Defer => return false,
        }
        true
    }

    /// The account sends fewer messages, or over fewer connections, and for a while nothing at all.
    fn slow(&self, slow: Slow, reply: &Reply, row: &Row) {
        let (upstream, account) = self.names();
        let throttle = &self.context.throttle;
        let slowdown = if slow.connections { Slowdown::Connections } else { Slowdown::Rate };
        let until = self.now.after(stated_wait(reply).unwrap_or(slow.wait));
        let pace = throttle.slow_down(upstream, account, slowdown, self.now);
        throttle.pause(upstream, Some(account), until, row.advice);
        self.carrier.pool().close_all();
        let Some(pace) = pace else { return };
        let next = self.wall(until);
        if slow.hard {
            tracing::error!(event = "slowed", upstream, account, %reply, reason = row.advice, pace, next);
        } else {
            tracing::warn!(event = "slowed", upstream, account, %reply, reason = row.advice, pace, next);
        }
    }

    /// A quota of the provider's is used up.
    async fn pause(&self, scope: Scope, window: Window, reply: &Reply, row: &Row) {
        let (upstream, account) = self.names();
        let throttle = &self.context.throttle;
        let only = (scope == Scope::Account).then_some(account);
        let wait = stated_wait(reply).unwrap_or_else(|| {
            // The first room is there when the oldest of what was counted leaves the window.
            let leaves = throttle.first_departure(upstream, only, window, self.now);
            leaves.map_or(window.length(), |at| at.since(self.now)).clamp(SHORTEST_PAUSE, window.length())
        });
        let until = self.now.after(wait);
        if !throttle.pause(upstream, only, until, row.advice) {
            return;
        }
        let next = self.wall(until);
        tracing::warn!(
            event = "limit_reached", upstream, account = only, %reply, reason = row.advice, next
        );
        self.note(only, StandingKind::Paused, Some(until), row.advice).await;
    }

    /// The configuration is at fault, here or there: nothing goes until a person has seen to it.
    async fn stop(&self, scope: Scope, reason: &str) {
        let (upstream, account) = self.names();
        let whole = scope == Scope::Upstream;
        if self.carrier.stop(whole, reason) {
            let account = (!whole).then_some(account);
            let next = "mend it, then reload or `mailsluice upstream enable`";
            tracing::error!(event = "upstream_disabled", upstream, account, reason, next);
            self.note(account, StandingKind::Stopped, None, reason).await;
        }
    }

    /// The account may not send as this sender. Its mail waits, and is tried again as any that is deferred.
    fn stop_sender(&self, senders: Senders, mail: &Mail<'_>, reply: &Reply, row: &Row) {
        let (upstream, account) = self.names();
        let sender = match (mail.sender, mail.reverse_path) {
            ("", ReversePath::Address(address)) => address.as_str(),
            (sender, _) => sender,
        };
        let sender = match senders {
            Senders::Address => sender,
            Senders::Domain => sender.rsplit_once('@').map_or(sender, |(_, domain)| domain),
        };
        if self.carrier.station.told.is_news(sender) {
            tracing::error!(
                event = "sender_refused", upstream, account, from = sender, %reply, reason = row.advice
            );
        }
    }

    /// It can't be used; probes find out when it can. After too many failures a person is told; and what only a person
    /// can mend is not tried any more then: a wrong password that is tried for ever locks the account.
    async fn unreachable(&self, scope: Scope, reason: &str, needs_a_person: bool) {
        let queue = &self.context.config.queue;
        let down = self.health(scope).unreachable(reason, self.now, queue);
        if down.disabled && needs_a_person && scope == Scope::Account {
            self.stop(scope, reason).await;
        } else {
            self.is_down(&down);
        }
    }

    fn health(&self, scope: Scope) -> &Health {
        match scope {
            Scope::Account => &self.carrier.health,
            Scope::Upstream => &self.carrier.station.health,
        }
    }

    /// Says once that the upstream can't be used, and once that it counts as disabled.
    fn is_down(&self, down: &Down) {
        self.carrier.pool().close_all();
        let (upstream, account) = (&self.carrier.upstream().name, self.carrier.account());
        let next = self.wall(down.probe_at);
        let reason = &down.reason;
        if down.failures == 1 {
            tracing::warn!(event = "upstream_down", upstream, account, reason, next);
        }
        if down.is_newly_disabled(self.carrier.upstream().disable_after) {
            let failures = down.failures;
            tracing::error!(event = "upstream_disabled", upstream, account, reason, failures, next);
        }
    }

    /// Notes that the upstream answers. When it was down, all its mail is due at once.
    async fn is_up(&self) {
        let carrier = self.carrier;
        let was_down = [carrier.station.health.answered(), carrier.health.answered()];
        let was_down: Vec<Down> = was_down.into_iter().flatten().collect();
        if was_down.is_empty() {
            return;
        }
        let (upstream, account) = (&carrier.upstream().name, carrier.account());
        if was_down.iter().any(|down| down.disabled) {
            tracing::info!(event = "upstream_enabled", upstream, account, reason = "it answers again");
        } else {
            tracing::info!(event = "upstream_up", upstream, account);
        }
        for lane in self.context.router.lanes_of(upstream) {
            if let Err(error) = self.context.store.make_due(lane, self.now).await {
                tracing::error!(event = "store", upstream, reason = %error);
            }
        }
    }

    fn delivered(&self) {
        let (upstream, account) = self.names();
        if let Some(pace) = self.context.throttle.delivered(upstream, account, self.now) {
            tracing::info!(event = "faster", upstream, account, pace);
        }
    }

    /// Writes down what must outlast a restart. When the store fails, the next refusal says it again.
    async fn note(&self, account: Option<&str>, kind: StandingKind, until: Option<Moment>, reason: &str) {
        let standing = Standing {
            upstream: self.carrier.upstream().name.clone(),
            account: account.map(str::to_owned),
            kind,
            until,
            reason: reason.to_owned(),
        };
        if let Err(error) = self.context.store.set_standing(standing).await {
            tracing::error!(event = "store", upstream = self.carrier.upstream().name, reason = %error);
        }
    }

    fn wall(&self, moment: Moment) -> String {
        format!("{:.3}", self.context.timeline.wall_at(moment))
    }

    fn names(&self) -> (&str, &str) {
        (&self.carrier.upstream().name, &self.carrier.account)
    }
}
