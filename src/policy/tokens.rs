//! Who may come in at the console's address by an API token: checked here, what takes long off the async threads, one try of a
//! client at a time.
//!
//! A wrong token costs its client time: the next try that costs anything is not begun before the answer of the last one was
//! due, whether the client waits for that or hangs up. Nobody is locked out: programs with a right token often share an
//! address with one whose token has changed. A token that is checked by SHA-256 is random, and can't be guessed at any speed;
//! so it never waits, and neither does one that was right of late from the same client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::strikes::{Leniency, Strikes};
use super::users::{Cache, Keyed};
use crate::config::{ApiRole, ApiToken, TokenHash};
use crate::mail::ClientNetwork;
use crate::time::Timeline;

/// How long failures count. No pauses follow them: the delays are enough.
const FAILURES: Leniency = Leniency {
    allowed: u32::MAX,
    first: Duration::ZERO,
    longest: Duration::ZERO,
    memory: Duration::from_hours(1),
};
/// How long the first failure waits for its answer; each further one doubles it.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest wait for an answer.
const LONGEST_DELAY: Duration = Duration::from_secs(8);
/// Hashes at the same time: each takes about 20 MiB and a processor.
const PARALLEL: usize = 2;
/// How long a try waits at most until it is begun.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHolder {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// What it lets in to.
    pub role: ApiRole,
}

/// Why a token does not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefused {
    /// The client's fault: it is nobody's.
    #[error("this token is not known: see [[api_token]] in the configuration")]
    Wrong,
    /// Too many tokens from there are being checked.
    #[error("too many tokens from this client wait to be checked")]
    Busy,
}

/// The tokens of one configuration.
#[derive(Debug)]
pub struct ApiTokens {
    known: Vec<KnownToken>,
    /// Of this process and this configuration.
    key: DigestKey,
    cache: Arc<Cache>,
    shared: Arc<TokenTries>,
}

#[derive(Debug)]
struct KnownToken {
    holder: TokenHolder,
    hash: TokenHash,
}

/// What outlives a reload.
#[derive(Debug)]
struct TokenTries {
    failures: Strikes<ClientNetwork>,
    /// A turn for each client that has tries under way.
    turns: Mutex<HashMap<ClientNetwork, Weak<Semaphore>>>,
    hashing: Arc<Semaphore>,
    timeline: Timeline,
}

impl ApiTokens {
    /// The tokens of a configuration; nobody has tried one yet.
    #[must_use]
    pub fn new(tokens: &[ApiToken], timeline: Timeline) -> Self {
        let shared = TokenTries {
            failures: Strikes::new(FAILURES, timeline.clone()),
            turns: Mutex::default(),
            hashing: Arc::new(Semaphore::new(PARALLEL)),
            timeline,
        };
        Self::with(tokens, Arc::new(shared))
    }

    /// The tokens of another configuration. Failures are remembered; what was right is forgotten.
    #[must_use]
    pub fn reloaded(&self, tokens: &[ApiToken]) -> Self {
        Self::with(tokens, self.shared.clone())
    }

    fn with(tokens: &[ApiToken], shared: Arc<TokenTries>) -> Self {
        let known = |token: &ApiToken| KnownToken {
            holder: TokenHolder { name: token.name.as_str().into(), role: token.role },
            hash: token.hash.clone(),
        };
        let known = tokens.iter().map(known).collect();
        Self { known, key: DigestKey(rand::random()), cache: Arc::default(), shared }
    }

    /// Checks a token. The answer of a failure comes late, and is counted though nobody waits for it.
    ///
    /// # Errors
    /// When it is nobody's, or too many from that client wait.
    pub async fn check(&self, client: IpAddr, token: SecretString) -> Result<TokenHolder, TokenRefused> {
        let network = ClientNetwork::of(client);
        if let Some(holder) = self.of_digest(&token).or_else(|| self.of_cache(network, &token)) {
            return Ok(holder.clone());
        }
        let turn = self.shared.turn(network).await?;
        let slow: Vec<(usize, SecretString)> = self.slow().map(|(at, hash, _)| (at, hash.clone())).collect();
        let found = if slow.is_empty() { None } else { self.shared.hashed(slow, token.clone()).await? };
        if let Some(at) = found {
            let holder = &self.known[at].holder;
            self.cache.remember(self.cached(network, holder, &token), self.shared.timeline.now());
            return Ok(holder.clone());
        }
        let strike = self.shared.failures.strike(network);
        let delay = FIRST_DELAY.saturating_mul(1 << (strike.number - 1).min(8)).min(LONGEST_DELAY);
        tracing::info!(event = "token_refused", %client, delay = ?delay);
        // A task of its own: the next try waits, also when the client of this one hangs up.
        let delayed = tokio::spawn(async move {
            sleep(delay).await;
            drop(turn);
        });
        let _ = delayed.await;
        Err(TokenRefused::Wrong)
    }

    /// Whose token it is by its SHA-256. All are compared, each in constant time.
    fn of_digest(&self, token: &SecretString) -> Option<&TokenHolder> {
        let digest = Sha256::digest(token.expose_secret().as_bytes());
        self.known.iter().fold(None, |found, known| match &known.hash {
            TokenHash::Sha256(hash) if verify_slices_are_equal(hash, &digest).is_ok() => Some(&known.holder),
            TokenHash::Sha256(_) | TokenHash::Argon2id(_) => found,
        })
    }

