//! Remembers for a short time which passwords were right.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::Moment;

/// How long a password that was right is believed.
const BELIEVED: Duration = Duration::from_mins(5);
/// Logins that are remembered at most.
const MAX_LOGINS: usize = 1024;

/// Digests of user and password, with a key that nobody else has, and until when they are believed.
#[derive(Debug, Default)]
pub(in crate::policy) struct Cache(Mutex<HashMap<[u8; 32], Moment>>);

impl Cache {
    /// Whether this login was right lately.
    pub(in crate::policy) fn holds(&self, login: &[u8; 32], now: Moment) -> bool {
        let logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.get(login).is_some_and(|until| now < *until)
    }

    /// This login is right.
    pub(in crate::policy) fn remember(&self, login: [u8; 32], now: Moment) {
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= MAX_LOGINS {
            logins.retain(|_, until| now < *until);
        }
        if logins.len() < MAX_LOGINS {
            logins.insert(login, now.after(BELIEVED));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_for_five_minutes_and_stays_small() {
        let cache = Cache::default();
        cache.remember([1; 32], Moment(0));
        assert!(cache.holds(&[1; 32], Moment(299_999)));
        assert!(!cache.holds(&[1; 32], Moment(300_000)) && !cache.holds(&[2; 32], Moment(0)));
        let login = |i: usize| {
            let mut login = [0; 32];
            login[..8].copy_from_slice(&i.to_le_bytes());
            login
        };
        for i in 0..MAX_LOGINS * 2 {
            cache.remember(login(i), Moment(300_000));
        }
        assert_eq!(cache.0.lock().unwrap().len(), MAX_LOGINS);
        cache.remember(login(MAX_LOGINS * 2), Moment(600_000));
        assert!(cache.holds(&login(MAX_LOGINS * 2), Moment(600_000)));
        assert_eq!(cache.0.lock().unwrap().len(), 1);
    }
}
