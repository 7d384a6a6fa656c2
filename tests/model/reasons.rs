//! Why an account can't send, by what was recorded: each reason that is true.

use mailsluice::account::Down;
use mailsluice::config::{Login, Upstream};
use mailsluice::time::Moment;

use super::count::{Count, Full, Scope};
use super::facts::{Book, Ms};
use super::plan::{DISABLE_AFTER, RETRY_MAX};
use super::walk::World;

/// What a look may come too early by.
const SOON: i64 = 5;

/// Why an account can't send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reason {
    /// All its connections are in use.
    Busy,
    /// A limit is reached, or its pace lets nothing go.
    Full(Full),
    /// It has failed, and the next probe is to come or under way.
    Down { disabled: bool },
    /// A person has switched it off.
    Disabled,
}

/// One account, to be judged.
pub(crate) struct Judge<'a> {
    pub(crate) world: &'a World,
    pub(crate) book: &'a Book,
    pub(crate) upstream: &'a Upstream,
    pub(crate) account: &'a Login,
    pub(crate) host: &'a str,
    pub(crate) now: Ms,
    pub(crate) moment: Moment,
}

impl Judge<'_> {
    /// All that is true, and what is beyond doubt before the rest.
    pub(crate) fn reasons(&self) -> Vec<Reason> {
        let disabled = self.world.disabled.contains(&self.upstream.name).then_some(Reason::Disabled);
        let full = self.full(true).map(Reason::Full);
        let busy = self.is_busy().then_some(Reason::Busy);
        let down = self.downs(full.is_some());
        disabled.into_iter().chain(down).chain(full).chain(busy).collect()
    }

    /// What is in the way beyond doubt, the hardest.
    pub(crate) fn hardest(&self) -> Option<Reason> {
        if self.world.disabled.contains(&self.upstream.name) {
            return Some(Reason::Disabled);
        }
        let is_disabled = |reason: &Reason| matches!(reason, Reason::Down { disabled: true });
        let down = self.downs(false).into_iter().min_by_key(is_disabled);
        // Whether a limit is reached is found out when a connection is free.
        down.or_else(|| self.full(false).filter(|_| !self.is_busy()).map(Reason::Full))
    }

    fn scopes(&self) -> [Scope<'_>; 2] {
        let upstream = &*self.upstream.name;
        [Scope { upstream, user: Some(self.account.name()) }, Scope { upstream, user: None }]
    }

    fn full(&self, at_most: bool) -> Option<Full> {
        let count = Count { book: self.book, ghosts: &self.world.ghosts, now: self.now, at_most };
        let [own, shared] = self.scopes();
        let limits = &self.account.limits;
        let paced = count.paced(own, limits, self.host).filter(|_| at_most);
        [
            count.full(own, &limits.quotas, self.host),
            count.full(shared, &self.upstream.shared_limits.quotas, self.host),
            paced,
        ]
        .into_iter()
        .flatten()
        .max_by_key(|full| full.until.unwrap_or(Ms::MAX))
    }

    fn is_busy(&self) -> bool {
        let new = self.book.nameless(self.host);
        let (name, user) = (&*self.upstream.name, self.account.name());
        // What the relay has learned from refused connections may be less than the configuration has.
        let accounts = &self.world.sim.core.as_ref().unwrap().context.accounts;
        let known = accounts.of(name).into_iter().find(|account| *account.key().account == *user);
        let (most, all) = known.map_or((u32::MAX, u32::MAX), |account| account.most_connections());
        let own = self.book.busy(name, Some(user)) + new >= most as usize;
        own || self.book.busy(name, None) + new >= all as usize
    }

    /// How the upstream is down, and how the account is.
    fn downs(&self, is_held_back: bool) -> Vec<Reason> {
        let accounts = &self.world.sim.core.as_ref().unwrap().context.accounts;
        let all = accounts.of(&self.upstream.name);
        let account = all.iter().find(|account| *account.key().account == *self.account.name());
        let downs = account.into_iter().flat_map(|account| account.downs());
        downs.filter_map(|down| self.down(&down, is_held_back)).collect()
    }

    /// The relay alone knows when it will probe; that it has a reason to is recorded here. A probe that is due may be held
    /// back by a limit.
    fn down(&self, down: &Down, is_held_back: bool) -> Option<Reason> {
        let key = (self.upstream.name.clone(), self.account.name().to_owned());
        let (host_failed, answered) = (self.book.hosts.get(self.host), self.book.upstreams.get(&key.0));
        let login = self.book.logins.get(&key).copied().unwrap_or_default();
        let by_host = host_failed.is_some() && host_failed >= answered;
        let by_login = login.failed.is_some() && login.failed >= login.good;
        assert!(
            by_host || by_login,
            "{key:?} is said to be down: {down:?}, {login:?}, {host_failed:?} {answered:?}"
        );
        let is_used =
            |line: &super::facts::Line| line.closed.is_none() && line.busy && line.host == self.host;
        let comes = match down.probe_at {
            Some(at) => at.0 > self.moment.0 - SOON,
            None => false,
        };
        if let Some(at) = down.probe_at {
            let longest = (RETRY_MAX * 1_100) as i64 + SOON;
            assert!(
                at.0 - self.moment.0 <= longest,
                "{key:?} is probed too late: {down:?} at {:?}",
                self.moment
            );
        }
        let is_probed = self.book.lines.iter().any(is_used);
        (comes || is_probed || is_held_back)
            .then_some(Reason::Down { disabled: down.failures >= DISABLE_AFTER })
    }
}
