//! What is held of a whole walk: no window exceeded, not too many connections, nothing lost, nothing sent twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use mailsluice::config::{Config, Window};
use mailsluice::store::{MessageState, QueueCounts};

use super::count::{Scope, length};
use super::facts::{Book, Ms, Transaction};
use super::walk::World;

/// Configurations, and since when they are in force.
#[derive(Default)]
pub(crate) struct History(Vec<(Ms, Arc<Config>)>);

impl History {
    pub(crate) fn begins(&mut self, at: Ms, config: Arc<Config>) {
        self.0.push((at, config));
    }

    /// All windows that were ever limited.
    fn windows(&self) -> BTreeSet<Window> {
        let upstreams = self.0.iter().flat_map(|(_, config)| &config.upstreams);
        let quotas = upstreams.flat_map(|upstream| {
            let own = upstream.accounts.iter().map(|account| &account.limits.quotas);
            own.chain([&upstream.shared_limits.quotas])
        });
        quotas.flat_map(|quotas| quotas.iter().map(|(window, _)| window)).collect()
    }

    /// What was in force at some time between two moments.
    fn between(&self, from: Ms, to: Ms) -> impl Iterator<Item = &Config> {
        let ends = self.0.iter().skip(1).map(|(at, _)| *at).chain([Ms::MAX]);
        let in_force = self
            .0
            .iter()
            .zip(ends)
            .filter(move |((begins, _), ends)| *begins <= to && ends.saturating_add(2) >= from);
        in_force.map(|((_, config), _)| &**config)
    }
}

/// No window was exceeded, by what was in force when each transaction was decided upon.
pub(crate) fn windows(book: &Book, history: &History) {
    for (place, one) in book.transactions.iter().enumerate() {
        let (upstream, user) = (one.key.0.as_str(), one.key.1.as_str());
        for scope in [Scope { upstream, user: Some(user) }, Scope { upstream, user: None }] {
            for window in history.windows() {
                in_window(book, history, place, (scope, window));
            }
        }
    }
}

fn in_window(book: &Book, history: &History, place: usize, (scope, window): (Scope<'_>, Window)) {
    let one = &book.transactions[place];
    let at = one.asked.last().copied().unwrap_or(one.begun);
    let quota = |config: &Config| scope.quotas(config).map(|quotas| quotas.of(window));
    // The least strict of those that can have been asked.
    let most = |of: &dyn Fn(mailsluice::config::Quota) -> Option<u32>, until: Ms| {
        let all = history.between(one.decided, until).filter_map(quota);
        all.map(|quota| of(quota).map_or(u64::MAX, u64::from)).max().unwrap_or(u64::MAX)
    };
    let counts = |other: &&Transaction, at: Ms| {
        scope.has(other) && other.ended.is_none_or(|ended| ended + length(window) > at)
    };
    let messages = book.transactions[..=place].iter().filter(|other| counts(other, one.begun)).count() as u64;
    let limit = most(&|quota| quota.messages, one.begun);
    let all =
        || book.transactions[..=place].iter().filter(|other| counts(other, one.begun)).collect::<Vec<_>>();
    assert!(messages <= limit, "{messages} messages of {limit} in a {window:?} of {scope:?}: {:#?}", all());
    let limit = most(&|quota| quota.recipients, at);
    if limit < u64::MAX {
        let asked = |other: &Transaction| other.asked.iter().filter(|asked| **asked <= at).count() as u64;
        let recipients: u64 = book.transactions.iter().filter(|other| counts(other, at)).map(asked).sum();
        assert!(
            recipients <= limit,
            "{recipients} recipients of {limit} in a {window:?} of {scope:?}: {one:?}"
        );
    }
}

/// No connection was made beyond what was allowed when it was asked for.
pub(crate) fn connections(book: &Book, history: &History) {
    for line in &book.lines {
        let Some((upstream, user)) = &line.key else { continue };
        for scope in [Scope { upstream, user: Some(user) }, Scope { upstream, user: None }] {
            let is_open = |other: &&super::facts::Line| {
                let its = other
                    .key
                    .as_ref()
                    .is_some_and(|(name, of)| name == upstream && scope.user.is_none_or(|user| user == of));
                its && other.opened <= line.opened && other.closed.is_none_or(|closed| closed > line.opened)
            };
            let open = book.lines.iter().filter(is_open).count() as u64;
            let all = history.between(line.opened, line.opened);
            let most = all.map(|config| scope.connections(config)).max().unwrap_or(u64::MAX);
            assert!(open <= most, "{open} connections of {most} for {scope:?} at {}", line.opened);
        }
    }
}

/// Each recipient is somewhere, and was sent once.
pub(crate) async fn nothing_lost(world: &World) {
    let totals = world.sim.totals().await;
    let left =
        totals.sent + totals.bounced + totals.expired + totals.dropped + totals.captured + totals.deleted;
    assert_eq!(totals.accepted + totals.generated, left + totals.queued, "{totals:?}");
    let (figures, queue) = (world.sim.store().queue_figures().await.unwrap(), world.queue().await);
    let number = |state| queue.iter().filter(|message| message.state == state).count() as u64;
    let counts = QueueCounts {
        ready: number(MessageState::Ready),
        deferred: number(MessageState::Deferred),
        held: number(MessageState::Held),
        sending: number(MessageState::Sending),
    };
    assert_eq!(figures.counts, counts, "what is counted in memory differs from the tables");
    let waiting: std::collections::BTreeSet<&str> = queue
        .iter()
        .flat_map(|message| message.recipients.iter())
        .filter(|recipient| ["waiting", "sending"].contains(&recipient.state.name()))
        .map(|recipient| recipient.address.as_str())
        .collect();
    let book = world.facts.book();
    for address in world.submitted.keys() {
        let taken = book.taken.get(address).copied().unwrap_or(0);
        let is_gone = taken > 0 || book.refused.contains(address) || world.deleted.contains(address);
        assert!(is_gone || waiting.contains(address.as_str()), "{address} is lost");
        let may_be_twice = book.doubtful.contains(address) || world.crashed.contains(address);
        assert!(taken <= 1 || may_be_twice, "{address} was sent {taken} times");
        let both = taken > 0 && (book.refused.contains(address) || waiting.contains(address.as_str()));
        assert!(!both || may_be_twice, "{address} was sent, and yet it is not done with");
    }
}
