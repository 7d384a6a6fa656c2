//! A detached signature of the Cryptographic Message Syntax (RFC 5652 5, RFC 8551 2.5).

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignatureValue, SignedAttributes, SignedData, SignerIdentifier,
    SignerInfo, SignerInfos,
};
use der::asn1::{Any, ObjectIdentifier, OctetString, SetOfVec, UtcTime};
use der::oid::db::rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME};
use der::oid::db::rfc5912::{ECDSA_WITH_SHA_256, ID_SHA_256, RSA_ENCRYPTION};
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::sign::Signer as KeySigner;
use x509_cert::Certificate;
use x509_cert::attr::Attribute;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::config::SmimeEntry;

/// Why a message is not signed. It is the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmimeError {
    /// The key is of another kind.
    #[error("the key of the certificate for {0} is neither RSA nor ECDSA with P-256")]
    Key(String),
    /// A certificate is not written as the syntax demands, or the signature can't be.
    #[error("the certificate for {address} can't be used: {source}")]
    Certificate {
        /// Whose it is.
        address: String,
        /// What is wrong.
        source: der::Error,
    },
    /// The key does not sign.
    #[error("signing for {address} failed: {reason}")]
    Sign {
        /// Whose key it is.
        address: String,
        /// What the signer says.
        reason: String,
    },
}

/// Signs with one certificate.
pub(super) struct CmsSigner {
    address: String,
    own: IssuerAndSerialNumber,
    certificates: CertificateSet,
    key: Box<dyn KeySigner>,
}

/// Shows no key.
impl fmt::Debug for CmsSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CmsSigner").field("address", &self.address).finish_non_exhaustive()
    }
}

impl CmsSigner {
    /// Makes certificate and key ready.
    pub(super) fn new(entry: &SmimeEntry) -> Result<Self, SmimeError> {
        let address = entry.address.to_string();
        let certified = entry.identity.certified_key();
        let Some(key) = entry.identity.mail_signer() else { return Err(SmimeError::Key(address)) };
        match chain(&certified.cert) {
            Ok((own, certificates)) => Ok(Self { address, own, certificates, key }),
            Err(source) => Err(SmimeError::Certificate { address, source }),
        }
    }

    /// Signs a MIME entity: a `ContentInfo` in DER.
    pub(super) fn sign(&self, entity: &[u8], now: Timestamp) -> Result<Vec<u8>, SmimeError> {
        let unwritten = |source| SmimeError::Certificate { address: self.address.clone(), source };
        let attributes = attributes(entity, now).map_err(unwritten)?;
        let octets = attributes.to_der().map_err(unwritten)?;
        let signature = self
            .key
            .sign(&octets)
            .map_err(|error| SmimeError::Sign { address: self.address.clone(), reason: error.to_string() })?;
        self.content_info(attributes, &signature).map_err(unwritten)
    }

    fn content_info(&self, attributes: SignedAttributes, signature: &[u8]) -> Result<Vec<u8>, der::Error> {
        let sha256 = AlgorithmIdentifierOwned { oid: ID_SHA_256, parameters: None };
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(self.own.clone()),
            digest_alg: sha256.clone(),
            signed_attrs: Some(attributes),
            signature_algorithm: self.algorithm(),
            signature: SignatureValue::new(signature)?,
            unsigned_attrs: None,
        };
        let data = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![sha256])?,
            encap_content_info: EncapsulatedContentInfo { econtent_type: ID_DATA, econtent: None },
            certificates: Some(self.certificates.clone()),
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
        };
        ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&data)? }.to_der()
    }

    /// How the key signs (RFC 5754 3).
    fn algorithm(&self) -> AlgorithmIdentifierOwned {
        match self.key.scheme() {
            SignatureScheme::RSA_PKCS1_SHA256 => {
                AlgorithmIdentifierOwned { oid: RSA_ENCRYPTION, parameters: Some(Any::null()) }
            }
            _ => AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA_256, parameters: None },
        }
    }
}

/// How the first certificate is named, and all of them.
fn chain(certificates: &[impl AsRef<[u8]>]) -> Result<(IssuerAndSerialNumber, CertificateSet), der::Error> {
    let read = |der: &dyn AsRef<[u8]>| Certificate::from_der(der.as_ref());
    let all: Vec<Certificate> = certificates.iter().map(|der| read(der)).collect::<Result<_, _>>()?;
    let own = all.first().ok_or_else(|| der::Error::from(der::ErrorKind::Failed))?.tbs_certificate.clone();
    let own = IssuerAndSerialNumber { issuer: own.issuer, serial_number: own.serial_number };
    let mut set = SetOfVec::new();
    for certificate in all {
        // The same one twice is once in a set.
        let choice = CertificateChoices::Certificate(certificate);
        if set.iter().all(|known| *known != choice) {
            set.insert(choice)?;
        }
    }
    Ok((own, CertificateSet(set)))
}

/// What is signed: the digest of the entity, and when.
fn attributes(entity: &[u8], now: Timestamp) -> Result<SignedAttributes, der::Error> {
    let time = UtcTime::from_unix_duration(Duration::from_secs(now.as_second().unsigned_abs()))?;
    let attribute = |oid: ObjectIdentifier, value: Any| {
        Ok::<_, der::Error>(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
    };
    SetOfVec::try_from(vec![
        attribute(ID_CONTENT_TYPE, Any::encode_from(&ID_DATA)?)?,
        attribute(ID_SIGNING_TIME, Any::encode_from(&time)?)?,
        attribute(
            ID_MESSAGE_DIGEST,
            Any::encode_from(&OctetString::new(digest(&SHA256, entity).as_ref())?)?,
        )?,
    ])
}
