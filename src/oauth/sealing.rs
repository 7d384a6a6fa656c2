//! The form in which refresh tokens last: encrypted with `[secrets] key`, or plain where there is none.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use secrecy::{ExposeSecret, SecretString};

use crate::config::SealingKey;
use crate::store::StoredToken;

/// What a plain token begins with.
const PLAIN: u8 = 0;
/// What an encrypted token begins with; then the nonce, then AES-256-GCM.
const SEALED: u8 = 1;

/// Encrypts tokens, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Seal(pub(super) Option<SealingKey>);

/// Why a stored token can't be read. It stays as it is: the operator may have the right key yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    /// It is encrypted, and there is no key.
    #[error("it was signed in under a [secrets] key, and there is none now")]
    NoKey,
    /// It was encrypted with another key, or is damaged.
    #[error("it was signed in under another [secrets] key")]
    OtherKey,
    /// No version has written this.
    #[error("what is stored of it is damaged")]
    Damaged,
}

impl Seal {
    /// The form in which a token of this sign-in lasts.
    ///
    /// # Panics
    /// Never: only texts of more than 64 GiB can't be encrypted.
    pub(super) fn close(&self, sign_in: &str, token: &SecretString) -> StoredToken {
        let mut octets = token.expose_secret().as_bytes().to_vec();
        let Some(key) = &self.0 else {
            octets.insert(0, PLAIN);
            return StoredToken(octets);
        };
        let cipher = cipher(key);
        let nonce = cipher.seal_in_place_append_tag(bound_to(sign_in), &mut octets);
        let nonce = nonce.expect("a token is shorter than what the cipher can take");
        let mut stored = vec![SEALED];
        stored.extend_from_slice(nonce.as_ref());
        stored.append(&mut octets);
        StoredToken(stored)
    }

    /// The token of such a form.
    ///
    /// # Errors
    /// When the key is not the right one, or the form is damaged.
    pub(super) fn open(&self, sign_in: &str, stored: &StoredToken) -> Result<SecretString, SealError> {
        let text = match (stored.0.split_first(), &self.0) {
            (Some((&PLAIN, plain)), _) => plain.to_vec(),
            (Some((&SEALED, _)), None) => return Err(SealError::NoKey),
            (Some((&SEALED, sealed)), Some(key)) => {
                let (nonce, octets) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Damaged)?;
                let (nonce, mut octets) = (Nonce::assume_unique_for_key(*nonce), octets.to_vec());
                let opened = cipher(key).open_in_place(nonce, bound_to(sign_in), &mut octets);
                opened.map_err(|_| SealError::OtherKey)?.to_vec()
            }
            (Some(_) | None, _) => return Err(SealError::Damaged),
        };
        String::from_utf8(text).map(SecretString::from).map_err(|_| SealError::Damaged)
    }

    /// Whether a token is stored in the form that is in force.
    pub(super) fn is_in_force(&self, stored: &StoredToken) -> bool {
        (stored.0.first() == Some(&SEALED)) == self.0.is_some()
    }
}

fn cipher(key: &SealingKey) -> RandomizedNonceKey {
    RandomizedNonceKey::new(&AES_256_GCM, key.expose()).expect("the key has 32 octets")
}

/// A token is good for its own sign-in alone, and in this version of the form.
fn bound_to(sign_in: &str) -> Aad<Vec<u8>> {
    Aad::from([b"mailsluice sign-in 1 ", sign_in.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_opens() {
        let [plain, one, other] =
            [None, Some([1; 32]), Some([2; 32])].map(|key| Seal(key.map(SealingKey::new)));
        let token = SecretString::from("hush-token");
        let opened = |seal: &Seal, name: &str, stored: &StoredToken| {
            seal.open(name, stored).map(|token| token.expose_secret().to_owned())
        };
        let sealed = one.close("m365", &token);
        assert!(!sealed.0.windows(4).any(|window| window == b"hush"), "it is encrypted");
        assert_ne!(sealed, one.close("m365", &token), "each nonce is another one");
        assert_eq!(opened(&one, "m365", &sealed).as_deref(), Ok("hush-token"));
        assert_eq!(opened(&other, "m365", &sealed), Err(SealError::OtherKey));
        assert_eq!(opened(&one, "other", &sealed), Err(SealError::OtherKey));
        assert_eq!(opened(&plain, "m365", &sealed), Err(SealError::NoKey));
        for seal in [&plain, &one] {
            assert_eq!(opened(seal, "m365", &plain.close("m365", &token)).as_deref(), Ok("hush-token"));
            assert_eq!(opened(seal, "m365", &StoredToken(Vec::new())), Err(SealError::Damaged));
            assert_eq!(opened(seal, "m365", &StoredToken(vec![7])), Err(SealError::Damaged));
        }
        assert_eq!((one.is_in_force(&sealed), plain.is_in_force(&sealed)), (true, false));
        for at in 1..sealed.0.len() {
            let mut damaged = sealed.clone();
            damaged.0[at] ^= 1;
            assert_eq!(opened(&one, "m365", &damaged), Err(SealError::OtherKey), "{at}");
        }
    }
}
