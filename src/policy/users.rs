//! Who may log in: passwords are checked here, off the async threads, a few at a time.
//!
//! An unknown user and a wrong password get the same answer after the same time: the same work is done for both, and the
//! answer of a failure comes at a set time after the attempt. A password that was right is remembered for five
//! minutes, as a digest with a key of this process, so that a program that logs in for every message does not cost a
//! hash each time; a reload forgets it.

mod cache;
mod credential;
mod scram_shapes;
mod secret;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use argon2::Params;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

pub use crate::config::ScramVerifier;
pub use credential::{NotHashed, argon2id_hash, scram_verifier};
pub use secret::LoginSecret;

pub(super) use cache::Cache;
pub(super) use credential::Keyed;

use super::lockout::{Lockout, NameDigest};
use crate::config::{ByteSize, Config, Session, User};
use crate::smtp::Reply;
use crate::time::{Moment, Timeline};
use credential::Credential;
use scram_shapes::ScramShapes;

/// Passwords that are checked at the same time: each takes about 20 MiB and a processor.
const PARALLEL: usize = 2;
/// Logins that may wait for that.
const WAITING: usize = 64;
/// How long one waits at most.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The largest content that is taken, from this user if somebody has logged in.
#[must_use]
pub fn max_message_size(session: &Session, user: Option<&User>) -> ByteSize {
    let all = session.max_message_size;
    user.and_then(|user| user.max_message_size).map_or(all, |own| own.min(all))
}

/// A user who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The name as the configuration has it.
    pub name: Arc<str>,
}

/// Where somebody wants to log in: whom the lock-out counts, and what the log says.
#[derive(Debug, Clone)]
pub struct LoginOrigin {
    /// The client's address.
    pub client: IpAddr,
    /// The session's name in the log.
    pub session: String,
    /// Where the client came in.
    pub listener: SocketAddr,
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginRefused {
    /// The client's fault; nobody is told which of both it was.
    #[error("wrong user name or password")]
    Wrong,
    /// The client's fault: it failed too often.
    #[error("too many failed logins, try again in {} seconds", .wait.as_secs() + 1)]
    LockedOut {
        /// When it may try again.
        wait: Duration,
    },
    /// Ours: too many want to log in at the same time.
    #[error("too many logins at once, try again later")]
    Busy,
}

impl LoginRefused {
    /// What the client is told (RFC 4954 6).
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, status) = match self {
            Self::Wrong => (535, (5, 7, 8)),
            Self::LockedOut { .. } | Self::Busy => (454, (4, 7, 0)),
        };
        Reply::new(code, status, self.to_string())
    }

    /// The word for it in the log.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Wrong => "credentials",
            Self::LockedOut { .. } => "locked_out",
            Self::Busy => "busy",
        }
    }
}

/// The users of one configuration.
#[derive(Debug)]
pub struct Users {
    /// By the name in lower case.
    accounts: HashMap<String, Arc<KnownUser>>,
    /// Stands in for a user that is not there.
    nobody: Arc<KnownUser>,
    key: Secret,
    shapes: ScramShapes,
    /// What a wrong password costs whoever has no argon2id hash.
    cost: Params,
    cache: Cache,
    shared: LoginState,
}

/// What outlives a reload.
#[derive(Debug, Clone)]
struct LoginState {
    lockout: Arc<Lockout>,
    /// For the digests of names that the lock-out remembers, and what SCRAM shows of names.
    secret: LoginSecret,
    parallel: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    timeline: Timeline,
}

#[derive(Debug)]
struct KnownUser {
    name: Arc<str>,
    /// What the configuration grants; `None` for nobody.
    user: Option<Arc<User>>,
    credential: Credential,
}

impl KnownUser {
    /// The name, as the log may have it; that of nobody may be a password in the wrong field.
    fn known_name(&self) -> Option<&str> {
        Some(&*self.name).filter(|name| !name.is_empty())
    }
}

