//! All sign-ins, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::grant::{AcceptError, SignInGrant, nobody_has_signed_in};
use super::keeper::{Keeper, SignInServices, Ways};
use super::sealing::Seal;
use super::seat::{KeeperCommand, Seat, TokenKey};
use super::status::SignInStatus;
use super::token::{
    MAX_RENEWALS, NoToken, Renewal, Resource, TokenFeed, TokenHandle, TokenState, token_channel,
};
use crate::config::{Config, SignIn};
use crate::store::SignInStore;
use crate::time::Timeline;
use crate::web::{HttpClient, WebClient};

/// Commands that may wait.
const MAX_COMMANDS: usize = 16;

/// The sign-ins of a relay. Handles outlive reloads: whose sign-in is gone reads so.
pub struct SignIns {
    http: Arc<dyn HttpClient>,
    places: Mutex<HashMap<String, SignInPlace>>,
    /// Tokens that come from elsewhere.
    fed: Mutex<HashMap<(String, Resource), TokenHandle>>,
    stop: watch::Sender<bool>,
}

/// A name, and who keeps its tokens, if it is one of the configuration.
#[derive(Debug)]
struct SignInPlace {
    seat: Arc<Seat>,
    /// Until a keeper takes it.
    renewals: Option<mpsc::Receiver<Renewal>>,
    keeper: Option<Hired>,
}

/// A keeper at work.
#[derive(Debug)]
struct Hired {
    sign_in: Arc<SignIn>,
    commands: mpsc::Sender<KeeperCommand>,
    task: JoinHandle<()>,
}

impl SignIns {
    /// None yet. Providers are reached by this client.
    #[must_use]
    pub fn new(http: Arc<dyn HttpClient>) -> Self {
        Self { http, places: Mutex::default(), fed: Mutex::default(), stop: watch::Sender::new(false) }
    }

    /// The client that providers are reached by.
    #[must_use]
    pub fn http(&self) -> Arc<dyn HttpClient> {
        self.http.clone()
    }

    /// Puts the sign-ins of a configuration in force; grants last in the store. To be called where tasks can be started.
    pub fn configure(&self, config: &Config, store: &Arc<dyn SignInStore>, timeline: &Timeline) {
        let services =
            SignInServices { store: store.clone(), http: self.http.clone(), timeline: timeline.clone() };
        let seal = Seal(config.secrets.key.clone());
        let mut places = self.places();
        for (name, place) in places.iter_mut() {
            if !config.sign_ins.iter().any(|sign_in| *sign_in.name == *name.as_str()) {
                place.dismiss();
            }
        }
        for sign_in in &config.sign_ins {
            let place =
                places.entry(sign_in.name.to_string()).or_insert_with(|| SignInPlace::new(&sign_in.name));
            place.employ(&services, sign_in, &seal, &self.stop);
        }
    }

    /// The token of a sign-in for a resource, now and later, where nobody logs in by a name.
    #[must_use]
    pub fn handle(&self, name: &str, resource: Resource) -> TokenHandle {
        self.handle_of(name, resource, "")
    }

