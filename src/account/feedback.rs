//! What answers teach about an account, or about its upstream as a whole: be slower, pause, stop, try again later.
//!
//! What becomes of the message is another matter: see [`classify`](crate::upstream::classify()).

use std::time::Duration;

use super::accounts::Accounts;
use super::complaints::NewComplaint;
use super::condition::Condition;
use super::login::Account;
use super::obstacle::Down;
use super::refused_login::LoginParts;
use super::refused_senders::{address_of, part};
use super::verdict::{Answered, Judgement, MailFacts, Verdict, is_broken};
use super::view::mend_then_enable;
use crate::config::Window;
use crate::limits::{Scope, Slowdown};
use crate::smtp::Reply;
use crate::store::{NewSuspension, SuspensionKind};
use crate::time::Moment;
use crate::upstream::{
    AppliesTo, ConnectCause, ConnectError, LoginError, RecipientResult, ReplyAction, Senders, Slow, Stage,
    row_for, stated_wait,
};

/// A pause for a quota lasts at least so long, so that room that comes back bit by bit is not asked for bit by bit.
const SHORTEST_PAUSE: Duration = Duration::from_mins(1);

/// A pause that grows with each complaint in a row lasts no longer than this, unless the upstream asks for more.
const LONGEST_OWN_PAUSE: Duration = Duration::from_mins(15);

/// How long it is until a login that was refused is tried again.
const LOGIN_PROBE: Duration = Duration::from_hours(1);

/// Takes what answers teach about the account by which an attempt was made.
pub(crate) struct Feedback<'a> {
    pub(crate) accounts: &'a Accounts,
    pub(crate) account: &'a Account,
}

