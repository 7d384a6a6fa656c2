//! What the keeper of a sign-in and those who use it share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::grant::{AcceptError, SignInGrant};
use super::kept::being_fetched;
use super::sealing::Seal;
use super::status::SignInStatus;
use super::token::{Renewal, Resource, TokenHandle, TokenState};
use crate::config::SignIn;

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TokenKey {
    pub(super) resource: Resource,
    /// In whose name a service account asks; empty where tokens are not each user's own.
    pub(super) user: String,
}

/// What a keeper is told.
#[derive(Debug)]
pub(super) enum KeeperCommand {
    /// Another configuration is in force.
    Configure(Arc<SignIn>, Seal),
    /// A person has signed in.
    Accept {
        /// What it gave.
        grant: SignInGrant,
        /// The application that it was given to.
        client: String,
        /// Is told when it is stored, or why it is not taken.
        done: oneshot::Sender<Result<(), AcceptError>>,
    },
}

/// The place of a sign-in: what is seen of it, by whom it is used.
#[derive(Debug)]
pub(super) struct Seat {
    name: Arc<str>,
    tokens: Mutex<BTreeMap<TokenKey, watch::Sender<TokenState>>>,
    status: Mutex<SignInStatus>,
    renewals: mpsc::Sender<Renewal>,
    /// Somebody wants a token that nobody has wanted.
    pub(super) wanted: Notify,
}

impl Seat {
    pub(super) fn new(name: &str, renewals: mpsc::Sender<Renewal>) -> Self {
        let (tokens, wanted) = Default::default();
        let status = Mutex::new(SignInStatus::new(name));
        Self { name: name.into(), tokens, status, renewals, wanted }
    }

    /// The token for a key, now and later.
    pub(super) fn handle(&self, key: TokenKey) -> TokenHandle {
        let mut tokens = self.tokens();
        let token = tokens.entry(key).or_insert_with(|| {
            self.wanted.notify_one();
            watch::Sender::new(TokenState::Absent(being_fetched(None)))
        });
        TokenHandle::of(self.name.clone(), token.subscribe(), self.renewals.clone())
    }

    /// The keys for which somebody holds a handle; others are forgotten.
    pub(super) fn keys(&self) -> Vec<TokenKey> {
        let mut tokens = self.tokens();
        tokens.retain(|_, token| token.receiver_count() > 0);
        tokens.keys().cloned().collect()
    }

    /// Shows how a token is, if it has changed.
    pub(super) fn show(&self, key: &TokenKey, state: TokenState) {
        if let Some(token) = self.tokens().get(key) {
            token.send_if_modified(|shown| {
                let changes = !shown.is_same(&state);
                *shown = state;
                changes
            });
        }
    }

    /// Shows the same for all tokens.
    pub(super) fn show_all(&self, state: &TokenState) {
        for key in self.keys() {
            self.show(&key, state.clone());
        }
    }

    pub(super) fn status(&self) -> SignInStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_status(&self, status: SignInStatus) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<TokenKey, watch::Sender<TokenState>>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
