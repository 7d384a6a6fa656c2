//! What a lane has in hand for the connections that become free next.
//!
//! To take a message costs a commit, and a connection that waits for one stands idle. Where the upstream is quick, so that
//! connections become free during a claim, a lane takes a message more for each connection that it has. They go in the order in
//! which they were taken. What has waited for longer than [`LONGEST`] goes back into the queue, for whoever's turn it is by then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::account::Account;
use crate::store::Leased;
use crate::time::Moment;

/// For how long a message is kept in hand at most.
const LONGEST: Duration = Duration::from_secs(1);

/// Messages under a lease that wait for a connection of an account.
#[derive(Default)]
pub(super) struct InHand {
    /// By whose account they go.
    account: Option<Arc<Account>>,
    /// Each with the moment when it was taken, the oldest first.
    messages: VecDeque<(Moment, Leased)>,
    demand: Demand,
}

/// Whether it is worth taking messages beforehand.
#[derive(Debug, Default)]
struct Demand {
    /// Whether connections became free during the last claim.
    is_quick: bool,
    /// Whether those that are free now became so during that claim.
    counts: bool,
}

impl Demand {
    /// How many messages are worth being in hand, of an account with so many connections.
    fn enough(&self, connections: usize) -> usize {
        if self.is_quick { connections } else { 0 }
    }

    /// A claim begins.
    fn claim_begins(&mut self) {
        *self = Self { is_quick: false, counts: true };
    }

    /// A connection is used again.
    fn used(&mut self) {
        self.is_quick |= self.counts;
    }

    /// Nothing more can start: what becomes free from now on does so later.
    fn rests(&mut self) {
        self.counts = false;
    }
}

impl InHand {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether it is worth a claim to have more. So many connections the account has.
    pub(super) fn is_low(&self, connections: usize) -> bool {
        self.messages.len() * 2 <= self.demand.enough(connections)
    }

    /// A claim begins. How many messages it should take beyond those for which there are connections; the account has so many in
    /// all.
    pub(super) fn claim_begins(&mut self, connections: usize) -> usize {
        let enough = self.demand.enough(connections);
        self.demand.claim_begins();
        enough.saturating_sub(self.messages.len())
    }

    /// A connection is used again.
    pub(super) fn used(&mut self) {
        self.demand.used();
    }

    /// The lane rests until something happens.
    pub(super) fn rests(&mut self) {
        self.demand.rests();
    }

    /// Keeps messages that were taken for an account.
    pub(super) fn put(&mut self, account: &Arc<Account>, messages: Vec<Leased>, now: Moment) {
        self.account = Some(account.clone());
        self.messages.extend(messages.into_iter().map(|leased| (now, leased)));
    }

    /// The next ones, if they go by this account.
    pub(super) fn take(&mut self, account: &Arc<Account>, most: usize) -> Vec<Leased> {
        if !self.account.as_ref().is_some_and(|own| Arc::ptr_eq(own, account)) {
            return Vec::new();
        }
        let next = self.messages.drain(..most.min(self.messages.len()));
        next.map(|(_, leased)| leased).collect()
    }

    /// When they go back at the latest, unless the oldest has gone by then.
    pub(super) fn until(&self) -> Option<Moment> {
        self.messages.front().map(|(taken, _)| taken.after(LONGEST))
    }

    /// All that go back, and by whose account they were taken. The next claim takes none beforehand.
    pub(super) fn give_up(&mut self) -> Option<(Arc<Account>, Vec<Leased>)> {
        self.demand = Demand::default();
        let messages: Vec<_> = self.messages.drain(..).map(|(_, leased)| leased).collect();
        self.account.take().filter(|_| !messages.is_empty()).map(|account| (account, messages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_beforehand_where_the_upstream_is_quick() {
        let mut demand = Demand::default();
        assert_eq!(demand.enough(20), 0, "nothing is known");
        demand.claim_begins();
        assert_eq!(demand.enough(20), 0);
        demand.used();
        assert_eq!(demand.enough(20), 20);
        demand.claim_begins();
        demand.rests();
        // Whoever becomes free now did not wait for the claim.
        demand.used();
        assert_eq!(demand.enough(20), 0, "the upstream has become slow");
    }
}
