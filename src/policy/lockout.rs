//! Failed logins: each delays its answer, and too many lock out for a time.
//!
//! Failures are counted per client address, and per pair of user and client address; never per user alone, so that
//! nobody can lock a user out from elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::bucket::{Buckets, TakeResult};
use crate::mail::ClientNetwork;
use crate::time::{Moment, Timeline};

/// Failed logins of one user from one address until that pair is locked out.
const PAIR_FAILURES: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
/// After this time a pair may try once more.
const PAIR_REFILL: Duration = Duration::from_mins(1);
/// Failed logins from one address, of any users, until that address is locked out.
const ADDRESS_FAILURES: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
/// After this time an address may try once more.
const ADDRESS_REFILL: Duration = Duration::from_secs(30);
/// How long the first failure waits for its answer; each further one doubles it.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest wait for an answer.
const LONGEST_DELAY: Duration = Duration::from_secs(8);
/// Locks that are remembered at most.
const MAX_LOCKS: usize = 16_384;

/// Who failed. The name is kept as a digest: it is of bounded size, and may be a password typed into the wrong field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum LockoutKey {
    Address(ClientNetwork),
    Pair(ClientNetwork, [u8; 32]),
}

/// Counts failed logins.
#[derive(Debug)]
pub struct Lockout {
    failures: Buckets<LockoutKey>,
    addresses: Buckets<ClientNetwork>,
    locks: Mutex<HashMap<LockoutKey, Moment>>,
    timeline: Timeline,
}

impl Lockout {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(timeline: Timeline) -> Self {
        Self {
            failures: Buckets::new(PAIR_FAILURES, PAIR_REFILL, timeline.clone()),
            addresses: Buckets::new(ADDRESS_FAILURES, ADDRESS_REFILL, timeline.clone()),
            locks: Mutex::default(),
            timeline,
        }
    }

    /// How long this client must wait before it may try to log in as this user; `None` when it may now.
    ///
    /// `user` is a digest of the name.
    #[must_use]
    pub fn locked(&self, client: IpAddr, user: &[u8; 32]) -> Option<Duration> {
        let now = self.timeline.now();
        let address = ClientNetwork::of(client);
        let locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let until = [LockoutKey::Address(address), LockoutKey::Pair(address, *user)]
            .iter()
            .filter_map(|who| locks.get(who))
            .max()?;
        (*until > now).then(|| until.since(now))
    }

    /// Counts a failed login. Returns how long after the attempt its answer may come.
    pub fn failed(&self, client: IpAddr, user: &[u8; 32]) -> Duration {
        let now = self.timeline.now();
        let address = ClientNetwork::of(client);
        let pair = LockoutKey::Pair(address, *user);
        let failures = match self.failures.take(&pair) {
            TakeResult::Left(left) => {
                if left == 0 {
                    self.lock(pair, now.after(PAIR_REFILL), now, client);
                }
                PAIR_FAILURES.get() - left.min(PAIR_FAILURES.get())
            }
            TakeResult::Empty { until } => {
                self.lock(pair, until, now, client);
                PAIR_FAILURES.get()
            }
        };
        match self.addresses.take(&address) {
            TakeResult::Left(0) => {
                self.lock(LockoutKey::Address(address), now.after(ADDRESS_REFILL), now, client);
            }
            TakeResult::Left(_) => {}
            TakeResult::Empty { until } => self.lock(LockoutKey::Address(address), until, now, client),
        }
        FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_DELAY)
    }

    fn lock(&self, who: LockoutKey, until: Moment, now: Moment, client: IpAddr) {
        let scope = if matches!(who, LockoutKey::Address(_)) { "address" } else { "user and address" };
        tracing::warn!(event = "locked_out", client = %client, reason = scope, delay = ?until.since(now));
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= MAX_LOCKS {
            locks.retain(|_, until| *until > now);
        }
        if locks.len() >= MAX_LOCKS {
            // A flood from everywhere: each answer is delayed all the same.
            locks.clear();
        }
        locks.insert(who, until);
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::tests::Hands;
    use super::*;

    const ANNA: [u8; 32] = [1; 32];
    const BERT: [u8; 32] = [2; 32];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_pair_is_locked_out_and_nobody_else() {
        let hands = Hands::new();
        let lockout = Lockout::new(hands.timeline());
        let (bad, good) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let mut delays = Vec::new();
        for _ in 0..PAIR_FAILURES.get() {
            assert_eq!(lockout.locked(bad, &ANNA), None);
            delays.push(lockout.failed(bad, &ANNA).as_secs());
        }
        assert_eq!(delays, [1, 2, 4, 8, 8]);
        assert_eq!(lockout.locked(bad, &ANNA), Some(PAIR_REFILL));
        assert_eq!(lockout.locked(good, &ANNA), None, "the same user from elsewhere");
        assert_eq!(lockout.locked(bad, &BERT), None, "another user from there");
        hands.advance(PAIR_REFILL.checked_sub(Duration::from_millis(1)).unwrap());
        assert!(lockout.locked(bad, &ANNA).is_some());
        hands.advance(Duration::from_millis(1));
        assert_eq!(lockout.locked(bad, &ANNA), None);
        assert_eq!(lockout.failed(bad, &ANNA), LONGEST_DELAY);
        assert_eq!(lockout.locked(bad, &ANNA), Some(PAIR_REFILL), "one more try, not five");
        hands.advance(PAIR_REFILL * 10);
        assert_eq!(lockout.failed(bad, &ANNA), FIRST_DELAY, "all is forgotten");
    }

    #[test]
    fn an_address_that_tries_many_users_is_locked_out() {
        let hands = Hands::new();
        let lockout = Lockout::new(hands.timeline());
        let name = |i: u32| [u8::try_from(i).unwrap(); 32];
        for i in 0..ADDRESS_FAILURES.get() {
            // One host owns the whole /64.
            let client = ip(&format!("2001:db8::{i:x}"));
            assert_eq!(lockout.locked(client, &name(i)), None);
            let _ = lockout.failed(client, &name(i));
        }
        assert_eq!(lockout.locked(ip("2001:db8::ffff"), &name(99)), Some(ADDRESS_REFILL));
        assert_eq!(lockout.locked(ip("2001:db8:0:1::1"), &name(99)), None);
        hands.advance(ADDRESS_REFILL);
        assert_eq!(lockout.locked(ip("2001:db8::1"), &name(99)), None);
    }

    #[test]
    fn a_flood_from_everywhere_stays_small() {
        let hands = Hands::new();
        let lockout = Lockout::new(hands.timeline());
        for i in 0..(MAX_LOCKS as u32 + 10) {
            let client = IpAddr::from(i.to_be_bytes());
            lockout.lock(
                LockoutKey::Address(ClientNetwork::of(client)),
                Moment(i64::MAX),
                hands.timeline().now(),
                client,
            );
        }
        assert!(lockout.locks.lock().unwrap().len() <= MAX_LOCKS);
    }
}
