//! What counts in a window, worked out anew from what the upstreams have seen.

use std::sync::Arc;

use mailsluice::config::{Config, Limits, Login, Pace, Quota, Quotas, Upstream, Window};

use super::facts::{Book, Line, Ms, Transaction};

/// Recipients that a transaction may have had that was cut off before all were heard.
const UNHEARD: u64 = 100;
/// What clocks may differ by, in milliseconds.
const SLACK: Ms = 150;

/// What the relay may have counted and no upstream has seen: a crash left it unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ghost {
    pub(crate) at: Ms,
    pub(crate) messages: u64,
    pub(crate) recipients: u64,
}

/// Whose transactions count: those of a login, or of all of an upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) upstream: &'a str,
    pub(crate) user: Option<&'a str>,
}

impl Scope<'_> {
    pub(crate) fn has(&self, transaction: &Transaction) -> bool {
        let (upstream, user) = &transaction.key;
        self.upstream == upstream && self.user.is_none_or(|of| of == user)
    }

    /// What is in force for it; `None` when the configuration does not know it.
    pub(crate) fn quotas(&self, config: &Config) -> Option<Quotas> {
        let upstream = upstream(config, self.upstream)?;
        match self.user {
            None => Some(upstream.shared_limits.quotas.clone()),
            Some(user) => account(upstream, user).map(|account| account.limits.quotas.clone()),
        }
    }

    /// Connections that may be open. A client that began by an older configuration goes on by what that had.
    pub(crate) fn connections(&self, config: &Config) -> u64 {
        let upstream = upstream(config, self.upstream);
        let most = match self.user {
            None => upstream.and_then(|upstream| upstream.shared_limits.connections),
            Some(user) => {
                upstream.and_then(|upstream| account(upstream, user)).map(|one| one.limits.connections)
            }
        };
        most.map_or(u64::MAX, u64::from)
    }
}

pub(crate) fn upstream<'a>(config: &'a Config, name: &str) -> Option<&'a Arc<Upstream>> {
    config.upstreams.iter().find(|upstream| upstream.name == name)
}

pub(crate) fn account<'a>(upstream: &'a Upstream, user: &str) -> Option<&'a Login> {
    upstream.accounts.iter().find(|account| account.name() == user)
}

pub(crate) fn length(window: Window) -> Ms {
    window.length().as_millis() as Ms
}

/// How exactly the relay knows when something was counted, at worst.
fn known_within(window: Window) -> Ms {
    let longer = Window::NAMED.into_iter().find(|named| *named >= window);
    length(longer.unwrap_or(Window::WEEK)) / 600 + length(window) / 600
}

/// One that counts: until when (`None`: it is under way), and for how much.
struct Counted {
    leaves: Option<Ms>,
    messages: u64,
    recipients: u64,
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Full {
    /// When there is room; `None` when something must end first.
    pub(crate) until: Option<Ms>,
}

/// The recorded facts, to be counted.
pub(crate) struct Count<'a> {
    pub(crate) book: &'a Book,
    pub(crate) ghosts: &'a [Ghost],
    pub(crate) now: Ms,
    /// Whether all that the relay may rightly have counted does; else what it must have.
    pub(crate) at_most: bool,
}

