//! `[[oauth]]`: how an application proves that it is itself.

use std::path::PathBuf;

use mail_auth::common::crypto::DkimKey;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::config::identity::{self, NamedFile};
use crate::config::reader::Section;
use crate::config::{
    ClientCertificate, ClientProof, LONGEST_ASSERTION, ServiceAccount, SignInProvider, files, private_key,
    secret,
};

/// The service that gives tokens to a machine in Azure; it can be reached from that machine alone.
const MANAGED_IDENTITY_URL: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// The longest file of a key, in octets.
const LONGEST_KEY: u64 = 1024 * 1024;
/// The keys that prove something; of these there is one at most.
const PROOFS: [&str; 5] =
    ["client_secret", "client_certificate", "assertion_file", "managed_identity", "service_account"];
const WRITE_PROOF: &str =
    "write client_secret, client_certificate and client_key, assertion_file, or managed_identity = true";
const WRITE_RSA_KEY: &str = "make one with `openssl req -x509 -newkey rsa:3072 -nodes`";

/// The proof that is written.
pub(super) enum Proof {
    Nothing,
    Secret(SecretString),
    Certificate(ClientCertificate),
    Assertion(PathBuf),
    ManagedIdentity,
    /// With the token endpoint that its file names.
    ServiceAccount(ServiceAccount, Option<Url>),
}

