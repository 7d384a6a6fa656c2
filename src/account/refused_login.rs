//! A login that the upstream has refused: kept as a slow hash of what it consisted of, so that it is known when that changes.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use secrecy::ExposeSecret;

use super::settings::AccountSettings;
use crate::config::UpstreamKind;

/// What a login consists of, to be hashed and compared.
pub(super) struct LoginParts(Vec<u8>);

impl LoginParts {
    /// User, password, sign-in and mechanism; each with its length, so that none runs into the next.
    pub(super) fn of(settings: &AccountSettings) -> Self {
        let account = settings.account();
        let auth = match &settings.upstream.kind {
            UpstreamKind::Smtp(smtp) => format!("{:?}", smtp.auth),
            UpstreamKind::Graph(_) | UpstreamKind::Capture(_) => String::new(),
        };
        let password = account.password.as_ref().map_or("", |password| password.expose_secret());
        let sign_in = account.oauth.as_deref();
        let mut parts = Vec::new();
        // Without a sign-in it is as it was before there were any, so that a hash from then still fits.
        for part in [account.name(), password, &auth].into_iter().chain(sign_in) {
            parts.extend((part.len() as u64).to_be_bytes());
            parts.extend(part.as_bytes());
        }
        Self(parts)
    }

    /// The argon2id string; `None` when the machine gives no random numbers. Takes some time.
    pub(super) fn hash(&self) -> Option<String> {
        Argon2::default().hash_password(&self.0).ok().map(|hash| hash.to_string())
    }

    /// Whether this is what was hashed. Takes some time.
    pub(super) fn is(&self, hash: &str) -> bool {
        PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(&self.0, &hash).is_ok())
    }
}
