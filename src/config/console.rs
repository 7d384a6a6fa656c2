//! The control interface on the network: where it is, and by which tokens one comes in.

use std::fmt;
use std::net::SocketAddr;

use secrecy::SecretString;

/// `[console]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Where it listens; `None` is nowhere.
    pub address: Option<SocketAddr>,
    /// Whether the configuration names the address. The usual one may be taken by another program: mail goes without it.
    pub is_named: bool,
    /// Host names by which it may be reached, besides those of this machine; in lower case.
    pub hosts: Vec<String>,
    /// Who may read the metrics.
    pub metrics: MetricsAccess,
}

/// Who may read the metrics at the console's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsAccess {
    /// Who shows a token, of whatever role.
    #[default]
    SignedIn,
    /// Whoever reaches the address.
    Open,
}

impl MetricsAccess {
    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SignedIn => "signed-in",
            Self::Open => "open",
        }
    }
}

/// `[[api_token]]`
#[derive(Debug, Clone)]
pub struct ApiToken {
    /// Its name, unique, whatever the case; the log has it.
    pub name: String,
    /// What a token is checked against.
    pub hash: TokenHash,
    /// What it lets in to.
    pub role: ApiRole,
}

/// What a token is checked against.
#[derive(Clone)]
pub enum TokenHash {
    /// An argon2id string of bounded cost.
    Argon2id(SecretString),
    /// The SHA-256 of the token, which must be random then: nothing makes guesses slow.
    Sha256([u8; 32]),
}

/// What somebody may do at the control interface; who may do more comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiRole {
    /// Sees everything but contents, and changes nothing.
    Viewer,
    /// Everything.
    Admin,
}

impl ApiRole {
    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }
}

/// Names the kind alone.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Argon2id(_) => "Argon2id",
            Self::Sha256(_) => "Sha256",
        })
    }
}
