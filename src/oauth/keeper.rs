//! The task that keeps the tokens of one sign-in fresh. It alone asks its provider, one request at a time.
//!
//! A new refresh token is committed before anything that came with it is given out: whoever dies in between dies with
//! the old one stored, which Microsoft still takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::{mpsc, watch};

use super::answer::Issued;
use super::endpoint::TokenEndpoint;
use super::error::TokenRequestError;
use super::expiring::{ExpiryWatch, LOOK_EVERY, deadlines};
use super::grant::{self, AcceptError, Granted, KnownGrant, SignInGrant, client_fingerprint};
use super::keeper_log as log;
use super::kept::{Kept, pause};
use super::sealing::Seal;
use super::seat::{KeeperCommand, Seat, TokenKey};
use super::status::{SignInStatus, TokenStatus};
use super::token::{Renewal, TokenOrigin, TokenState};
use crate::config::SignIn;
use crate::store::{GrantChange, NewGrant, SignInStore, StoreError, StoredGrant};
use crate::time::{Moment, Timeline};
use crate::web::HttpClient;

/// How long the same refresh token is in use before it is noted that it still is.
const NOTE_USE: Duration = Duration::from_hours(24);
/// Of a sign-in that waits for a person: how long until somebody looks again whether it must be told that something ends.
const IDLE: Duration = LOOK_EVERY;

/// What keepers need of the world.
#[derive(Clone)]
pub(super) struct SignInServices {
    /// Where grants last.
    pub(super) store: Arc<dyn SignInStore>,
    /// How providers are reached.
    pub(super) http: Arc<dyn HttpClient>,
    /// What time it is.
    pub(super) timeline: Timeline,
}

/// The ways to a keeper.
pub(super) struct Ways {
    pub(super) commands: mpsc::Receiver<KeeperCommand>,
    pub(super) renewals: mpsc::Receiver<Renewal>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Keeps the tokens of one sign-in.
pub(super) struct Keeper {
    services: SignInServices,
    seat: Arc<Seat>,
    sign_in: Arc<SignIn>,
    seal: Seal,
    endpoint: TokenEndpoint,
    granted: Granted,
    /// Whose the tokens are that come.
    origin: TokenOrigin,
    /// The refresh token that is known, but not stored yet, and what came with it.
    unstored: Option<Unstored>,
    /// When the store is read again that could not be read.
    read_again: Moment,
    failed_reads: u32,
    kept: BTreeMap<TokenKey, Kept>,
    expiry: ExpiryWatch,
}

struct Unstored {
    tries: u32,
    due: Moment,
    came_with: Vec<(TokenKey, Issued)>,
}

impl Keeper {
    pub(super) fn new(services: SignInServices, place: Arc<Seat>, sign_in: Arc<SignIn>, seal: Seal) -> Self {
        let endpoint = TokenEndpoint::new(sign_in.clone(), services.http.clone(), services.timeline.clone());
        let (read_again, kept, expiry) = (services.timeline.now(), BTreeMap::new(), ExpiryWatch::default());
        let (granted, unstored) = (Granted::Unknown, None);
        Self {
            services,
            seat: place,
            sign_in,
            seal,
            endpoint,
            granted,
            origin: TokenOrigin::default(),
            unstored,
            read_again,
            failed_reads: 0,
            kept,
            expiry,
        }
    }

    /// Keeps them until it is told to stop. What is under way then, a request and its commit, is done first.
    pub(super) async fn run(mut self, mut ways: Ways) {
        loop {
            self.step().await;
            let wait = self.next().since(self.now());
            tokio::select! {
                () = stopped(&mut ways.stop) => return,
                () = tokio::time::sleep(wait) => {}
                () = self.seat.wanted.notified() => {}
                command = ways.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    // Nobody can use it any more.
                    None => return,
                },
                Some(renewal) = ways.renewals.recv() => self.renew(renewal).await,
            }
        }
    }

