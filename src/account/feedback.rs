//! What answers teach about an account, or about its upstream as a whole: be slower, pause, stop, try again later.
//!
//! What becomes of the message is another matter: see [`classify`](crate::upstream::classify()).

use std::time::Duration;

use super::accounts::Accounts;
use super::condition::Condition;
use super::login::Account;
use super::obstacle::Down;
use crate::config::Window;
use crate::limits::{Scope, Slowdown};
use crate::mail::ReversePath;
use crate::smtp::Reply;
use crate::store::{Message, MessageKind, NewSuspension, SuspensionKind};
use crate::time::Moment;
use crate::upstream::{
    Answer, AppliesTo, ConnectError, RecipientResult, ReplyAction, Row, Senders, Slow, Stage, row_for,
    stated_wait,
};

/// A pause for a quota lasts at least so long, so that room that comes back bit by bit is not asked for bit by bit.
const SHORTEST_PAUSE: Duration = Duration::from_mins(1);

/// Takes what answers teach about the account by which an attempt was made.
pub(crate) struct Feedback<'a> {
    pub(crate) accounts: &'a Accounts,
    pub(crate) account: &'a Account,
}

/// Whose mail was answered.
pub(crate) struct MailFacts<'a> {
    /// Whether it is a report of ours.
    pub(crate) is_report: bool,
    /// The address that routing goes by; empty where it is not known.
    pub(crate) sender: &'a str,
    pub(crate) reverse_path: &'a ReversePath,
}

impl<'a> MailFacts<'a> {
    pub(crate) fn of(message: &'a Message) -> Self {
        let is_report = message.kind == MessageKind::Report;
        Self { is_report, sender: &message.sender, reverse_path: &message.reverse_path }
    }
}

