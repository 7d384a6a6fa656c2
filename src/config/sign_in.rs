//! `[[oauth]]`: how tokens are had from a provider.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use url::Url;

use super::{Identity, Proxy};
use crate::time::Validity;

/// A sign-in: an application that is registered at a provider, and how it gets tokens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// What accounts and `connect` name it by; no two are the same, in whatever case.
    pub name: Arc<str>,
    /// Whose it is.
    pub provider: SignInProvider,
    /// The organization at Microsoft.
    pub tenant: Option<String>,
    /// The application; empty where the flow needs none.
    pub client_id: String,
    /// How tokens are had.
    pub flow: SignInFlow,
    /// How the application proves that it is itself.
    pub proof: ClientProof,
    /// Where tokens are had (RFC 6749 3.2).
    pub token_url: Url,
    /// What to ask for, so that mail can be sent by SMTP; empty where the provider needs no scope.
    pub scope: String,
    /// What to ask for, so that mail can be sent by Microsoft Graph; `None` where that is not to be had.
    pub graph_scope: Option<String>,
    /// When the client secret expires, since the provider tells nobody.
    pub secret_expires: Option<Date>,
    /// By which proxy the provider is reached.
    pub proxy: Option<Proxy>,
}

/// What kind of thing ends at a known time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryKind {
    /// What a person's sign-in gave.
    Token,
    /// A client secret.
    Secret,
    /// A certificate.
    Certificate,
}

/// Whose a sign-in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInProvider {
    /// Microsoft Entra.
    Microsoft,
    /// Google.
    Google,
    /// Any other: the keys tell all.
    Custom,
}

/// How tokens are had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInFlow {
    /// A person signs in on any device with a code that is shown (RFC 8628).
    DeviceCode {
        /// Where the code comes from.
        device_url: Url,
    },
    /// A person signs in with a browser (RFC 6749 4.1, RFC 8252).
    AuthorizationCode {
        /// Where the browser goes.
        authorize_url: Url,
    },
    /// The application signs in by itself (RFC 6749 4.4).
    ClientCredentials,
    /// The machine's own identity, from the service at `token_url` that clouds have on their machines.
    ManagedIdentity,
    /// A service account signs a statement in the name of each user (RFC 7523).
    ServiceAccount(ServiceAccount),
}

/// How an application proves that it is itself.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// It does not: anybody can know all that it knows (RFC 6749 2.1, public).
    None,
    /// By a secret.
    Secret(SecretString),
    /// By the key of a certificate that the provider has (RFC 7523 2.2).
    Certificate(ClientCertificate),
    /// By a statement that others write into this file (RFC 7523 2.2), read afresh each time.
    AssertionFile(PathBuf),
}

/// A certificate by which an application proves itself, with its key. They belong together.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate; the provider has the same.
    pub identity: Identity,
    /// Its RSA key, PEM.
    pub key: SecretString,
}

/// A service account at Google.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// Its address.
    pub email: String,
    /// Which of its keys this is.
    pub key_id: Option<String>,
    /// Its RSA key, PEM.
    pub key: SecretString,
}

/// The longest statement that an `assertion_file` may hold, in octets.
pub const LONGEST_ASSERTION: u64 = 64 * 1024;

/// `[secrets]`
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// What tokens are encrypted with in the store; `None`: they are protected by the mode of its folder alone.
    pub key: Option<SealingKey>,
}

/// 32 octets to encrypt with. Debug output does not show them.
#[derive(Debug, Clone)]
pub struct SealingKey(Arc<SecretBox<[u8; 32]>>);

impl SignIn {
    /// Whether a person has to sign in before there are tokens, by `mailsluice connect`.
    #[must_use]
    pub fn needs_grant(&self) -> bool {
        matches!(self.flow, SignInFlow::DeviceCode { .. } | SignInFlow::AuthorizationCode { .. })
    }

    /// Whether each user has a token of its own: a service account speaks for one at a time.
    #[must_use]
    pub fn is_by_user(&self) -> bool {
        matches!(self.flow, SignInFlow::ServiceAccount(_))
    }

    /// The name of its flow, as the configuration has it.
    #[must_use]
    pub fn flow_name(&self) -> &'static str {
        match self.flow {
            SignInFlow::DeviceCode { .. } => "device_code",
            SignInFlow::AuthorizationCode { .. } => "authorization_code",
            SignInFlow::ClientCredentials | SignInFlow::ManagedIdentity => "client_credentials",
            SignInFlow::ServiceAccount(_) => "service_account",
        }
    }

    /// How long that by which the application proves itself is good, and what it is: a secret or a certificate.
    #[must_use]
    pub fn proof_validity(&self) -> Option<(ExpiryKind, Validity)> {
        let certificate = match &self.proof {
            ClientProof::Certificate(certificate) => certificate.identity.validity(),
            ClientProof::None | ClientProof::Secret(_) | ClientProof::AssertionFile(_) => None,
        };
        let secret = || self.secret_expires?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
        let certificate = certificate.map(|validity| (ExpiryKind::Certificate, validity));
        certificate.or_else(|| secret().map(|end| (ExpiryKind::Secret, Validity::until(end))))
    }
}

impl ExpiryKind {
    /// The name in the metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
        }
    }
}

impl SealingKey {
    /// A key of these octets.
    #[must_use]
    pub fn new(octets: [u8; 32]) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(octets))))
    }

    /// The octets themselves, for the cipher.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SealingKey {}

impl PartialEq for ClientProof {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Secret(own), Self::Secret(other)) => own.expose_secret() == other.expose_secret(),
            (Self::Certificate(own), Self::Certificate(other)) => own == other,
            (Self::AssertionFile(own), Self::AssertionFile(other)) => own == other,
            (Self::None | Self::Secret(_) | Self::Certificate(_) | Self::AssertionFile(_), _) => false,
        }
    }
}

impl Eq for ClientProof {}

/// Two are equal when their certificates are; the same certificate has the same key.
impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for ClientCertificate {}

impl PartialEq for ServiceAccount {
    fn eq(&self, other: &Self) -> bool {
        (&self.email, &self.key_id, self.key.expose_secret())
            == (&other.email, &other.key_id, other.key.expose_secret())
    }
}

impl Eq for ServiceAccount {}
