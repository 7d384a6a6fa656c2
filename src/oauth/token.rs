//! A token, as those see it who log in with it, and as it is handed to them.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::accepted_from::AcceptedFrom;
use crate::config::UpstreamKind;
use crate::time::Moment;

/// Renewals that may wait; whoever asks while so many wait is told what is known.
pub(super) const MAX_RENEWALS: usize = 64;

/// How long who asks for another token waits for it.
const RENEWAL_LIMIT: Duration = Duration::from_mins(1);

/// What a token is for: the provider gives one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// Sending by SMTP.
    Smtp,
    /// Sending by Microsoft Graph.
    Graph,
}

impl Resource {
    /// What the tokens of an upstream of this kind are for.
    #[must_use]
    pub fn of(kind: &UpstreamKind) -> Self {
        match kind {
            UpstreamKind::Graph(_) => Self::Graph,
            UpstreamKind::Smtp(_) | UpstreamKind::Capture(_) => Self::Smtp,
        }
    }

    /// Its name in the log and in the control interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Graph => "graph",
        }
    }
}

/// An access token (RFC 6749 1.4). Debug output does not show it.
#[derive(Debug, Clone)]
pub struct AccessToken {
    token: Arc<SecretString>,
    origin: TokenOrigin,
    accepted_from: AcceptedFrom,
}

/// Whose a token is: tokens of the same application and of the same sign-in of a person have the same origin, and with them
/// the provider decides alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenOrigin(pub u64);

impl AccessToken {
    /// A token as the provider gave it.
    #[must_use]
    pub fn new(token: SecretString) -> Self {
        Self {
            token: Arc::new(token),
            origin: TokenOrigin::default(),
            accepted_from: AcceptedFrom::default(),
        }
    }

    /// The same, which is of this origin.
    #[must_use]
    pub fn of(self, origin: TokenOrigin) -> Self {
        Self { origin, ..self }
    }

    /// Whose it is.
    #[must_use]
    pub fn origin(&self) -> TokenOrigin {
        self.origin
    }

    /// The token itself, for the line of AUTH or the header field of the request.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.token.expose_secret()
    }

    /// Whether a login that it was accepted from, and not refused since, goes by it.
    #[must_use]
    pub fn is_good_for_somebody(&self) -> bool {
        self.accepted_from.is_anybody()
    }

    pub(super) fn accepted_from(&self) -> &AcceptedFrom {
        &self.accepted_from
    }

    /// Whether this is the same token.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NoToken {
    /// What happened, in words.
    pub reason: String,
    /// When the next try is made by itself; `None` when it is under way, or only a person can help.
    pub until: Option<Moment>,
    /// What a person should do, if a person can do something.
    pub action: Option<String>,
}

impl NoToken {
    /// Whether it stays so until a person does something.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        self.until.is_none() && self.action.is_some()
    }
}

/// What is known of a token.
#[derive(Debug, Clone)]
pub enum TokenState {
    /// This one is good.
    Ready(AccessToken),
    /// There is none.
    Absent(NoToken),
}

/// Somebody wants another token, since the provider has refused this one.
#[derive(Debug)]
pub struct Renewal {
    /// The token that was refused. When it is not the present one any more, nothing is to be done.
    pub refused: AccessToken,
    /// Is told when that is done, or has failed.
    pub done: oneshot::Sender<()>,
}

/// The token of a sign-in for a resource, for who logs in with it.
#[derive(Debug, Clone)]
pub struct TokenHandle {
    sign_in: Arc<str>,
    state: watch::Receiver<TokenState>,
    renewals: mpsc::Sender<Renewal>,
}

/// The other end of it: where the token comes from.
#[derive(Debug)]
pub struct TokenFeed {
    state: watch::Sender<TokenState>,
    renewals: mpsc::Receiver<Renewal>,
}