impl Feedback<'_> {
    /// From a connection that could not be made ready.
    pub(crate) async fn connection_failed(&self, error: &ConnectError) {
        let own = if error.stage < Stage::Auth { AppliesTo::Upstream } else { AppliesTo::Account };
        let row = error.reply().map(|reply| (reply, row_for(error.stage, reply)));
        match row.map(|(reply, row)| (reply, row, row.action)) {
            Some((reply, row, ReplyAction::Slow(slow))) => self.slow(slow, reply, row),
            Some((reply, row, ReplyAction::Pause { scope, until })) => {
                self.pause(scope, until, reply, row).await;
            }
            Some((_, row, ReplyAction::Stop { scope })) => {
                self.stop(scope, &format!("{error}: {}", row.advice)).await;
            }
            Some((_, _, ReplyAction::Unavailable { scope })) => {
                self.unreachable(scope, &error.to_string(), error.needs_a_person()).await;
            }
            _ => self.unreachable(own, &error.to_string(), error.needs_a_person()).await,
        }
    }

    /// From a transaction.
    pub(crate) async fn transaction(&self, mail: &MailFacts<'_>, answers: &[RecipientResult]) {
        let mut learned = false;
        let mut before: Option<&Row> = None;
        for answer in answers {
            let Answer::Refused(reply) = &answer.answer else { continue };
            let row = row_for(answer.stage, reply);
            if before.is_none_or(|before| !std::ptr::eq(before, row)) {
                before = Some(row);
                learned |= self.refusal(mail, (answer, reply), row).await;
            }
        }
        let broken = |result: &&RecipientResult| match &result.answer {
            Answer::Failed(_) | Answer::Unknown(_) => true,
            // It closes the connection: that is no sign of health.
            Answer::Refused(reply) => reply.code == 421,
            Answer::Accepted(_) | Answer::Captured(_) | Answer::Later(_) => false,
        };
        if learned {
            return;
        }
        if let Some(broken) = answers.iter().find(broken) {
            let times = self.account.settings().times;
            if let Some(down) = self.account.condition.broke(&broken.to_string(), self.now(), &times) {
                self.is_down(&down, AppliesTo::Account);
            }
            return;
        }
        if answers.iter().any(|answer| matches!(answer.answer, Answer::Accepted(_) | Answer::Captured(_))) {
            self.delivered();
        }
        self.is_up();
    }

    /// From one refusal. Whether it was about the carrier.
    async fn refusal(
        &self,
        mail: &MailFacts<'_>,
        (answer, reply): (&RecipientResult, &Reply),
        row: &Row,
    ) -> bool {
        // A refused report of ours never stops anything: some providers take none.
        let report = mail.is_report;
        match row.action {
            ReplyAction::Slow(slow) => self.slow(slow, reply, row),
            ReplyAction::Pause { scope, until } => self.pause(scope, until, reply, row).await,
            ReplyAction::Stop { .. } | ReplyAction::StopSender(_) | ReplyAction::Refresh if report => {
                return false;
            }
            ReplyAction::Stop { scope } => self.stop(scope, &format!("{reply}: {}", row.advice)).await,
            ReplyAction::StopSender(senders) => {
                self.stop_sender(senders, mail, reply, row);
                return false;
            }
            ReplyAction::Refresh => self.unreachable(AppliesTo::Account, &answer.to_string(), true).await,
            ReplyAction::Unavailable { scope } => {
                self.unreachable(scope, &answer.to_string(), reply.is_permanent()).await;
            }
            ReplyAction::Split | ReplyAction::Bounce | ReplyAction::Retry | ReplyAction::Defer => {
                return false;
            }
        }
        true
    }

    /// The account sends fewer messages, or over fewer connections, and for a while nothing at all.
    fn slow(&self, slow: Slow, reply: &Reply, row: &Row) {
        let (upstream, account) = self.names();
        let slowdown = if slow.connections { Slowdown::Connections } else { Slowdown::Rate };
        let wait = stated_wait(reply).unwrap_or(slow.wait);
        let settings = self.account.settings();
        let per_minute = settings.limits().quota(Window::Minute).messages;
        let (open, _) = self.account.pool.connections();
        let connections = (open, settings.limits().connections);
        let pace = self
            .account
            .condition
            .with_pace(|pace| pace.slow_down(slowdown, per_minute, connections, self.now()));
        self.account.follow_pace();
        self.account.condition.suspend(
            SuspensionKind::Paused,
            Some(self.now().after(wait)),
            row.advice,
            self.now(),
        );
        self.account.pool.close_idle();
        self.account.wake_all();
        let Some(pace) = pace else { return };
        let next = self.wall(self.now().after(wait));
        if slow.hard {
            tracing::error!(event = "slowed", upstream, account, %reply, reason = row.advice, pace, next);
        } else {
            tracing::warn!(event = "slowed", upstream, account, %reply, reason = row.advice, pace, next);
        }
    }

    /// A quota of the provider's is used up.
    async fn pause(&self, scope: AppliesTo, window: Window, reply: &Reply, row: &Row) {
        let (upstream, account) = self.names();
        let only = (scope == AppliesTo::Account).then_some(account);
        let wait = if let Some(wait) = stated_wait(reply) {
            wait
        } else {
            // The first room is there when the oldest of what was counted leaves the window.
            let counted = match scope {
                AppliesTo::Account => Scope::Account(self.account.key().clone()),
                AppliesTo::Upstream => Scope::Upstream(self.account.key().upstream.clone()),
            };
            let counts = self.accounts.store.usage(vec![counted]).await.unwrap_or_default().pop();
            let leaves = counts.and_then(|counts| counts.first_departure(window, self.now()));
            let wait = leaves.map_or(window.length(), |at| at.since(self.now()));
            wait.clamp(SHORTEST_PAUSE, window.length())
        };
        if self.suspend(only, SuspensionKind::Paused, Some(wait), row.advice).await {
            let next = self.wall(self.now().after(wait));
            tracing::warn!(
                event = "limit_reached", upstream, account = only, %reply, reason = row.advice, next
            );
        }
    }

    /// The configuration is at fault, here or there: nothing goes until a person has seen to it.
    async fn stop(&self, scope: AppliesTo, reason: &str) {
        let (upstream, account) = self.names();
        let only = (scope == AppliesTo::Account).then_some(account);
        if self.suspend(only, SuspensionKind::Stopped, None, reason).await {
            let next = "mend it, then reload or `mailsluice upstream enable`";
            tracing::error!(event = "upstream_disabled", upstream, account = only, reason, next);
        }
    }

    /// In force in any case; what could not be stored, a restart does not know. Whether it is news.
    async fn suspend(
        &self,
        account: Option<&str>,
        kind: SuspensionKind,
        lasts: Option<Duration>,
        reason: &str,
    ) -> bool {
        let new = NewSuspension {
            upstream: self.account.key().upstream.to_string(),
            account: account.map(str::to_owned),
            kind,
            lasts,
            login: None,
            reason: reason.to_owned(),
        };
        match self.accounts.suspend(new).await {
            Ok(is_news) => is_news,
            Err(error) => {
                tracing::error!(event = "store", upstream = &*self.account.key().upstream, reason = %error);
                true
            }
        }
    }

    /// The account may not send as this sender. Its mail waits, and is tried again as any that is deferred.
    fn stop_sender(&self, senders: Senders, mail: &MailFacts<'_>, reply: &Reply, row: &Row) {
        let (upstream, account) = self.names();
        let sender = match (mail.sender, mail.reverse_path) {
            ("", ReversePath::Address(address)) => address.as_str(),
            (sender, _) => sender,
        };
        let sender = match senders {
            Senders::Address => sender,
            Senders::Domain => sender.rsplit_once('@').map_or(sender, |(_, domain)| domain),
        };
        if self.account.upstream.refused_senders.note(sender) {
            tracing::error!(
                event = "sender_refused", upstream, account, from = sender, %reply, reason = row.advice
            );
        }
    }

    /// The account, or the upstream, can't be used; probes find out when it can. After too many failures a person is told;
    /// and what only a person can mend is not tried any more then: a wrong password that is tried for ever locks the account.
    async fn unreachable(&self, scope: AppliesTo, reason: &str, needs_a_person: bool) {
        let times = self.account.settings().times;
        let down = self.condition(scope).unreachable(reason, self.now(), &times);
        if down.disabled && needs_a_person && scope == AppliesTo::Account {
            self.stop(scope, reason).await;
        } else {
            self.is_down(&down, scope);
        }
    }

    fn condition(&self, scope: AppliesTo) -> &Condition {
        match scope {
            AppliesTo::Account => &self.account.condition,
            AppliesTo::Upstream => &self.account.upstream.condition,
        }
    }

    /// Says once that the upstream can't be used, and once that it counts as disabled. Who waits may take a fallback.
    fn is_down(&self, down: &Down, scope: AppliesTo) {
        self.account.pool.close_idle();
        match scope {
            AppliesTo::Account => self.account.wake_all(),
            AppliesTo::Upstream => self.account.upstream.wake_all(),
        }
        let (upstream, account) = (&*self.account.key().upstream, self.account.name());
        let next = down.probe_at.map(|at| self.wall(at));
        let reason = &down.reason;
        if down.failures == 1 {
            tracing::warn!(event = "upstream_down", upstream, account, reason, next);
        }
        if down.is_newly_disabled(self.account.settings().upstream.disable_after) {
            let failures = down.failures;
            tracing::error!(event = "upstream_disabled", upstream, account, reason, failures, next);
        }
    }

    /// Notes that the upstream answers. When it was down, the mail that waited for it goes on.
    fn is_up(&self) {
        let account = self.account;
        let was_down = [account.upstream.condition.answered(), account.condition.answered()];
        let was_down: Vec<Down> = was_down.into_iter().flatten().collect();
        if was_down.is_empty() {
            return;
        }
        let (upstream, name) = (&*account.key().upstream, account.name());
        if was_down.iter().any(|down| down.disabled) {
            tracing::info!(event = "upstream_enabled", upstream, account = name, reason = "it answers again");
        } else {
            tracing::info!(event = "upstream_up", upstream, account = name);
        }
        self.accounts.wake_lanes(upstream);
        account.upstream.wake();
    }

    fn delivered(&self) {
        let (upstream, account) = self.names();
        let settings = self.account.settings();
        let limits = settings.limits();
        let per_minute = limits.quota(Window::Minute).messages;
        let pace = self
            .account
            .condition
            .with_pace(|pace| pace.delivered(per_minute, limits.connections, self.now()));
        if let Some(pace) = pace {
            self.account.follow_pace();
            self.account.condition.forget_limited();
            tracing::info!(event = "faster", upstream, account, pace);
        }
    }

    fn now(&self) -> Moment {
        self.accounts.timeline.now()
    }

    fn wall(&self, moment: Moment) -> String {
        format!("{:.3}", self.accounts.timeline.wall_at(moment))
    }

    fn names(&self) -> (&str, &str) {
        (&self.account.key().upstream, &self.account.key().account)
    }
}
