//! Failed logins: each delays its answer, and too many lock out for a time, which grows.
//!
//! Guesses at one name lock that name from that client. Guesses at many names lock, from that client, all names that
//! have never logged in from there: since the relay was started, which is not kept over a restart. The failures are not
//! either, so who works there has logged in again long before a guesser has used up as many names anew; to keep it, each
//! login would be a write, and who comes from where would lie on the disk. So nobody guesses without limit, and a stranger behind the same NAT, or behind the
//! proxy of a container, does not lock out those who work there. Nothing is counted per name alone: nobody locks a user
//! out from elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::MAX_KEYS;
use super::strikes::{Leniency, Strikes};
use crate::mail::ClientNetwork;
use crate::time::{Moment, Timeline};

/// Guesses at one name from one client.
const NAME: Leniency = Leniency {
    allowed: 5,
    first: Duration::from_mins(1),
    longest: Duration::from_mins(15),
    memory: Duration::from_hours(24),
};
/// Names that one client guesses at without having logged in by them.
const NAMES: Leniency = Leniency {
    allowed: 20,
    first: Duration::from_secs(30),
    longest: Duration::from_mins(15),
    memory: Duration::from_hours(1),
};
/// How long the first failure waits for its answer; each further one doubles it.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest wait for an answer.
const LONGEST_DELAY: Duration = Duration::from_secs(8);

/// A name, as a digest: it is of bounded size, and may be a password typed into the wrong field.
pub(super) type NameDigest = [u8; 32];

/// A name, and the client that logs in by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ClientName(ClientNetwork, NameDigest);

/// Counts failed logins.
#[derive(Debug)]
pub struct Lockout {
    names: Strikes<ClientName>,
    clients: Strikes<ClientNetwork>,
    logins: KnownLogins,
    timeline: Timeline,
}

impl Lockout {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(timeline: Timeline) -> Self {
        Self {
            names: Strikes::new(NAME, timeline.clone()),
            clients: Strikes::new(NAMES, timeline.clone()),
            logins: KnownLogins::default(),
            timeline,
        }
    }

    /// How long this client must wait before it may try to log in by this name; `None` when it may now.
    #[must_use]
    pub fn locked(&self, client: IpAddr, name: &NameDigest) -> Option<Duration> {
        let who = ClientName(ClientNetwork::of(client), *name);
        let for_all = if self.logins.has(&who) { None } else { self.clients.pause(&who.0) };
        self.names.pause(&who).max(for_all)
    }

    /// Counts a failed login; `user` is who has that name, for the log. Returns how long after the attempt its answer may
    /// come.
    pub fn failed(&self, client: IpAddr, name: &NameDigest, user: Option<&str>) -> Duration {
        let who = ClientName(ClientNetwork::of(client), *name);
        let strike = self.names.strike(who);
        if let Some(pause) = strike.pause {
            log_locked(client, user, "this name from this client", pause);
        }
        // Further guesses at the same name are the name's affair.
        if strike.number == 1
            && !self.logins.has(&who)
            && let Some(pause) = self.clients.strike(who.0).pause
        {
            log_locked(client, None, "names that have not logged in from this client", pause);
        }
        FIRST_DELAY.saturating_mul(1 << (strike.number - 1).min(8)).min(LONGEST_DELAY)
    }

    /// A login has succeeded: its failures are forgiven, and guesses at other names do not lock it.
    pub fn succeeded(&self, client: IpAddr, name: &NameDigest) {
        let who = ClientName(ClientNetwork::of(client), *name);
        self.names.forgive(&who);
        self.logins.note(who, self.timeline.now());
    }
}

fn log_locked(client: IpAddr, user: Option<&str>, reason: &str, pause: Duration) {
    tracing::warn!(event = "locked_out", client = %client, user, reason, delay = ?pause);
}

/// Who has logged in from where, since the relay was started, and when last.
#[derive(Debug, Default)]
struct KnownLogins(Mutex<HashMap<ClientName, Moment>>);

impl KnownLogins {
    fn has(&self, who: &ClientName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(who)
    }