/// Both ends for a token of the sign-in with this name.
#[must_use]
pub(super) fn token_channel(sign_in: &str, state: TokenState) -> (TokenFeed, TokenHandle) {
    let (sender, receiver) = watch::channel(state);
    let (ask, asked) = mpsc::channel(MAX_RENEWALS);
    let handle = TokenHandle { sign_in: sign_in.into(), state: receiver, renewals: ask };
    (TokenFeed { state: sender, renewals: asked }, handle)
}

impl TokenState {
    /// Whether it says the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ready(own), Self::Ready(other)) => own.is(other),
            (Self::Absent(own), Self::Absent(other)) => own == other,
            (Self::Ready(_) | Self::Absent(_), _) => false,
        }
    }
}

impl TokenHandle {
    /// A handle for what a keeper of several tokens shows.
    pub(super) fn of(
        sign_in: Arc<str>,
        state: watch::Receiver<TokenState>,
        renewals: mpsc::Sender<Renewal>,
    ) -> Self {
        Self { sign_in, state, renewals }
    }

    /// The name of the sign-in.
    #[must_use]
    pub fn sign_in(&self) -> &str {
        &self.sign_in
    }

    /// The token that is good now. Does not wait.
    ///
    /// # Errors
    /// Why there is none.
    pub fn current(&self) -> Result<AccessToken, NoToken> {
        match &*self.state.borrow() {
            TokenState::Ready(token) => Ok(token.clone()),
            TokenState::Absent(why) => Err(why.clone()),
        }
    }

    /// Waits until the state changes after the last look of this handle; false when nobody keeps the token any more.
    pub async fn changed(&mut self) -> bool {
        self.state.changed().await.is_ok()
    }

    /// Another token in place of one that the provider has refused: one that has come in the meantime, or a fresh one. Waits
    /// for a minute at most.
    ///
    /// # Errors
    /// Why there is no other.
    pub async fn replace(&self, refused: &AccessToken) -> Result<AccessToken, NoToken> {
        let current = self.current()?;
        if !current.is(refused) {
            return Ok(current);
        }
        let (done, finished) = oneshot::channel();
        if self.renewals.try_send(Renewal { refused: refused.clone(), done }).is_ok() {
            // Whether it was done or given up, the state tells what came of it.
            let _ = timeout(RENEWAL_LIMIT, finished).await;
        }
        let current = self.current()?;
        if current.is(refused) {
            return Err(NoToken {
                reason: "the provider refuses the token, and no other could be had".to_owned(),
                until: None,
                action: None,
            });
        }
        Ok(current)
    }
}

impl TokenFeed {
    /// What is known from now on.
    pub fn set(&self, state: TokenState) {
        self.state.send_replace(state);
    }

    /// The next one who wants another token; `None` when nobody can ask any more.
    pub async fn renewal(&mut self) -> Option<Renewal> {
        self.renewals.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> AccessToken {
        AccessToken::new(text.into())
    }

    #[tokio::test]
    async fn replaces_a_refused_token_once() {
        let (mut feed, handle) = token_channel("m365", TokenState::Ready(token("old")));
        let keeper = tokio::spawn(async move {
            let mut renewals = 0;
            while let Some(renewal) = feed.renewal().await {
                renewals += 1;
                assert_eq!(renewal.refused.expose(), "old");
                feed.set(TokenState::Ready(token("new")));
                let _ = renewal.done.send(());
            }
            renewals
        });
        assert_eq!(handle.replace(&token("old")).await.unwrap().expose(), "new");
        // Who comes later with the same refusal gets the one that is there.
        assert_eq!(handle.replace(&token("old")).await.unwrap().expose(), "new");
        drop(handle);
        assert_eq!(keeper.await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_never_ends_is_given_up() {
        let (_feed, handle) = token_channel("m365", TokenState::Ready(token("old")));
        let error = handle.replace(&token("old")).await.unwrap_err();
        assert!(error.reason.contains("refuses the token"), "{error}");
    }

    #[test]
    fn is_not_shown() {
        assert!(!format!("{:?}", TokenState::Ready(token("s3cr3t"))).contains("s3cr3t"));
    }
}