impl Count<'_> {
    /// Whether a window is full for a scope: which lasts longest of those that are.
    pub(crate) fn full(&self, scope: Scope<'_>, quotas: &Quotas, host: &str) -> Option<Full> {
        let full = quotas.iter().filter_map(|(window, quota)| self.full_window(scope, window, &quota, host));
        full.max_by_key(|full| full.until.unwrap_or(Ms::MAX))
    }

    fn full_window(&self, scope: Scope<'_>, window: Window, quota: &Quota, host: &str) -> Option<Full> {
        if quota.messages.is_none() && quota.recipients.is_none() {
            return None;
        }
        let mut counted = self.counted(scope, window, host);
        counted.sort_by_key(|one| one.leaves.unwrap_or(Ms::MAX));
        let fits = |counted: &[Counted]| {
            let messages: u64 = counted.iter().map(|one| one.messages).sum();
            let recipients: u64 = counted.iter().map(|one| one.recipients).sum();
            quota.messages.is_none_or(|most| messages < u64::from(most))
                && quota.recipients.is_none_or(|most| recipients < u64::from(most))
        };
        if fits(&counted) {
            return None;
        }
        let last = (0..counted.len()).find(|&gone| fits(&counted[gone + 1..]));
        Some(Full { until: last.and_then(|last| counted[last].leaves) })
    }

    fn counted(&self, scope: Scope<'_>, window: Window, host: &str) -> Vec<Counted> {
        // A window that is new, or that a start reads again, may know no more than the next longer one does.
        let late = if self.at_most { known_within(window) + SLACK } else { 0 };
        let leaves = |ended: Ms| ended + length(window) + late;
        let of_transaction = |one: &Transaction| {
            let heard = one.asked.len() as u64;
            let recipients = if one.cut && self.at_most { heard.max(UNHEARD) } else { heard };
            Counted { leaves: one.ended.map(leaves), messages: 1, recipients }
        };
        let seen = self.book.transactions.iter().filter(|one| scope.has(one)).map(of_transaction);
        let mut counted: Vec<Counted> = seen.collect();
        if self.at_most {
            let of_ghost = |ghost: &Ghost| Counted {
                leaves: Some(leaves(ghost.at)),
                messages: ghost.messages,
                recipients: ghost.recipients,
            };
            counted.extend(self.ghosts.iter().map(of_ghost));
            let coming = self.coming(scope, host);
            counted.extend(coming.map(|_| Counted { leaves: None, messages: 1, recipients: UNHEARD }));
        }
        counted.retain(|one| one.leaves.is_none_or(|leaves| leaves > self.now));
        counted
    }

    /// Connections that have carried nothing yet: who makes one has its permit.
    fn coming(&self, scope: Scope<'_>, host: &str) -> impl Iterator<Item = &Line> {
        let is_coming = move |line: &&Line| {
            let named = line
                .key
                .as_ref()
                .map(|(name, user)| name == scope.upstream && scope.user.is_none_or(|of| of == user));
            line.closed.is_none() && line.transactions == 0 && named.unwrap_or(line.host == host)
        };
        self.book.lines.iter().filter(is_coming)
    }

    /// Whether the pace of an account lets nothing go now: until when.
    pub(crate) fn paced(&self, scope: Scope<'_>, limits: &Limits, host: &str) -> Option<Full> {
        let own = || self.book.transactions.iter().filter(|one| scope.has(one));
        let mut until = None;
        if limits.pace == Pace::Even {
            let begun = |one: &Transaction| {
                let recipients = if one.cut { UNHEARD } else { one.asked.len() as u64 };
                one.begun + distance(limits, recipients)
            };
            let dialled = self.book.dialled.get(host).map(|at| at + distance(limits, UNHEARD));
            until = until.max(own().map(begun).max()).max(dialled.filter(|_| self.at_most));
        }
        if let Some(batch) = &limits.batch {
            let pause = batch.pause.as_millis() as Ms;
            let under_way = self.at_most && self.coming(scope, host).next().is_some();
            let ended = own().map(|one| one.ended.unwrap_or(self.now)).chain(under_way.then_some(self.now));
            until = until.max(ended.map(|ended| ended + pause).max());
        }
        until.filter(|until| until + SLACK > self.now).map(|until| Full { until: Some(until) })
    }
}

/// How far apart the transactions of an even pace are.
fn distance(limits: &Limits, recipients: u64) -> Ms {
    let share = |window: Window, most: Option<u32>, count: u64| {
        most.map_or(0, |most| (length(window) * count).div_ceil(u64::from(most)))
    };
    let of = |(window, quota): (Window, Quota)| {
        share(window, quota.messages, 1).max(share(window, quota.recipients, recipients))
    };
    limits.quotas.iter().map(of).max().unwrap_or(0)
}