impl Proof {
    /// `None` where something is wrong, which has been said.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let is_managed_identity = section.flag("managed_identity") == Some(true);
        let is_written = |key: &&str| section.has(key) && (*key != "managed_identity" || is_managed_identity);
        let written: Vec<&str> = PROOFS.into_iter().filter(is_written).collect();
        for other in written.iter().skip(1) {
            let what = format!("is a second proof beside {}", written[0]);
            section.fault(&section.place_of(other), other, &what, "remove one of them");
        }
        let secret = secret::read(section, "client_secret").map(Self::Secret);
        let certificate = certificate(section).map(Self::Certificate);
        let assertion = assertion(section).map(Self::Assertion);
        let account = service_account(section);
        match written.as_slice() {
            [] => Some(Self::Nothing),
            ["managed_identity"] => Some(Self::ManagedIdentity),
            [_] => secret.or(certificate).or(assertion).or(account),
            _ => None,
        }
    }

    /// The key that it stands at.
    fn key(&self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Secret(_) => PROOFS[0],
            Self::Certificate(_) => PROOFS[1],
            Self::Assertion(_) => PROOFS[2],
            Self::ManagedIdentity => PROOFS[3],
            Self::ServiceAccount(..) => PROOFS[4],
        }
    }

    /// The token endpoint that it brings with it.
    pub(super) fn token_url(&self) -> Option<Url> {
        match self {
            Self::ManagedIdentity => Url::parse(MANAGED_IDENTITY_URL).ok(),
            Self::ServiceAccount(_, url) => url.clone(),
            Self::Nothing | Self::Secret(_) | Self::Certificate(_) | Self::Assertion(_) => None,
        }
    }

    /// Proves the application where a person signs in; there it need not, and must not where it `is_public`.
    pub(super) fn beside_person(self, section: &Section<'_>, is_public: bool) -> Option<ClientProof> {
        match self {
            Self::Nothing => Some(ClientProof::None),
            proof if is_public => {
                let what = "is not wanted by Microsoft with flow = \"device_code\"";
                refuse(section, &proof, what)
            }
            Self::Secret(secret) => Some(ClientProof::Secret(secret)),
            Self::Certificate(certificate) => Some(ClientProof::Certificate(certificate)),
            Self::Assertion(path) => Some(ClientProof::AssertionFile(path)),
            proof => refuse(section, &proof, "has no use where a person signs in"),
        }
    }

    /// Proves the application where it signs in by itself.
    pub(super) fn alone(self, section: &Section<'_>, provider: SignInProvider) -> Option<ClientProof> {
        if provider == SignInProvider::Google {
            let instead = r#"write "service_account", or "authorization_code""#;
            section.fault(&section.place_of("flow"), "flow", "is not to be had at Google", instead);
            return None;
        }
        match self {
            Self::Nothing => {
                section.missing("client_secret", WRITE_PROOF);
                None
            }
            // There is no client to prove: the machine is known.
            Self::ManagedIdentity => Some(ClientProof::None),
            Self::Secret(secret) => Some(ClientProof::Secret(secret)),
            Self::Certificate(certificate) => Some(ClientProof::Certificate(certificate)),
            Self::Assertion(path) => Some(ClientProof::AssertionFile(path)),
            proof @ Self::ServiceAccount(..) => {
                refuse(section, &proof, "has no use without flow = \"service_account\"")
            }
        }
    }

    /// The service account.
    pub(super) fn service_account(
        self,
        section: &Section<'_>,
        provider: SignInProvider,
    ) -> Option<ServiceAccount> {
        if provider == SignInProvider::Microsoft {
            let what = "is not to be had at Microsoft";
            section.fault(&section.place_of("flow"), "flow", what, r#"write "client_credentials""#);
            return None;
        }
        match self {
            Self::ServiceAccount(account, _) => Some(account),
            Self::Nothing => {
                section.missing("service_account", r#"write { file = "…" }, the account's key as JSON"#);
                None
            }
            proof => refuse(section, &proof, "has no use with flow = \"service_account\""),
        }
    }
}

fn refuse<T>(section: &Section<'_>, proof: &Proof, what: &str) -> Option<T> {
    section.fault(&section.place_of(proof.key()), proof.key(), what, "remove it, or write another flow");
    None
}

/// `client_certificate` and `client_key`
fn certificate(section: &mut Section<'_>) -> Option<ClientCertificate> {
    const CERTIFICATE: &str = "client_certificate";
    const KEY: &str = "client_key";
    for (key, other) in [(CERTIFICATE, KEY), (KEY, CERTIFICATE)] {
        if section.has(other) && !section.has(key) {
            section.missing(key, &format!("write the path of a PEM file, or remove {other}"));
        }
    }
    let certificate = section.path(CERTIFICATE).map(|path| NamedFile { key: CERTIFICATE, path });
    let (key, certificate) = (section.path(KEY).map(|path| NamedFile { key: KEY, path })?, certificate?);
    let identity = identity::read(section, &certificate, &key)?;
    let key = SecretString::from(section.context.read_file(&key.path, LONGEST_KEY).ok()?.text);
    let is_rsa = matches!(private_key::signing_key(key.expose_secret()), Ok(DkimKey::Rsa(_)));
    if !is_rsa {
        let what = "is not an RSA key of 2048 bits or more, as providers want it";
        section.fault(&section.place_of(KEY), KEY, what, WRITE_RSA_KEY);
        return None;
    }
    Some(ClientCertificate { identity, key })
}

/// `assertion_file`: it may be written after the start, and is read whenever a token is asked for.
fn assertion(section: &mut Section<'_>) -> Option<PathBuf> {
    let path = section.path("assertion_file")?;
    if let Err(why) = files::read(&path, LONGEST_ASSERTION) {
        let instead = "no token is to be had until it is there";
        section.warning(&section.place_of("assertion_file"), "assertion_file", &why, instead);
    }
    Some(path)
}

/// A service account's file, as Google gives it.
#[derive(Deserialize)]
struct AccountFile {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<Url>,
}

/// `service_account`
fn service_account(section: &mut Section<'_>) -> Option<Proof> {
    const INSTEAD: &str = r#"write { file = "…" } with the JSON file that Google gives for a new key"#;
    let text = secret::read(section, "service_account")?;
    let fault = |what: &str| {
        section.fault(&section.place_of("service_account"), "service_account", what, INSTEAD);
        None
    };
    // What the parser says could show a part of the key.
    let Ok(file) = serde_json::from_str::<AccountFile>(text.expose_secret()) else {
        return fault("is not the key of a service account as JSON");
    };
    let key = SecretString::from(file.private_key);
    match private_key::signing_key(key.expose_secret()) {
        Ok(DkimKey::Rsa(_)) => {}
        Ok(_) => return fault("has a private_key that is no RSA key"),
        Err(why) => return fault(&format!("has a private_key that {why}")),
    }
    let account = ServiceAccount { email: file.client_email, key_id: file.private_key_id, key };
    Some(Proof::ServiceAccount(account, file.token_uri))
}
