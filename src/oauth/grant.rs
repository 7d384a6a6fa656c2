//! What a person's sign-in gave, and whose it is.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

use super::error::connect_action;
use super::sealing::{Seal, SealError};
use super::token::NoToken;
use crate::config::{Secrets, SignIn};
use crate::store::{GrantChange, NewGrant, StoreError, StoredGrant};
use crate::time::Moment;

/// What a person's sign-in gave. Debug output does not show the token.
#[derive(Debug, Clone)]
pub struct SignInGrant {
    /// The refresh token.
    pub token: SecretString,
    /// Who has signed in, if the provider has said so.
    pub account: Option<String>,
}

impl SignInGrant {
    /// A new one in the form in which it lasts: for the application of this sign-in, encrypted where there is a key.
    #[must_use]
    pub fn to_store(&self, sign_in: &SignIn, secrets: &Secrets) -> NewGrant {
        let change = GrantChange::SignedIn { account: self.account.clone() };
        new_grant(sign_in, &Seal(secrets.key.clone()), &self.token, change)
    }
}

/// A grant in the form in which it lasts.
pub(super) fn new_grant(
    sign_in: &SignIn,
    seal: &Seal,
    token: &SecretString,
    change: GrantChange,
) -> NewGrant {
    let (name, client) = (sign_in.name.to_string(), client_fingerprint(sign_in));
    NewGrant { sign_in: name, client, token: seal.close(&sign_in.name, token), change }
}

/// Why a grant was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The configuration in force has no such sign-in.
    #[error(
        "there is no [[oauth]] named {0} in the configuration in force: add it, and run `mailsluice reload`"
    )]
    Unknown(String),
    /// It is of another application: it is not of use to the one in force.
    #[error(
        "the relay has another client_id or tenant for {0} than the file has now: run `mailsluice reload`, and connect again"
    )]
    OtherClient(String),
    /// It needs nobody to sign in.
    #[error("nobody signs in for {name}: its flow is {flow}")]
    NotNeeded {
        /// Its name.
        name: String,
        /// Its flow.
        flow: &'static str,
    },
    /// It could not be stored. What was there before is still in force.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The relay is going down.
    #[error("the relay is stopping: try again when it runs")]
    Stopping,
}

/// What is known of the grant of a sign-in.
#[derive(Debug, Clone)]
pub(super) enum Granted {
    /// It needs none.
    NotNeeded,
    /// The store has not been read yet.
    Unknown,
    /// There is none that is of use, and why.
    Nothing(NoToken),
    /// This one.
    Known(KnownGrant),
}

/// A grant in use.
#[derive(Debug, Clone)]
pub(super) struct KnownGrant {
    pub(super) token: SecretString,
    pub(super) account: Option<String>,
    pub(super) granted: Moment,
    pub(super) renewed: Moment,
}

/// Tells an application at a provider from others: what it gives is of use to that one alone.
#[must_use]
pub fn client_fingerprint(sign_in: &SignIn) -> String {
    let place = sign_in.token_url.origin().ascii_serialization();
    let tenant = sign_in.tenant.as_deref().unwrap_or_default();
    let text = [place.as_str(), tenant, &sign_in.client_id].join("\n");
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// Why there is no token before anybody has signed in.
#[must_use]
pub(super) fn nobody_has_signed_in(sign_in: &str) -> NoToken {
    let reason = format!("nobody has signed in yet for {sign_in}");
    NoToken { reason, until: None, action: Some(connect_action(sign_in)) }
}

impl Granted {
    /// What the store has for a sign-in.
    pub(super) fn read(sign_in: &SignIn, seal: &Seal, stored: Option<&StoredGrant>) -> Self {
        if !sign_in.needs_grant() {
            return Self::NotNeeded;
        }
        let Some(stored) = stored else { return Self::Nothing(nobody_has_signed_in(&sign_in.name)) };
        if stored.client != client_fingerprint(sign_in) {
            let reason = "it was signed in by another client_id or tenant".to_owned();
            return Self::Nothing(NoToken {
                reason,
                until: None,
                action: Some(connect_action(&sign_in.name)),
            });
        }
        match seal.open(&sign_in.name, &stored.token) {
            Ok(token) => Self::Known(KnownGrant {
                token,
                account: stored.account.clone(),
                granted: stored.granted,
                renewed: stored.renewed,
            }),
            Err(error) => Self::Nothing(unreadable(sign_in, error)),
        }
    }
}

fn unreadable(sign_in: &SignIn, error: SealError) -> NoToken {
    let again = connect_action(&sign_in.name);
    let action = match error {
        SealError::NoKey | SealError::OtherKey => format!("write that [secrets] key again, or {again}"),
        SealError::Damaged => again,
    };
    NoToken { reason: error.to_string(), until: None, action: Some(action) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SealingKey;
    use crate::oauth::testing;

    #[test]
    fn a_grant_is_of_use_to_its_client_under_its_key() {
        let sign_in = testing::sign_in("device_code");
        let seal = Seal(Some(SealingKey::new([1; 32])));
        let stored = StoredGrant {
            sign_in: "m365".to_owned(),
            client: client_fingerprint(&sign_in),
            account: None,
            token: seal.close("m365", &"hush".into()),
            granted: Moment(1),
            renewed: Moment(2),
        };
        assert!(matches!(Granted::read(&sign_in, &seal, Some(&stored)), Granted::Known(_)));
        let other_tenant = SignIn { tenant: Some("other".to_owned()), ..sign_in.clone() };
        let other_client = SignIn { client_id: "other".to_owned(), ..sign_in.clone() };
        let other_key = Seal(Some(SealingKey::new([2; 32])));
        for (sign_in, seal, stored, want) in [
            (&sign_in, &seal, None, "nobody has signed in yet for m365"),
            (&other_tenant, &seal, Some(&stored), "it was signed in by another client_id or tenant"),
            (&other_client, &seal, Some(&stored), "it was signed in by another client_id or tenant"),
            (&sign_in, &other_key, Some(&stored), "it was signed in under another [secrets] key"),
            (
                &sign_in,
                &Seal(None),
                Some(&stored),
                "it was signed in under a [secrets] key, and there is none now",
            ),
        ] {
            let Granted::Nothing(why) = Granted::read(sign_in, seal, stored) else { panic!("{want}") };
            assert_eq!((why.reason.as_str(), why.until), (want, None));
            assert!(why.action.unwrap().contains("run `mailsluice connect m365`"), "{want}");
        }
        let app = testing::sign_in("client_credentials");
        assert!(matches!(Granted::read(&app, &seal, None), Granted::NotNeeded));
    }
}
