//! Failed logins: each delays its answer, and too many lock out for a time.
//!
//! They are counted per client address, and per pair of user and client address; never per user alone, so that nobody
//! can lock a user out from elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::bucket::{Buckets, Taken, neighbourhood};
use crate::time::{Moment, Timeline};

/// Failed logins of one user from one address until that pair is locked out.
const PAIR_FAILURES: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
/// After this time a pair may try once more.
const PAIR_REFILL: Duration = Duration::from_secs(60);
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
enum Who {
    Address(IpAddr),
    Pair(IpAddr, [u8; 32]),
}

/// Counts failed logins.
#[derive(Debug)]
pub struct Lockout {
    failures: Buckets<Who>,
    addresses: Buckets<IpAddr>,
    locks: Mutex<HashMap<Who, Moment>>,
    clock: Clock,
}

/// The time line; it has no form to show.
struct Clock(Timeline);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Lockout {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(timeline: Timeline) -> Self {
        Self {
            failures: Buckets::new(PAIR_FAILURES, PAIR_REFILL, timeline.clone()),
            addresses: Buckets::new(ADDRESS_FAILURES, ADDRESS_REFILL, timeline.clone()),
            locks: Mutex::default(),
            clock: Clock(timeline),
        }
    }

    /// How long this client must wait before it may try to log in as this user; `None` when it may now.
    ///
    /// `user` is a digest of the name.
    #[must_use]
    pub fn locked(&self, client: IpAddr, user: &[u8; 32]) -> Option<Duration> {
        let now = self.clock.0.now();
        let address = neighbourhood(client);
        let locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let until = [Who::Address(address), Who::Pair(address, *user)]
            .iter()
            .filter_map(|who| locks.get(who))
            .max()?;
        (*until > now).then(|| until.since(now))
    }

    /// Counts a failed login. Returns how long after the attempt its answer may come.
    pub fn failed(&self, client: IpAddr, user: &[u8; 32]) -> Duration {
        let now = self.clock.0.now();
        let address = neighbourhood(client);
        let pair = Who::Pair(address, *user);
        let failures = match self.failures.take(&pair) {
            Taken::Left(left) => {
                if left == 0 {
                    self.lock(pair, now.after(PAIR_REFILL), now, client);
                }
                PAIR_FAILURES.get() - left.min(PAIR_FAILURES.get())
            }
            Taken::Empty { until } => {
                self.lock(pair, until, now, client);
                PAIR_FAILURES.get()
            }
        };
        match self.addresses.take(&address) {
            Taken::Left(0) => self.lock(Who::Address(address), now.after(ADDRESS_REFILL), now, client),
            Taken::Left(_) => {}
            Taken::Empty { until } => self.lock(Who::Address(address), until, now, client),
        }
        FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_DELAY)
    }

    fn lock(&self, who: Who, until: Moment, now: Moment, client: IpAddr) {
        let scope = if matches!(who, Who::Address(_)) { "address" } else { "user and address" };
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
