//! What a password is checked against: argon2id, a SCRAM verifier, or the password itself.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::config::{ScramVerifier, User, UserPassword};
use crate::smtp::scram::ScramKeys;

/// How often SCRAM hashes a password that we hash ourselves; every login costs the client as much.
pub(super) const SCRAM_ITERATIONS: u32 = 20_000;

/// What a login is checked against.
pub(super) enum Credential {
    /// A hash.
    Argon2id(Box<PasswordHash>),
    /// A SCRAM verifier.
    Scram(ScramVerifier),
    /// The password: a digest with a key of this process, and a SCRAM verifier when SCRAM is offered.
    Plain {
        /// HMAC of the password.
        digest: Keyed,
        /// For those who log in with SCRAM.
        scram: Option<ScramVerifier>,
    },
    /// No password is right.
    Nothing,
}

/// Names the kind alone.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Argon2id(_) => "Argon2id",
            Self::Scram(_) => "Scram",
            Self::Plain { .. } => "Plain",
            Self::Nothing => "Nothing",
        })
    }
}

/// A keyed digest. It is compared in constant time.
pub(in crate::policy) struct Keyed(Hmac<Sha256>);

impl Keyed {
    /// The digest of these parts; the length of each is part of it.
    pub(in crate::policy) fn of(key: &[u8; 32], parts: &[&[u8]]) -> Self {
        let mut mac = hmac(key);
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Self(mac)
    }

    /// Its octets.
    pub(in crate::policy) fn octets(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }

    fn equals(&self, other: Self) -> bool {
        self.0.clone().verify_slice(&other.octets()).is_ok()
    }
}

impl Credential {
    /// Takes what the configuration has. `scram` is the iterations and the salt, when SCRAM is offered.
    pub(super) fn new(user: &User, key: &[u8; 32], scram: Option<(u32, Vec<u8>)>) -> Self {
        match &user.password {
            UserPassword::Argon2id(text) => {
                // The configuration has checked it; were it wrong all the same, nobody gets in.
                let hash = PasswordHash::new(text.expose_secret()).ok().map(Box::new);
                hash.map_or(Self::Nothing, Self::Argon2id)
            }
            UserPassword::Scram(verifier) => Self::Scram(verifier.clone()),
            UserPassword::Plain(password) => Self::Plain {
                digest: Keyed::of(key, &[password.expose_secret().as_bytes()]),
                scram: scram.map(|(iterations, salt)| derive(password, iterations, salt)),
            },
        }
    }

    /// The verifier for SCRAM, if there is one.
    pub(super) fn scram(&self) -> Option<&ScramVerifier> {
        match self {
            Self::Scram(verifier) => Some(verifier),
            Self::Plain { scram, .. } => scram.as_ref(),
            Self::Argon2id(_) | Self::Nothing => None,
        }
    }

    /// What its argon2id hash costs.
    pub(super) fn cost(&self) -> Option<Params> {
        match self {
            Self::Argon2id(hash) => Params::try_from(&**hash).ok(),
            _ => None,
        }
    }

    /// Whether the password is right. Blocks for as long as a hash takes; whatever is wrong costs an argon2id hash of
    /// `cost`.
    pub(super) fn verify(&self, password: &SecretString, key: &[u8; 32], cost: &Params) -> bool {
        let octets = password.expose_secret().as_bytes();
        let right = match self {
            Self::Argon2id(hash) => return Argon2::default().verify_password(octets, &**hash).is_ok(),
            Self::Scram(verifier) => {
                let derived = derive(password, verifier.iterations, verifier.salt.clone());
                Keyed::of(key, &[&derived.stored_key]).equals(Keyed::of(key, &[&verifier.stored_key]))
            }
            Self::Plain { digest, .. } => digest.equals(Keyed::of(key, &[octets])),
            Self::Nothing => false,
        };
        if !right {
            let mut hash = [0; 32];
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.clone());
            // Only the work counts; it can't fail with parameters that were checked.
            let _ = argon2.hash_password_into(octets, &key[..16], &mut hash);
            std::hint::black_box(hash);
        }
        right
    }
}

/// Why a password could not be hashed. It is ours: the machine gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct NotHashed(argon2::password_hash::Error);

/// The argon2id string of a password, with a new salt: 19 MiB, 2 passes, 1 lane.
///
/// # Errors
/// When the machine gives no random numbers.
pub fn argon2id_hash(password: &SecretString) -> Result<String, NotHashed> {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes()).map_err(NotHashed)?;
    Ok(hash.to_string())
}

/// The SCRAM-SHA-256 verifier of a password (RFC 5802 3), with a new salt.
///
/// The password is taken as it is: one beyond ASCII works when client and operator typed the same octets (`SASLprep` of RFC
/// 4013 is not applied).
#[must_use]
pub fn scram_verifier(password: &SecretString) -> ScramVerifier {
    derive(password, SCRAM_ITERATIONS, rand::random::<[u8; 16]>().to_vec())
}

fn derive(password: &SecretString, iterations: u32, salt: Vec<u8>) -> ScramVerifier {
    let ScramKeys { stored_key, server_key, .. } =
        ScramKeys::derive(password.expose_secret(), &salt, iterations);
    ScramVerifier { iterations, salt, stored_key, server_key }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::Digest as _;

    use super::*;

    /// The example of RFC 7677 3: the proof and the signature that its verifier leads to.
    #[test]
    fn derives_the_verifier_of_rfc_7677() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = derive(&"pencil".into(), 4096, salt);
        let auth = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac(&verifier.server_key).chain_update(auth).finalize().into_bytes();
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let signed = hmac(&verifier.stored_key).chain_update(auth).finalize().into_bytes();
        let client_key: Vec<u8> = proof.iter().zip(signed).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha256::digest(client_key)[..], verifier.stored_key);
    }
}
