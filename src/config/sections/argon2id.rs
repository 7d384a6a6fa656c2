//! Hashes of passwords and tokens: argon2id strings, of a cost that the relay can bear.

use argon2::password_hash::phc::PasswordHash;
use argon2::{ARGON2ID_IDENT, Params};

/// The most memory that one hash may take, in KiB: a few are computed at the same time.
const MAX_MEMORY: u32 = 256 * 1024;
/// The most passes over it.
const MAX_PASSES: u32 = 16;

/// What is wrong with a text that should be such a hash.
pub(super) fn fault(text: &str) -> Option<&'static str> {
    let parsed = PasswordHash::new(text)
        .ok()
        .filter(|hash| hash.algorithm == ARGON2ID_IDENT && hash.salt.is_some() && hash.hash.is_some());
    match parsed.and_then(|hash| Params::try_from(&hash).ok()) {
        None => Some("is not an argon2id hash"),
        Some(params) if params.m_cost() > MAX_MEMORY || params.t_cost() > MAX_PASSES => {
            Some("is an argon2id hash that costs more than 256 MiB or 16 passes at every login")
        }
        Some(_) => None,
    }
}