    fn now(&self) -> Moment {
        self.services.timeline.now()
    }

    /// Does all that is due.
    async fn step(&mut self) {
        self.read_grant().await;
        self.store_grant().await;
        self.follow_users();
        let now = self.now();
        let due: Vec<TokenKey> = self
            .kept
            .iter()
            .filter(|(_, kept)| kept.due().is_some_and(|due| due <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.fetch(key).await;
            self.show();
        }
        self.show();
        self.tell_what_expires();
    }

    /// When something is due next.
    fn next(&self) -> Moment {
        let idle = self.now().after(IDLE);
        let blocked = match (&self.granted, &self.unstored) {
            (Granted::Unknown, _) => Some(self.read_again),
            (_, Some(unstored)) => Some(unstored.due),
            _ => None,
        };
        let now = self.now();
        let ends = |kept: &Kept| match blocked {
            // Nothing can be asked for; but a token may end.
            Some(_) => kept.expires().filter(|expires| *expires > now),
            None => kept.next(now),
        };
        self.kept.values().filter_map(ends).chain(blocked).chain([idle]).min().unwrap_or(idle)
    }

    /// Knows the tokens that are wanted, and forgets those that nobody wants any more.
    fn follow_users(&mut self) {
        let now = self.now();
        let keys = self.seat.keys();
        self.kept.retain(|key, _| keys.contains(key));
        for key in keys {
            self.kept.entry(key).or_insert_with(|| Kept::wanted(now));
        }
    }

    /// Reads what the store has, unless that is known.
    async fn read_grant(&mut self) {
        if !matches!(self.granted, Granted::Unknown) || self.now() < self.read_again {
            return;
        }
        let stored =
            if self.sign_in.needs_grant() { self.services.store.grants().await } else { Ok(Vec::new()) };
        match stored {
            Ok(all) => {
                let own = all.into_iter().find(|stored| stored.sign_in == *self.sign_in.name);
                self.granted = Granted::read(&self.sign_in, &self.seal, own.as_ref());
                self.failed_reads = 0;
                self.rewrite(own.as_ref()).await;
            }
            Err(error) => {
                self.failed_reads += 1;
                self.read_again = self.now().after(pause(self.failed_reads));
                log::store_failed(&self.sign_in.name, &error, "what was signed in can't be read");
            }
        }
    }

    /// Stores a token encrypted that is stored plain, since there is a key by now.
    async fn rewrite(&mut self, stored: Option<&StoredGrant>) {
        if let (Granted::Known(grant), Some(stored)) = (&self.granted, stored)
            && !self.seal.is_in_force(&stored.token)
        {
            let new = self.new_grant(grant, GrantChange::Rewritten);
            if let Err(error) = self.services.store.save_grant(new).await {
                log::store_failed(
                    &self.sign_in.name,
                    &error,
                    "it stays stored without encryption until it is renewed",
                );
            }
        }
    }

    fn new_grant(&self, grant: &KnownGrant, change: GrantChange) -> NewGrant {
        grant::new_grant(&self.sign_in, &self.seal, &grant.token, change)
    }

    /// Commits the refresh token that is not stored yet, and then gives out what came with it.
    async fn store_grant(&mut self) {
        let Granted::Known(grant) = &self.granted else { return };
        if self.unstored.as_ref().is_none_or(|unstored| self.now() < unstored.due) {
            return;
        }
        let new = self.new_grant(grant, GrantChange::Renewed);
        match self.services.store.save_grant(new).await {
            Ok(stored) => self.note_stored(&stored),
            Err(error) => self.note_not_stored(&error),
        }
    }

    fn note_stored(&mut self, stored: &StoredGrant) {
        if let Granted::Known(grant) = &mut self.granted {
            grant.renewed = stored.renewed;
        }
        for (key, issued) in self.unstored.take().map(|unstored| unstored.came_with).unwrap_or_default() {
            self.give_out(&key, issued);
        }
    }

    fn note_not_stored(&mut self, error: &StoreError) {
        const EFFECT: &str =
            "the new refresh token is in memory alone; what came with it is used when it is stored";
        let now = self.now();
        let Some(unstored) = &mut self.unstored else { return };
        unstored.tries += 1;
        unstored.due = now.after(pause(unstored.tries));
        for (key, _) in &unstored.came_with {
            if let Some(kept) = self.kept.get_mut(key) {
                kept.wait("the new refresh token could not be stored", unstored.due);
            }
        }
        log::store_failed(&self.sign_in.name, error, EFFECT);
    }

    /// Asks for a token, if anything allows to.
    async fn fetch(&mut self, key: TokenKey) {
        let answer = match &self.granted {
            Granted::NotNeeded => self.endpoint.without_grant(key.resource, &key.user).await,
            Granted::Known(grant) if self.unstored.is_none() => {
                self.endpoint.refresh(&grant.token, key.resource).await
            }
            Granted::Known(_) | Granted::Unknown => return,
            Granted::Nothing(why) => {
                let why = why.clone();
                if let Some(kept) = self.kept.get_mut(&key) {
                    kept.give_up(why);
                }
                return;
            }
        };
        match answer {
            Ok(issued) => self.take(key, issued).await,
            Err(error) => self.note_failure(&key, &error),
        }
    }

    async fn take(&mut self, key: TokenKey, issued: Issued) {
        let now = self.now();
        let Granted::Known(grant) = &mut self.granted else { return self.give_out(&key, issued) };
        let next = issued.refresh.clone().filter(|next| next.expose_secret() != grant.token.expose_secret());
        if let Some(next) = next {
            grant.token = next;
            self.unstored = Some(Unstored { tries: 0, due: now, came_with: vec![(key, issued)] });
            return self.store_grant().await;
        }
        let is_worth_noting = now.since(grant.renewed) >= NOTE_USE;
        self.give_out(&key, issued);
        if is_worth_noting {
            self.unstored = Some(Unstored { tries: 0, due: now, came_with: Vec::new() });
            self.store_grant().await;
        }
    }

    fn give_out(&mut self, key: &TokenKey, issued: Issued) {
        let now = self.now();
        let Some(kept) = self.kept.get_mut(key) else { return };
        kept.replace(issued.access.of(self.origin), issued.lifetime, now);
        log::renewed(&self.sign_in.name, key, kept.due().map(|due| self.services.timeline.wall_at(due)));
    }

    fn note_failure(&mut self, key: &TokenKey, error: &TokenRequestError) {
        let now = self.now();
        let Some(kept) = self.kept.get_mut(key) else { return };
        let failed = kept.fail(error, &self.sign_in, now);
        if failed.is_news {
            let next = failed.why.until.map(|until| self.services.timeline.wall_at(until));
            log::failed(&self.sign_in.name, key, &failed, next);
        }
    }

    /// Serves who was refused with a token: one request for each token, whoever asks.
    async fn renew(&mut self, renewal: Renewal) {
        let now = self.now();
        let mut all = self.kept.iter_mut();
        let found = all.find_map(|(key, kept)| {
            let is_wanted = kept.note_refused(&renewal.refused, now);
            is_wanted.then(|| (key.clone(), kept.state(now)))
        });
        if let Some((key, state)) = found {
            self.seat.show(&key, state);
            self.fetch(key).await;
            self.show();
        }
        // Nobody may wait for it any more.
        let _ = renewal.done.send(());
    }

    async fn obey(&mut self, command: KeeperCommand) {
        match command {
            KeeperCommand::Configure(sign_in, seal) => self.configure(sign_in, seal),
            KeeperCommand::Accept { grant, client, done } => {
                // Who has gone learns it from the log.
                let _ = done.send(self.accept(grant, &client).await);
            }
        }
    }

    /// Goes on by another configuration: as the same client with what there is, as another one from the beginning. What a
    /// person had to mend may be mended, so it is tried again.
    fn configure(&mut self, sign_in: Arc<SignIn>, seal: Seal) {
        let is_same_client = client_fingerprint(&sign_in) == client_fingerprint(&self.sign_in)
            && sign_in.needs_grant() == self.sign_in.needs_grant();
        let seal_changes = self.seal != seal;
        let is_same = *sign_in == *self.sign_in && !seal_changes;
        let is_stopped = matches!(self.granted, Granted::Nothing(_));
        let has_key_to_write = seal_changes && seal.0.is_some() && matches!(self.granted, Granted::Known(_));
        let http = self.services.http.clone();
        self.endpoint = TokenEndpoint::new(sign_in.clone(), http, self.services.timeline.clone());
        (self.sign_in, self.seal) = (sign_in, seal);
        let now = self.now();
        if !is_same_client || is_stopped || (seal_changes && !has_key_to_write && self.unstored.is_none()) {
            (self.granted, self.read_again) = (Granted::Unknown, now);
        }
        if !is_same_client {
            self.unstored = None;
            self.origin.0 += 1;
        } else if has_key_to_write && self.unstored.is_none() {
            self.unstored = Some(Unstored { tries: 0, due: now, came_with: Vec::new() });
        }
        let keeps_token = is_same_client && !self.sign_in.is_by_user();
        for kept in self.kept.values_mut() {
            if !is_same || kept.expires().is_none() {
                kept.begin_anew(now, keeps_token);
            }
        }
    }

    /// Takes what a person's sign-in gave: it is stored before it is used.
    async fn accept(&mut self, grant: SignInGrant, client: &str) -> Result<(), AcceptError> {
        if client != client_fingerprint(&self.sign_in) {
            return Err(AcceptError::OtherClient(self.sign_in.name.to_string()));
        }
        let now = self.now();
        let SignInGrant { token, account } = grant;
        let known = KnownGrant { token, account: account.clone(), granted: now, renewed: now };
        let new = self.new_grant(&known, GrantChange::SignedIn { account: account.clone() });
        self.services.store.save_grant(new).await?;
        (self.granted, self.unstored) = (Granted::Known(known), None);
        self.origin.0 += 1;
        for kept in self.kept.values_mut() {
            kept.begin_anew(now, false);
        }
        log::signed_in(&self.sign_in.name, account.as_deref());
        Ok(())
    }

    fn show(&mut self) {
        let now = self.now();
        for (key, kept) in &self.kept {
            self.seat.show(key, kept.state(now));
        }
        let tokens = self.kept.iter().map(|(key, kept)| TokenStatus {
            resource: key.resource,
            user: key.user.clone(),
            state: match kept.state(now) {
                TokenState::Ready(_) => Ok(kept.expires().unwrap_or(now)),
                TokenState::Absent(why) => Err(why),
            },
        });
        let mut status = SignInStatus::new(&self.sign_in.name);
        (status.flow, status.tokens) = (self.sign_in.flow_name(), tokens.collect());
        match &self.granted {
            Granted::Known(grant) => {
                status.account.clone_from(&grant.account);
                (status.granted, status.renewed) = (Some(grant.granted), Some(grant.renewed));
            }
            Granted::Nothing(why) => status.fault = Some(why.clone()),
            Granted::NotNeeded | Granted::Unknown => {}
        }
        self.seat.set_status(status);
    }

    fn tell_what_expires(&mut self) {
        let renewed = match &self.granted {
            Granted::Known(grant) => Some(grant.renewed),
            Granted::NotNeeded | Granted::Unknown | Granted::Nothing(_) => None,
        };
        let timeline = &self.services.timeline;
        for deadline in self.expiry.news(deadlines(&self.sign_in, renewed, timeline), timeline.wall()) {
            log::expiring(&self.sign_in.name, &deadline);
        }
    }
}

/// Waits until the relay stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // When the sender is gone, so is the relay.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests;