impl Users {
    /// Takes the users of a configuration; nobody has failed to log in yet.
    #[must_use]
    pub fn new(config: &Config, secret: LoginSecret, timeline: Timeline) -> Self {
        let shared = LoginState {
            lockout: Arc::new(Lockout::new(timeline.clone())),
            secret,
            parallel: Arc::new(Semaphore::new(PARALLEL)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            timeline,
        };
        Self::with(config, shared)
    }

    /// Takes the users of another configuration. Who is locked out stays so; passwords that were right are forgotten.
    #[must_use]
    pub fn reloaded(&self, config: &Config) -> Self {
        Self::with(config, self.shared.clone())
    }

    fn with(config: &Config, shared: LoginState) -> Self {
        let key: [u8; 32] = rand::random();
        let shapes = ScramShapes::new(config, shared.secret.clone());
        let account = |user: &User| {
            let lower = user.name.to_lowercase();
            let shape = shapes.of(&lower);
            let scram = shapes.is_offered().then(|| (shape.iterations, shapes.salt(&lower, shape)));
            let credential = Credential::new(user, &key, scram);
            let (name, user) = (user.name.as_str().into(), Some(Arc::new(user.clone())));
            (lower, Arc::new(KnownUser { name, user, credential }))
        };
        let accounts: HashMap<_, _> = config.users.iter().map(account).collect();
        // The cost of a hash that somebody has, so that nobody can be told from it.
        let cost =
            accounts.values().filter_map(|account| account.credential.cost()).max_by_key(Params::m_cost);
        Self {
            accounts,
            nobody: Arc::new(KnownUser { name: "".into(), user: None, credential: Credential::Nothing }),
            key: Secret(key),
            shapes,
            cost: cost.unwrap_or_default(),
            cache: Cache::default(),
            shared,
        }
    }

    /// Whether nobody can log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Whether SCRAM-SHA-256 is offered: when a verifier for it is stored.
    #[must_use]
    pub fn offers_scram(&self) -> bool {
        self.shapes.is_offered()
    }

    /// What the configuration grants to a user; `None` when a reload has removed the user since the login.
    #[must_use]
    pub fn granted(&self, user: &LoggedIn) -> Option<Arc<User>> {
        self.accounts.get(&user.name.to_lowercase()).and_then(|account| account.user.clone())
    }

    /// Checks a password.
    ///
    /// A failure is counted even when this is dropped before it has an answer; its answer comes late.
    ///
    /// # Errors
    /// When it is wrong, when the client failed too often, or when too many log in at once.
    pub async fn plain(
        &self,
        origin: &LoginOrigin,
        name: &str,
        password: SecretString,
    ) -> Result<LoggedIn, LoginRefused> {
        let client = origin.client;
        let attempt = self.attempt(client, name)?;
        let login = Keyed::of(
            &self.key.0,
            &[b"login", attempt.lower.as_bytes(), password.expose_secret().as_bytes()],
        )
        .octets();
        if self.cache.holds(&login, self.shared.now()) {
            return attempt.outcome(origin, &self.shared, Ok(())).await;
        }
        let turn = self.shared.turn().await?;
        // Others may have failed while we waited.
        self.shared.permit(client, &attempt.digest)?;
        let (account, shared) = (attempt.account.clone(), self.shared.clone());
        let (digest, key, cost) = (attempt.digest, self.key.0, self.cost.clone());
        let check = move || {
            let _turn = turn;
            let right = account.credential.verify(&password, &key, &cost);
            // Here, so that hanging up does not help.
            (!right).then(|| shared.lockout.failed(client, &digest, account.known_name()))
        };
        let delay = tokio::task::spawn_blocking(check).await.map_err(|_| LoginRefused::Busy)?;
        if delay.is_none() {
            self.cache.remember(login, self.shared.now());
        }
        let checked = delay.map_or(Ok(()), |delay| Err(WrongLogin { delay, reason: "password" }));
        attempt.outcome(origin, &self.shared, checked).await
    }

    /// What a SCRAM-SHA-256 login of this user is checked against. For a user who has nothing of the kind, or is not
    /// there, something that is the same each time and no password fits.
    #[must_use]
    pub fn scram(&self, name: &str) -> ScramVerifier {
        let lower = name.to_lowercase();
        // Made for everybody: the time that it takes tells nothing.
        let made_up = self.shapes.verifier(&lower);
        let verifier = self.accounts.get(&lower).and_then(|account| account.credential.scram());
        verifier.cloned().unwrap_or(made_up)
    }

    /// Ends a SCRAM-SHA-256 login: `ok` tells whether the client's proof was right.
    ///
    /// To be called before the server's signature is sent.
    ///
    /// # Errors
    /// When it was not, or the client failed too often before.
    pub async fn scram_done(
        &self,
        origin: &LoginOrigin,
        name: &str,
        ok: bool,
    ) -> Result<LoggedIn, LoginRefused> {
        let attempt = self.attempt(origin.client, name)?;
        let failed = |reason| {
            let delay =
                self.shared.lockout.failed(origin.client, &attempt.digest, attempt.account.known_name());
            Err(WrongLogin { delay, reason })
        };
        let checked = match attempt.account.credential.scram() {
            Some(_) if ok => Ok(()),
            Some(_) => failed("password"),
            None => failed("no_scram_verifier"),
        };
        attempt.outcome(origin, &self.shared, checked).await
    }

    fn attempt(&self, client: IpAddr, name: &str) -> Result<LoginAttempt, LoginRefused> {
        let started = Instant::now();
        let lower = name.to_lowercase();
        let digest = Keyed::of(self.shared.secret.octets(), &[b"name", lower.as_bytes()]).octets();
        self.shared.permit(client, &digest)?;
        let account = self.accounts.get(&lower).unwrap_or(&self.nobody).clone();
        Ok(LoginAttempt { started, lower, digest, account })
    }
}

/// A login under way.
struct LoginAttempt {
    started: Instant,
    /// The name in lower case.
    lower: String,
    /// The digest of that, for the lock-out.
    digest: NameDigest,
    account: Arc<KnownUser>,
}

/// A login that failed.
struct WrongLogin {
    /// How long after the attempt its answer may come.
    delay: Duration,
    /// The word for it in the log, where the user is known.
    reason: &'static str,
}

impl LoginAttempt {
    /// Notes how the login has ended, and answers: at once when it was right, else after the delay (or a multiple of it)
    /// since it began.
    async fn outcome(
        self,
        origin: &LoginOrigin,
        shared: &LoginState,
        checked: Result<(), WrongLogin>,
    ) -> Result<LoggedIn, LoginRefused> {
        let name = self.account.name.clone();
        let Err(WrongLogin { delay, reason }) = checked else {
            shared.lockout.succeeded(origin.client, &self.digest);
            return Ok(LoggedIn { name });
        };
        // A name that is not known is not logged: it may be a password in the wrong field.
        let user = self.account.known_name();
        tracing::info!(
            event = "login_failed",
            session = origin.session,
            client = %origin.client,
            listener = %origin.listener,
            user,
            reason = if user.is_some() { reason } else { "unknown_user" },
        );
        // A slow machine takes longer for some users than for others: not to the millisecond, but to whole delays.
        let behind = self.started.elapsed().as_millis() / delay.as_millis().max(1);
        sleep_until(self.started + delay.saturating_mul(behind as u32 + 1)).await;
        Err(LoginRefused::Wrong)
    }
}

impl LoginState {
    fn now(&self) -> Moment {
        self.timeline.now()
    }

    fn permit(&self, client: IpAddr, digest: &NameDigest) -> Result<(), LoginRefused> {
        self.lockout.locked(client, digest).map_or(Ok(()), |wait| Err(LoginRefused::LockedOut { wait }))
    }

    /// Waits until a password can be checked, not for long, and only when few others wait.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, LoginRefused> {
        let _place = self.waiting.try_acquire().map_err(|_| LoginRefused::Busy)?;
        let turn = timeout(LONGEST_WAIT, self.parallel.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(LoginRefused::Busy)
    }
}

/// A key that is not shown.
struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests;
