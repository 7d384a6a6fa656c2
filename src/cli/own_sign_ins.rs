//! The tokens of sign-ins while no relay keeps them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::connect::open_store;
use super::failure::Failure;
use crate::config::{Config, Login, Upstream};
use crate::oauth::{REQUEST_LIMIT, Resource, SignIns, TokenHandle};
use crate::store::{SignInStore, Upkeep as _};
use crate::web::{HttpClient, WebClient};

/// How long what is under way may take to be stored at the end.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The sign-ins of a configuration, kept from here: what a provider gives in place of a refresh token is stored.
pub(super) struct OwnSignIns(Option<SignIns>);

impl OwnSignIns {
    /// Opens the store, where the accounts of this configuration use sign-ins. To be called where tasks can be started.
    pub(super) fn start(config: &Config) -> Result<Self, Failure> {
        let mut logins = config.upstreams.iter().flat_map(|upstream| &upstream.accounts);
        if !logins.any(|login| login.oauth.is_some()) {
            return Ok(Self(None));
        }
        let store = open_store(config, "the sign-ins can't be read".to_owned())?;
        let timeline = store.timeline().clone();
        let store: Arc<dyn SignInStore> = Arc::new(store);
        let sign_ins = SignIns::default();
        sign_ins.configure(config, &store, &timeline);
        Ok(Self(Some(sign_ins)))
    }

    /// Where the token of an account comes from, when it is there, or it is known why not.
    pub(super) async fn token(&self, upstream: &Upstream, login: &Login) -> Option<TokenHandle> {
        let name = login.oauth.as_deref()?;
        let mut token = self.0.as_ref()?.handle_of(name, Resource::of(&upstream.kind), login.name());
        if token.current().is_err() {
            // Whatever comes of it, the handle tells.
            let _ = timeout(REQUEST_LIMIT, token.changed()).await;
        }
        Some(token)
    }

    /// The client that providers are reached by.
    pub(super) fn http(&self) -> Arc<dyn HttpClient> {
        self.0.as_ref().map_or_else(|| Arc::new(WebClient::default()) as Arc<dyn HttpClient>, SignIns::http)
    }

    /// Ends what is under way.
    pub(super) async fn stop(self) {
        if let Some(sign_ins) = self.0 {
            sign_ins.stop(STOP_LIMIT).await;
        }
    }
}