    /// Whose token it is that was right of late from there.
    fn of_cache(&self, network: ClientNetwork, token: &SecretString) -> Option<&TokenHolder> {
        let now = self.shared.timeline.now();
        let holds = |holder: &&TokenHolder| self.cache.holds(&self.cached(network, holder, token), now);
        self.slow().map(|(_, _, holder)| holder).find(holds)
    }

    fn cached(&self, network: ClientNetwork, holder: &TokenHolder, token: &SecretString) -> [u8; 32] {
        let network = network.to_string();
        let parts = [network.as_bytes(), holder.name.as_bytes(), token.expose_secret().as_bytes()];
        Keyed::of(&self.key.0, &parts).octets()
    }

    /// Those that are hashed with argon2id, with their places.
    fn slow(&self) -> impl Iterator<Item = (usize, &SecretString, &TokenHolder)> {
        self.known.iter().enumerate().filter_map(|(at, known)| match &known.hash {
            TokenHash::Argon2id(hash) => Some((at, hash, &known.holder)),
            TokenHash::Sha256(_) => None,
        })
    }
}

impl TokenTries {
    /// The turn of a client: one try at a time.
    async fn turn(&self, network: ClientNetwork) -> Result<OwnedSemaphorePermit, TokenRefused> {
        let turns = {
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // They are as many as have connections; those that have gone leave no trace.
            all.retain(|_, turns| turns.strong_count() > 0);
            let known = all.get(&network).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turns = Arc::new(Semaphore::new(1));
                all.insert(network, Arc::downgrade(&turns));
                turns
            })
        };
        let turn = timeout(LONGEST_WAIT, turns.acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(TokenRefused::Busy)
    }

    /// The first of these hashes that is the token's. Blocks a thread that is there for it.
    async fn hashed(
        &self,
        hashes: Vec<(usize, SecretString)>,
        token: SecretString,
    ) -> Result<Option<usize>, TokenRefused> {
        let place = timeout(LONGEST_WAIT, self.hashing.clone().acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or(TokenRefused::Busy)?;
        let check = move || {
            let _place = place;
            let is_its = |hash: &SecretString| {
                let hash = PasswordHash::new(hash.expose_secret());
                let octets = token.expose_secret().as_bytes();
                hash.is_ok_and(|hash| Argon2::default().verify_password(octets, &hash).is_ok())
            };
            hashes.iter().find(|(_, hash)| is_its(hash)).map(|(at, _)| *at)
        };
        tokio::task::spawn_blocking(check).await.map_err(|_| TokenRefused::Busy)
    }
}

/// A key that is not shown.
struct DigestKey([u8; 32]);

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestKey")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::bucket::tests::Hands;
    use super::super::users::argon2id_hash;
    use super::*;

    fn tokens(hands: &Hands) -> ApiTokens {
        let slow = argon2id_hash(&"slow-one".into()).unwrap();
        let token = |name: &str, hash, role| ApiToken { name: name.to_owned(), hash, role };
        let fast = TokenHash::Sha256(Sha256::digest(b"fast-one").into());
        let all = [
            token("monitoring", fast, ApiRole::Viewer),
            token("person", TokenHash::Argon2id(slow.into()), ApiRole::Admin),
        ];
        ApiTokens::new(&all, hands.timeline())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn tells_whose_a_token_is() {
        let tokens = tokens(&Hands::new());
        let check = |token: &'static str| tokens.check(ip("192.0.2.1"), token.into());
        let holder = |name: &str, role| Ok(TokenHolder { name: name.into(), role });
        assert_eq!(check("fast-one").await, holder("monitoring", ApiRole::Viewer));
        assert_eq!(check("slow-one").await, holder("person", ApiRole::Admin));
        for wrong in ["", "fast-on", "fast-one ", "Slow-one"] {
            assert_eq!(check(wrong).await, Err(TokenRefused::Wrong), "{wrong}");
        }
        let none = tokens.reloaded(&[]);
        assert_eq!(none.check(ip("192.0.2.1"), "slow-one".into()).await, Err(TokenRefused::Wrong));
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_ones_wait_longer_and_longer() {
        let tokens = tokens(&Hands::new());
        for (client, seconds) in [("192.0.2.1", [1, 2, 4, 8, 8]), ("192.0.2.2", [1, 2, 4, 8, 8])] {
            for want in seconds {
                let begun = Instant::now();
                assert_eq!(tokens.check(ip(client), "no".into()).await, Err(TokenRefused::Wrong));
                assert_eq!(begun.elapsed().as_secs(), want, "{client}");
            }
        }
        // Whoever has a random token never waits for that, nor who was in of late.
        let begun = Instant::now();
        assert!(tokens.check(ip("192.0.2.1"), "fast-one".into()).await.is_ok());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_up_does_not_shorten_the_wait() {
        let tokens = Arc::new(tokens(&Hands::new()));
        let begun = Instant::now();
        let first = tokio::spawn({
            let tokens = tokens.clone();
            async move { tokens.check(ip("2001:db8::1"), "no".into()).await }
        });
        while tokens.shared.failures.len() == 0 {
            tokio::task::yield_now().await;
        }
        first.abort();
        let _ = first.await;
        // The same host by another of its addresses: a second for the first try, two for its own.
        let second = tokens.check(ip("2001:db8::2"), "no".into()).await;
        assert_eq!((second, begun.elapsed().as_secs()), (Err(TokenRefused::Wrong), 3));
        assert_eq!(tokens.shared.turns.lock().unwrap().len(), 1);
    }
}
