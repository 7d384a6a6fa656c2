//! The public half of a key, as records have it.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::RsaParameters;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::DkimKey;

/// How long an Ed25519 key is, in octets (RFC 8032 5.1.5).
const ED25519_OCTETS: usize = 32;

/// The types of keys that DKIM knows (RFC 6376 3.6.1, RFC 8463 3), by their names in `k=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DkimKeyType {
    /// `rsa`
    Rsa,
    /// `ed25519`
    Ed25519,
}

impl DkimKeyType {
    /// The word in a record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The type in the words of people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// A key by which others verify a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DkimPublicKey {
    /// RSA.
    Rsa {
        /// `SubjectPublicKeyInfo` in DER, the form that all verifiers read.
        der: Vec<u8>,
        /// The length of its modulus.
        bits: u32,
    },
    /// Ed25519: the 32 octets alone.
    Ed25519(Vec<u8>),
}

impl DkimPublicKey {
    /// The public half of a key that signs.
    ///
    /// # Panics
    /// Never: the library wrote the key that it reads here.
    #[must_use]
    pub fn of(key: &DkimKey) -> Self {
        match key {
            DkimKey::Rsa(key) => Self::rsa(&key.public_key()).expect("a key that signs has a public half"),
            DkimKey::Ed25519(key) => Self::Ed25519(key.public_key()),
        }
    }

    /// Reads the octets of `p=`; `None` when they are no such key.
    pub(super) fn read(key_type: DkimKeyType, octets: &[u8]) -> Option<Self> {
        match key_type {
            DkimKeyType::Rsa => Self::rsa(octets),
            DkimKeyType::Ed25519 => {
                (octets.len() == ED25519_OCTETS).then(|| Self::Ed25519(octets.to_owned()))
            }
        }
    }

    /// An RSA key by its `SubjectPublicKeyInfo`, or by the `RSAPublicKey` in it, which RFC 6376 3.6.1 names.
    fn rsa(octets: &[u8]) -> Option<Self> {
        let key = PublicKey::from_der(octets).ok()?;
        let bits = RsaParameters::public_modulus_len(key.as_ref()).ok()?;
        let der: PublicKeyX509Der<'_> = key.as_der().ok()?;
        Some(Self::Rsa { der: der.as_ref().to_owned(), bits })
    }

    /// The type.
    #[must_use]
    pub fn key_type(&self) -> DkimKeyType {
        match self {
            Self::Rsa { .. } => DkimKeyType::Rsa,
            Self::Ed25519(_) => DkimKeyType::Ed25519,
        }
    }

    /// The length of an RSA key; that of the others is always the same.
    #[must_use]
    pub fn bits(&self) -> Option<u32> {
        match self {
            Self::Rsa { bits, .. } => Some(*bits),
            Self::Ed25519(_) => None,
        }
    }

    /// The octets that `p=` holds.
    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Self::Rsa { der, .. } => der,
            Self::Ed25519(octets) => octets,
        }
    }

    /// The value of `p=`.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.octets())
    }
}