    /// Notes a login. When there are too many, those that are not used any more go.
    fn note(&self, who: ClientName, now: Moment) {
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= MAX_KEYS && !logins.contains_key(&who) {
            let mut moments: Vec<Moment> = logins.values().copied().collect();
            let (_, median, _) = moments.select_nth_unstable(MAX_KEYS / 2);
            let median = *median;
            logins.retain(|_, last| *last > median);
        }
        logins.insert(who, now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::tests::Hands;
    use super::*;

    const ANNA: NameDigest = [1; 32];
    const BERT: NameDigest = [2; 32];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn name(number: u32) -> NameDigest {
        let mut name = [0xff; 32];
        name[..4].copy_from_slice(&number.to_be_bytes());
        name
    }

    /// Guesses at one new name after the other until one is locked; returns how many.
    fn guess_names(lockout: &Lockout, client: IpAddr, from: u32) -> u32 {
        let mut number = from;
        while lockout.locked(client, &name(number)).is_none() {
            let _ = lockout.failed(client, &name(number), None);
            number += 1;
        }
        number - from
    }

    #[test]
    fn guesses_at_one_name_lock_that_name_from_there() {
        let hands = Hands::new();
        let lockout = Lockout::new(hands.timeline());
        let (bad, good) = (ip("192.0.2.1"), ip("192.0.2.2"));
        // Nor does it help to have been let in before.
        lockout.succeeded(bad, &ANNA);
        let mut delays = Vec::new();
        for _ in 0..NAME.allowed {
            assert_eq!(lockout.locked(bad, &ANNA), None);
            delays.push(lockout.failed(bad, &ANNA, None).as_secs());
        }
        assert_eq!(delays, [1, 2, 4, 8, 8]);
        for minutes in [1, 2, 4, 8, 15, 15] {
            let pause = Duration::from_mins(minutes);
            assert_eq!(lockout.locked(bad, &ANNA), Some(pause));
            assert_eq!(lockout.locked(good, &ANNA), None, "the same user from elsewhere");
            assert_eq!(lockout.locked(bad, &BERT), None, "another user from there");
            hands.advance(pause.checked_sub(Duration::from_millis(1)).unwrap());
            assert!(lockout.locked(bad, &ANNA).is_some());
            hands.advance(Duration::from_millis(1));
            assert_eq!(lockout.locked(bad, &ANNA), None);
            assert_eq!(lockout.failed(bad, &ANNA, None), LONGEST_DELAY, "one more try, not five");
        }
        lockout.succeeded(bad, &ANNA);
        assert_eq!(lockout.failed(bad, &ANNA, None), FIRST_DELAY, "all is forgiven");
    }

    #[test]
    fn guesses_at_many_names_lock_those_that_never_logged_in_from_there() {
        let hands = Hands::new();
        let lockout = Lockout::new(hands.timeline());
        let nat = ip("192.0.2.1");
        lockout.succeeded(nat, &ANNA);
        assert_eq!(guess_names(&lockout, nat, 0), NAMES.allowed);
        assert_eq!(lockout.locked(nat, &ANNA), None, "who works there goes on");
        assert_eq!(lockout.locked(nat, &BERT), Some(NAMES.first));
        assert_eq!(lockout.locked(ip("192.0.2.2"), &BERT), None);
        // Who works there may mistype all the same, and is locked by its own mistakes alone.
        for _ in 0..NAME.allowed {
            assert_eq!(lockout.locked(nat, &ANNA), None);
            let _ = lockout.failed(nat, &ANNA, None);
        }
        assert_eq!(lockout.locked(nat, &ANNA), Some(NAME.first));
        for (number, seconds) in [30, 60, 120, 240, 480, 900, 900].into_iter().enumerate() {
            assert_eq!(lockout.locked(nat, &BERT), Some(Duration::from_secs(seconds)));
            hands.advance(Duration::from_secs(seconds));
            assert_eq!(guess_names(&lockout, nat, 1000 + number as u32), 1, "one more name, not twenty");
        }
    }

    #[test]
    fn a_mistyped_printer_is_one_name_however_often_it_tries() {
        let hands = Hands::new();
        let lockout = Lockout::new(hands.timeline());
        for _ in 0..500 {
            if lockout.locked(ip("192.0.2.1"), &ANNA).is_none() {
                let _ = lockout.failed(ip("192.0.2.1"), &ANNA, None);
            }
            assert_eq!(lockout.locked(ip("192.0.2.1"), &BERT), None);
            hands.advance(Duration::from_mins(1));
        }
    }

    #[test]
    fn a_host_with_many_addresses_is_one_client() {
        let lockout = Lockout::new(Hands::new().timeline());
        for number in 0..NAMES.allowed {
            let client = ip(&format!("2001:db8::{number:x}"));
            assert_eq!(lockout.locked(client, &name(number)), None);
            let _ = lockout.failed(client, &name(number), None);
        }
        assert_eq!(lockout.locked(ip("2001:db8::ffff"), &BERT), Some(NAMES.first));
        assert_eq!(lockout.locked(ip("2001:db8:0:1::1"), &BERT), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let hands = Hands::new();
        let lockout = Lockout::new(hands.timeline());
        for number in 0..MAX_KEYS as u32 * 2 {
            let client = IpAddr::from(number.to_be_bytes());
            let _ = lockout.failed(client, &ANNA, None);
            lockout.succeeded(client, &BERT);
            hands.advance(Duration::from_millis(1));
        }
        let logins = lockout.logins.0.lock().unwrap().len();
        assert!(logins <= MAX_KEYS && lockout.names.len() <= MAX_KEYS && lockout.clients.len() <= MAX_KEYS);
        assert!(lockout.logins.has(&ClientName(
            ClientNetwork::of(IpAddr::from((MAX_KEYS as u32 * 2 - 1).to_be_bytes())),
            BERT
        )));
    }
}
