//! Where the grant goes: to the relay that runs, or into the store.

use std::sync::Arc;

use hyper::Method;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::super::client::{Client, RequestPath};
use super::super::context::CliContext;
use super::super::failure::Failure;
use super::super::relay_user::check_owner;
use crate::config::{Config, SignIn};
use crate::control::view::{SignInGrantJson, SignInJson};
use crate::oauth::{SignInGrant, client_fingerprint};
use crate::store::SignInStore as _;
use crate::store::sqlite::{SqliteStore, Threading};
use crate::time::SystemClock;

/// Keeps what a person's sign-in gave.
pub(super) struct Keeping<'c> {
    config: &'c Config,
    client: Client,
}

/// Who has kept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeptBy {
    /// The relay, which uses it at once.
    Relay,
    /// The store; the relay uses it from its next start on.
    Store,
}

impl<'c> Keeping<'c> {
    /// Looks whether it can be kept at all, before anybody signs in.
    pub(super) fn find(config: &'c Config, context: &CliContext) -> Result<Self, Failure> {
        let client = context.client()?;
        if !client.finds_relay()? {
            check_owner(&config.data_dir)?;
        }
        Ok(Self { config, client })
    }

    /// Hands it to the relay if one runs now, or else puts it into the store.
    pub(super) fn keep(
        &self,
        sign_in: &SignIn,
        grant: SignInGrant,
        runtime: &Runtime,
    ) -> Result<KeptBy, Failure> {
        if !self.client.finds_relay()? {
            match self.store(sign_in, &grant, runtime) {
                Ok(()) => return Ok(KeptBy::Store),
                // Somebody may have started the relay at this very moment: then it has the store.
                Err(failure) if !self.client.finds_relay().unwrap_or(false) => return Err(failure),
                Err(_) => {}
            }
        }
        let body = SignInGrantJson {
            refresh_token: grant.token.expose_secret().to_owned(),
            client: client_fingerprint(sign_in),
            account: grant.account,
        };
        let path = RequestPath::path(&["sign-ins", &sign_in.name]);
        self.client.submit::<SignInJson>(&Method::PUT, &path, &body)?;
        Ok(KeptBy::Relay)
    }

    fn store(&self, sign_in: &SignIn, grant: &SignInGrant, runtime: &Runtime) -> Result<(), Failure> {
        let what = format!("{} has signed in, and that could not be stored", sign_in.name);
        let store = open_store(self.config, what.clone())?;
        let saved = runtime.block_on(store.save_grant(grant.to_store(sign_in, &self.config.secrets)));
        saved.map(|_| ()).map_err(|error| Failure::Failed(anyhow::Error::new(error).context(what)))
    }
}

/// Opens the store from here, while no relay has it; `what` has failed without it.
pub(in crate::cli) fn open_store(config: &Config, what: String) -> Result<SqliteStore, Failure> {
    check_owner(&config.data_dir)?;
    let (data_dir, most) = (&config.data_dir, config.queue.max_messages);
    let store = SqliteStore::open(data_dir, most, Threading::Caller, Arc::new(SystemClock));
    store.map_err(|error| Failure::Failed(anyhow::Error::new(error).context(what)))
}