impl Feedback<'_> {
    /// From a connection that could not be made ready.
    pub(crate) async fn connection_failed(&self, error: &ConnectError) {
        // Without a token nothing was tried; who waits is told when there is one.
        if error.no_token().is_some() || self.is_one_too_many(error) {
            return;
        }
        let own = if error.stage < Stage::Auth { AppliesTo::Upstream } else { AppliesTo::Account };
        let row = error.reply().map(|reply| (reply, row_for(error.stage, reply)));
        match row.map(|(reply, row)| (reply, row, row.action)) {
            Some((reply, row, ReplyAction::Slow(slow))) => self.slow(slow, reply, row.advice),
            Some((reply, row, ReplyAction::Pause { scope, until })) => {
                self.pause(scope, until, reply, row.advice).await;
            }
            Some((_, _, ReplyAction::Stop { .. })) if error.stage == Stage::Auth => {
                self.refuse_login(&error.to_string()).await;
            }
            Some((_, row, ReplyAction::Stop { scope })) => {
                self.stop(scope, &format!("{error}: {}", row.advice)).await;
            }
            Some((_, _, ReplyAction::Unavailable { scope } | ReplyAction::Contested { scope })) => {
                self.unreachable(scope, &error.to_string(), error.needs_a_person()).await;
            }
            _ => self.unreachable(own, &error.to_string(), error.needs_a_person()).await,
        }
        if matches!(error.cause, ConnectCause::Login(LoginError::NotReplaced(_))) {
            self.account.condition.await_token();
        }
    }

    /// A connection was turned away while others are there, or on their way: there are to be fewer of them. While the upstream
    /// turns all away, the last finds that out.
    fn is_one_too_many(&self, error: &ConnectError) -> bool {
        let row = error.reply().map(|reply| row_for(error.stage, reply).action);
        let is_plain = row.is_none_or(|action| matches!(action, ReplyAction::Unavailable { .. }));
        let state = &self.account.upstream;
        let (open, ready) = state.pool.counts();
        // While others work, whatever it says at its greeting to another is about that one.
        let is_greeting = ready > 0 && error.stage == Stage::Greeting && error.reply().is_some();
        if !(error.is_turned_away() || is_greeting) || !is_plain || open < 2 {
            return false;
        }
        let most = if ready > 0 { ready } else { open - 1 };
        let pace = state.condition.with_pace(|pace| pace.refuse_connection(most, self.now()));
        state.follow_pace();
        if let Some(pace) = pace {
            let upstream = self.names().0;
            tracing::warn!(event = "slowed", upstream, reason = %error, pace);
        }
        true
    }

    /// From a transaction: what the answers mean for their recipients, and about the account.
    pub(crate) async fn transaction(&self, mail: &MailFacts<'_>, answers: &[Answered<'_>]) -> Judgement {
        if answers.iter().any(|(_, answer)| answer.is_taken()) {
            let address = address_of(mail.sender, mail.reverse_path);
            let parts = [Senders::Address, Senders::Domain].map(|senders| part(address, senders));
            self.account.upstream.refused_senders.end(self.names().1, parts);
        }
        let verdicts = self.judge(mail, answers);
        let judgement = Judgement::new(answers, &verdicts);
        let mut learned = false;
        let mut before: Option<Verdict> = None;
        for ((_, answer), verdict) in answers.iter().zip(&verdicts) {
            let (Some(reply), Some(verdict)) = (answer.refusal(), verdict) else { continue };
            if before.is_none_or(|before| before != *verdict) {
                before = Some(*verdict);
                learned |= self.refusal(mail, (answer, reply), verdict).await;
            }
        }
        if learned {
            return judgement;
        }
        if let Some((_, broken)) = answers.iter().find(|(_, answer)| is_broken(answer)) {
            let times = self.account.settings().times;
            let condition = &self.account.condition;
            if let Some(down) = condition.broke(mail.id, &broken.to_string(), self.now(), &times) {
                self.is_down(&down, AppliesTo::Account);
            }
            return judgement;
        }
        if answers.iter().any(|(_, answer)| answer.is_taken()) {
            self.delivered();
        }
        self.is_up().await;
        judgement
    }

    /// What each refusal calls for, by the table and by what went before at this account.
    fn judge(&self, mail: &MailFacts<'_>, answers: &[Answered<'_>]) -> Vec<Option<Verdict>> {
        let now = self.now();
        let refused: Vec<_> = answers
            .iter()
            .map(|&(to, answer)| {
                let reply = answer.refusal()?;
                Some(((to, answer.stage, reply), row_for(answer.stage, reply)))
            })
            .collect();
        self.account.condition.with_precedents(|before| {
            if answers.iter().any(|(_, answer)| answer.is_taken()) {
                let taken = answers.iter().filter(|(_, answer)| answer.is_taken());
                before.delivered(taken.filter_map(|(to, _)| *to), now);
            }
            for ((to, stage, _), row) in refused.iter().flatten().filter(|_| !mail.is_report) {
                let is_contested = matches!(row.action, ReplyAction::Contested { .. });
                if let Some(to) = to.filter(|_| is_contested && *stage > Stage::Mail) {
                    before.contest(to);
                }
            }
            let verdict = |refusal: Option<_>| {
                refusal.map(|(refusal, row)| Verdict::of(before, mail, refusal, row, now))
            };
            refused.into_iter().map(verdict).collect()
        })
    }

    /// From one refusal. Whether it was about the carrier.
    async fn refusal(
        &self,
        mail: &MailFacts<'_>,
        (answer, reply): (&RecipientResult, &Reply),
        row: &Verdict,
    ) -> bool {
        // A refused report of ours never stops anything: some providers take none.
        let report = mail.is_report;
        match row.action {
            ReplyAction::Slow(slow) => self.slow(slow, reply, row.advice),
            ReplyAction::Pause { scope, until } => self.pause(scope, until, reply, row.advice).await,
            ReplyAction::Stop { .. } | ReplyAction::StopSender(_) | ReplyAction::Refresh if report => {
                return false;
            }
            ReplyAction::Stop { scope } => self.stop(scope, &format!("{reply}: {}", row.advice)).await,
            ReplyAction::StopSender(senders) => {
                self.stop_sender(senders, mail, reply, row.advice);
                return false;
            }
            ReplyAction::Refresh => self.unreachable(AppliesTo::Account, &answer.to_string(), true).await,
            ReplyAction::Contested { scope } => {
                self.unreachable(scope, &format!("{answer}: {}", row.advice), false).await;
            }
            ReplyAction::Unavailable { scope } => {
                self.unreachable(scope, &answer.to_string(), reply.is_permanent()).await;
            }
            ReplyAction::DeferStrange => {
                self.note_strange(reply, row.advice);
                return false;
            }
            ReplyAction::Split | ReplyAction::Bounce | ReplyAction::Retry | ReplyAction::Defer => {
                return false;
            }
        }
        true
    }

    /// The account sends fewer messages, or over fewer connections, and for a while nothing at all.
    fn slow(&self, slow: Slow, reply: &Reply, advice: &str) {
        let (upstream, account) = self.names();
        let slowdown = if slow.connections { Slowdown::Connections } else { Slowdown::Rate };
        let settings = self.account.settings();
        let per_minute = settings.limits().quota(Window::MINUTE).messages;
        let (open, _) = self.account.pool.connections();
        let connections = (open, settings.limits().connections);
        let pace = self
            .account
            .condition
            .with_pace(|pace| pace.slow_down(slowdown, per_minute, connections, self.now()));
        let stated = stated_wait(reply);
        let wait = if slow.insists {
            // However short a time it states: some always state a second.
            let complaints = self.account.condition.with_pace(|pace| pace.complaints_in_a_row());
            let own = slow.wait.saturating_mul(1 << complaints.saturating_sub(1).min(16));
            own.min(LONGEST_OWN_PAUSE).max(stated.unwrap_or_default())
        } else {
            stated.unwrap_or(slow.wait)
        };
        self.account.follow_pace();
        self.account.condition.pause_until(self.now().after(wait), advice, self.now());
        self.account.pool.close_idle();
        self.account.wake_all();
        // What is taken as it comes was asked for at the pace of before.
        self.accounts.wake_lanes(upstream);
        let Some(pace) = pace else { return };
        let next = self.wall(self.now().after(wait));
        if slow.hard {
            tracing::error!(event = "slowed", upstream, account, %reply, reason = advice, pace, next);
        } else {
            tracing::warn!(event = "slowed", upstream, account, %reply, reason = advice, pace, next);
        }
    }

    /// A quota of the provider's is used up.
    async fn pause(&self, scope: AppliesTo, window: Window, reply: &Reply, advice: &str) {
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
        if self.suspend(only, SuspensionKind::Paused, Some(wait), advice).await {
            let next = self.wall(self.now().after(wait));
            tracing::warn!(
                event = "limit_reached", upstream, account = only, %reply, reason = advice, next
            );
        }
    }

    /// The configuration is at fault, here or there: nothing goes until a person has seen to it.
    async fn stop(&self, scope: AppliesTo, reason: &str) {
        let (upstream, account) = self.names();
        let only = (scope == AppliesTo::Account).then_some(account);
        if self.suspend(only, SuspensionKind::Stopped, None, reason).await {
            let action = mend_then_enable(upstream);
            tracing::error!(event = "upstream_disabled", upstream, account = only, reason, action);
        }
    }

    /// The login is refused. It is tried anew when it has changed in the configuration, and once an hour, as what is wrong may
    /// be mended at the provider.
    async fn refuse_login(&self, reason: &str) {
        let (upstream, account) = self.names();
        let settings = self.account.settings();
        let hash = tokio::task::spawn_blocking(move || LoginParts::of(&settings).hash()).await.ok().flatten();
        let new = NewSuspension {
            upstream: upstream.to_owned(),
            account: Some(account.to_owned()),
            kind: SuspensionKind::Login,
            lasts: Some(LOGIN_PROBE),
            login: hash,
            reason: reason.to_owned(),
        };
        if self.put_in_force(new).await {
            let next = self.wall(self.now().after(LOGIN_PROBE));
            let action = mend_then_enable(upstream);
            tracing::error!(event = "upstream_disabled", upstream, account, reason, next, action);
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
        self.put_in_force(new).await
    }

    async fn put_in_force(&self, new: NewSuspension) -> bool {
        match self.accounts.suspend(new).await {
            Ok(is_news) => is_news,
            Err(error) => {
                tracing::error!(event = "store", upstream = &*self.account.key().upstream, reason = %error);
                true
            }
        }
    }

    /// The account may not send as this sender. Its mail waits, and is tried again as any that is deferred.
    fn stop_sender(&self, senders: Senders, mail: &MailFacts<'_>, reply: &Reply, advice: &str) {
        let (upstream, account) = self.names();
        let sender = part(address_of(mail.sender, mail.reverse_path), senders);
        // What is refused rests for the longest time; by then it has been refused again.
        let lasts = self.account.settings().retry_max.saturating_mul(2);
        let refusal = NewComplaint { account, about: sender, reply, advice, lasts };
        if self.account.upstream.refused_senders.note(&refusal, self.now()) {
            tracing::error!(
                event = "sender_refused", upstream, account, from = sender, %reply, reason = advice
            );
        }
    }

    /// The upstream gives an answer of which nothing is known: a person should look it up.
    fn note_strange(&self, reply: &Reply, advice: &str) {
        let (upstream, account) = self.names();
        let words = reply.to_string();
        // What comes behind the code tells one request from another.
        let about = words.split(": ").next().unwrap_or_default();
        let lasts = self.account.settings().retry_max.saturating_mul(2);
        let strange = NewComplaint { account, about, reply, advice, lasts };
        if self.account.upstream.strange_replies.note(&strange, self.now()) {
            tracing::error!(event = "strange_reply", upstream, account, %reply, action = advice);
        }
    }

    /// The account, or the upstream, can't be used; probes find out when it can. After too many failures a person is told;
    /// and what only a person can mend is not tried any more then: a wrong password that is tried for ever locks the account.
    async fn unreachable(&self, scope: AppliesTo, reason: &str, needs_a_person: bool) {
        let times = self.account.settings().times;
        let down = self.condition(scope).unreachable(reason, self.now(), &times);
        if scope == AppliesTo::Upstream {
            self.account.upstream.condition.with_pace(|pace| pace.forget_refusals(self.now()));
            self.account.upstream.follow_pace();
        }
        if down.disabled && needs_a_person && scope == AppliesTo::Account {
            self.refuse_login(reason).await;
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
        if !self.condition(scope).is_news(down.failures) {
            return;
        }
        let (upstream, account) = (&*self.account.key().upstream, self.account.name());
        let (next, reason) = (down.probe_at.map(|at| self.wall(at)), &down.reason);
        if down.failures == 1 {
            tracing::warn!(event = "upstream_down", upstream, account, reason, next);
        }
        if down.is_newly_disabled(self.account.settings().upstream.disable_after) {
            let failures = down.failures;
            tracing::error!(event = "upstream_disabled", upstream, account, reason, failures, next);
            self.accounts.wakeups.call_troubled();
        }
    }

    /// Notes that the upstream answers. When it was down, the mail that waited for it goes on.
    pub(super) async fn is_up(&self) {
        let account = self.account;
        if account.condition.refused_login().is_some() {
            self.accounts.forget_refused_login(account.key()).await;
        }
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
        let per_minute = limits.quota(Window::MINUTE).messages;
        let pace = self
            .account
            .condition
            .with_pace(|pace| pace.delivered(per_minute, limits.connections, self.now()));
        if let Some(pace) = pace {
            self.account.follow_pace();
            self.account.condition.forget_limited();
            tracing::info!(event = "faster", upstream, account, pace);
        }
        let shared = &self.account.upstream.condition;
        if shared.with_pace(|pace| pace.connections().is_none()) {
            return;
        }
        let all = self.accounts.of(upstream);
        let most = all.iter().map(|account| account.settings().limits().connections).sum();
        if let Some(pace) = shared.with_pace(|pace| pace.raise_connections(most, self.now())) {
            self.account.upstream.follow_pace();
            tracing::info!(event = "faster", upstream, pace);
        }
    }

    pub(super) fn now(&self) -> Moment {
        self.accounts.timeline.now()
    }

    fn wall(&self, moment: Moment) -> String {
        format!("{:.3}", self.accounts.timeline.wall_at(moment))
    }

    pub(super) fn names(&self) -> (&str, &str) {
        (&self.account.key().upstream, &self.account.key().account)
    }
}
