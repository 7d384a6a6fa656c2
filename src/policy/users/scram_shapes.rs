//! What SCRAM shows of users who have no verifier, so that they can't be told from those who have.

use super::credential::{Keyed, SCRAM_ITERATIONS};
use super::secret::LoginSecret;
use crate::config::{Config, ScramVerifier, UserPassword};

/// What anybody can ask for of a user's verifier, but for the salt's octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ScramShape {
    /// How often the password is hashed.
    pub(super) iterations: u32,
    /// How long the salt is, in octets.
    salt: usize,
}

/// The shapes of the verifiers that are stored, and verifiers that no password fits.
///
/// A name that has no verifier has one of those shapes, each as often as it is stored. Which, and with which salt, depends
/// on the name and on a secret that lasts: neither a restart nor a reload changes it, as long as its shape is there.
#[derive(Debug)]
pub(super) struct ScramShapes {
    secret: LoginSecret,
    /// In order; one for each verifier.
    stored: Vec<ScramShape>,
}

impl ScramShapes {
    pub(super) fn new(config: &Config, secret: LoginSecret) -> Self {
        let shape = |verifier: &ScramVerifier| ScramShape {
            iterations: verifier.iterations,
            salt: verifier.salt.len(),
        };
        let verifiers = config.users.iter().filter_map(|user| match &user.password {
            UserPassword::Scram(verifier) => Some(shape(verifier)),
            _ => None,
        });
        let mut stored: Vec<_> = verifiers.collect();
        stored.sort_unstable();
        Self { secret, stored }
    }

    /// Whether SCRAM is offered: when somebody has a verifier.
    pub(super) fn is_offered(&self) -> bool {
        !self.stored.is_empty()
    }

    /// The shape of a name, given in lower case. Each stored one draws a lot for the name and the highest wins, so that one
    /// more, or one less, moves no others.
    pub(super) fn of(&self, lower: &str) -> ScramShape {
        let lots = self.stored.chunk_by(PartialEq::eq).flat_map(|alike| alike.iter().enumerate());
        let lot = |(place, shape): &(usize, &ScramShape)| {
            let (place, iterations) = (place.to_be_bytes(), shape.iterations.to_be_bytes());
            self.secret.derive(&[b"lot", &place, &iterations, &shape.salt.to_be_bytes(), lower.as_bytes()])
        };
        lots.max_by_key(lot)
            .map_or(ScramShape { iterations: SCRAM_ITERATIONS, salt: 16 }, |(_, shape)| *shape)
    }

    /// The salt of a name in such a shape.
    pub(super) fn salt(&self, lower: &str, shape: ScramShape) -> Vec<u8> {
        let iterations = shape.iterations.to_be_bytes();
        let block = |number: u8| self.secret.derive(&[b"salt", &[number], &iterations, lower.as_bytes()]);
        let mut salt: Vec<u8> = (0..=u8::MAX).take(shape.salt.div_ceil(32)).flat_map(block).collect();
        salt.truncate(shape.salt);
        salt
    }

    /// A verifier that no password fits.
    pub(super) fn verifier(&self, lower: &str) -> ScramVerifier {
        let shape = self.of(lower);
        let part = |what: &[u8]| self.secret.derive(&[what, lower.as_bytes()]);
        ScramVerifier {
            iterations: shape.iterations,
            salt: self.salt(lower, shape),
            stored_key: part(b"stored"),
            server_key: part(b"server"),
        }
    }
}

/// What the octets of a keyed digest are for.
impl LoginSecret {
    fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        Keyed::of(self.octets(), parts).octets()
    }
}