    /// The token of a sign-in for a resource, now and later; `user` is who logs in with it, whom service accounts speak for.
    #[must_use]
    pub fn handle_of(&self, name: &str, resource: Resource, user: &str) -> TokenHandle {
        let fed = self
            .fed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(name.to_owned(), resource))
            .cloned();
        if let Some(handle) = fed {
            return handle;
        }
        let mut places = self.places();
        let place = places.entry(name.to_owned()).or_insert_with(|| SignInPlace::new(name));
        let by_user = place.keeper.as_ref().is_some_and(|hired| hired.sign_in.is_by_user());
        let user = if by_user { user.to_owned() } else { String::new() };
        place.seat.handle(TokenKey { resource, user })
    }

    /// Tokens that come from elsewhere: the other end of what [`handle`](Self::handle) gives from now on. What the keeper of
    /// that name has is not used any more.
    #[must_use]
    pub fn feed(&self, name: &str, resource: Resource) -> TokenFeed {
        let (feed, handle) = token_channel(name, TokenState::Absent(nobody_has_signed_in(name)));
        self.fed.lock().unwrap_or_else(PoisonError::into_inner).insert((name.to_owned(), resource), handle);
        feed
    }

    /// Takes what a person's sign-in gave to the application with this [`client_fingerprint`](super::client_fingerprint). It is stored when this returns.
    ///
    /// # Errors
    /// When it can't be taken: then nothing has changed.
    pub async fn accept(&self, name: &str, client: &str, grant: SignInGrant) -> Result<(), AcceptError> {
        let commands = {
            let places = self.places();
            let hired = places.get(name).and_then(|place| place.keeper.as_ref());
            let hired = hired.ok_or_else(|| AcceptError::Unknown(name.to_owned()))?;
            if !hired.sign_in.needs_grant() {
                return Err(AcceptError::NotNeeded {
                    name: name.to_owned(),
                    flow: hired.sign_in.flow_name(),
                });
            }
            hired.commands.clone()
        };
        let (done, answer) = oneshot::channel();
        let command = KeeperCommand::Accept { grant, client: client.to_owned(), done };
        commands.send(command).await.map_err(|_| AcceptError::Stopping)?;
        answer.await.map_err(|_| AcceptError::Stopping)?
    }

    /// How they are, by name.
    #[must_use]
    pub fn status(&self) -> Vec<SignInStatus> {
        let places = self.places();
        let employed = places.values().filter(|place| place.keeper.is_some());
        let mut all: Vec<_> = employed.map(|place| place.seat.status()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Ends the keepers: what is under way may end within `grace`, so that no token that was issued is lost.
    pub async fn stop(&self, grace: Duration) {
        self.stop.send_replace(true);
        let tasks: Vec<_> = self
            .places()
            .values_mut()
            .filter_map(|place| place.keeper.take())
            .map(|hired| hired.task)
            .collect();
        let end = tokio::time::Instant::now() + grace;
        for mut task in tasks {
            if tokio::time::timeout_at(end, &mut task).await.is_err() {
                task.abort();
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, SignInPlace>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Providers are reached over the network.
impl Default for SignIns {
    fn default() -> Self {
        Self::new(Arc::new(WebClient::default()))
    }
}

/// The client has no form to show.
impl std::fmt::Debug for SignIns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIns").field("places", &self.places).finish_non_exhaustive()
    }
}

impl SignInPlace {
    fn new(name: &str) -> Self {
        let (ask, asked) = mpsc::channel(MAX_RENEWALS);
        Self { seat: Arc::new(Seat::new(name, ask)), renewals: Some(asked), keeper: None }
    }

    /// Has a keeper work by this configuration.
    fn employ(
        &mut self,
        services: &SignInServices,
        sign_in: &Arc<SignIn>,
        seal: &Seal,
        stop: &watch::Sender<bool>,
    ) {
        if let Some(hired) = &mut self.keeper {
            let told = hired.commands.try_send(KeeperCommand::Configure(sign_in.clone(), seal.clone()));
            if told.is_ok() && hired.sign_in.is_by_user() == sign_in.is_by_user() {
                hired.sign_in = sign_in.clone();
                return;
            }
            self.dismiss();
        }
        if self.renewals.is_none() {
            // The way was its predecessor's; handles of it hear no more, and their accounts get new ones.
            *self = Self::new(&sign_in.name);
        }
        let Some(renewals) = self.renewals.take() else { return };
        let (commands, told) = mpsc::channel(MAX_COMMANDS);
        let ways = Ways { commands: told, renewals, stop: stop.subscribe() };
        let keeper = Keeper::new(services.clone(), self.seat.clone(), sign_in.clone(), seal.clone());
        let task = tokio::spawn(keeper.run(ways));
        self.keeper = Some(Hired { sign_in: sign_in.clone(), commands, task });
    }

    /// Ends the keeper: the configuration has its sign-in no more.
    fn dismiss(&mut self) {
        // It may be between a request and its commit; it ends as soon as it listens, for nobody can tell it anything.
        self.keeper = None;
        let why = NoToken {
            reason: "the configuration has its sign-in no more".to_owned(),
            until: None,
            action: Some("write [[oauth]] again, or another one at the account".to_owned()),
        };
        self.seat.show_all(&TokenState::Absent(why));
    }
}

impl Drop for SignIns {
    fn drop(&mut self) {
        for place in self.places().values_mut() {
            if let Some(hired) = place.keeper.take() {
                hired.task.abort();
            }
        }
    }
}
