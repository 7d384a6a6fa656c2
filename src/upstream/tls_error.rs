//! Why there is no TLS towards an upstream that we can trust, in words that a person can act upon.

use std::io;

use jiff::Timestamp;
use rustls_pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};

use super::trust_verifier::{KeyFault, is_ca_as_end_entity};
use crate::config::Pin;

/// Names of a certificate that are shown.
const MAX_NAMES: usize = 5;

/// Why there is no TLS that we can trust, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The system has no certificates to trust.
    #[error("the system has no trusted certificates: {0}; install ca-certificates, or set ca_file")]
    NoRoots(String),
    /// The name to verify is no name.
    #[error("{0:?} can't be a name in a certificate; set tls_name")]
    Name(String),
    /// Nobody whom we trust vouches for the certificate.
    #[error(
        "the upstream's certificate is not signed by an authority that is trusted here; if it has its own, set ca_file"
    )]
    UnknownIssuer,
    /// Nobody but the upstream itself vouches for the certificate.
    #[error(
        "the upstream's certificate is self-signed, nobody else vouches for it; if its operator confirms that this is its \
        key, set pin = \"{0}\", or name the certificate in ca_file"
    )]
    SelfSigned(Pin),
    /// The public key is none of those that are pinned.
    #[error(
        "the upstream's public key is not the one in pin: somebody may stand in between; if its operator confirms that the \
        key has changed, set pin = \"{0}\""
    )]
    OtherKey(Pin),
    /// The certificate is for other names.
    #[error(
        "the upstream's certificate is not for {wanted}, but for {}; set host or tls_name to a name in the certificate",
        presented.join(", ")
    )]
    WrongName {
        /// The name that we asked for.
        wanted: String,
        /// Those that the certificate has, as far as they are shown.
        presented: Vec<String>,
    },
    /// The certificate has run out.
    #[error(
        "the upstream's certificate expired at {0}; its operator must renew it (or this machine's clock is wrong)"
    )]
    Expired(Timestamp),
    /// The certificate is for later.
    #[error(
        "the upstream's certificate is not valid yet, but from {0} on; check this machine's clock, or ask its operator"
    )]
    NotYetValid(Timestamp),
    /// The certificate is not meant for a server.
    #[error(
        "its certificate is a CA's own (CA:TRUE): name this very certificate in ca_file, or have it use one that the CA \
        has signed"
    )]
    IsCa,
    /// The signature of an authority of the right name does not fit.
    #[error(
        "the signature of the upstream's certificate does not verify: it is of another authority with the same name, \
        which belongs into ca_file, or a key is too short (RSA from 2048 bits), and its operator must renew it"
    )]
    BadSignature,
    /// The certificate has no name that counts (RFC 9525 6.3).
    #[error(
        "the upstream's certificate has no subjectAltName, so that nobody can tell whose it is: have it made again with \
        `subjectAltName = DNS:{0}`"
    )]
    NoName(String),
    /// The certificate is bad in another way.
    #[error("the upstream's certificate is not valid: {0}")]
    Certificate(String),
    /// The upstream wants to know who we are, and we have nothing to show.
    #[error(
        "the upstream wants a client certificate; set client_certificate and client_key to those that its operator gave you"
    )]
    ClientCertificateWanted,
    /// The upstream does not take our certificate.
    #[error("the upstream refuses our client certificate ({0}); check client_certificate with its operator")]
    ClientCertificateRefused(String),
    /// The upstream knows only versions that no longer protect (RFC 8996).
    #[error(
        "the upstream speaks no TLS newer than 1.1, which no longer protects, and clear text is no substitute; its operator \
        must allow TLS 1.2 or 1.3"
    )]
    OldVersion,
    /// A greeting stood where the handshake should have been.
    #[error(
        "the upstream begins in clear text on this port; set security = \"starttls\", or port to the one with TLS from the \
        first octet (465)"
    )]
    ClearText,
    /// What came is not TLS.
    #[error(
        "the upstream does not speak TLS here; check port and security (465 is \"tls\", 587 is \"starttls\")"
    )]
    NotTls,
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

/// What is known of a handshake that failed, beside the error.
pub(super) struct HandshakeFacts<'a> {
    /// The name that the upstream should have.
    pub(super) name: &'a str,
    /// Its first octets.
    pub(super) first: &'a [u8],
    /// Whether it has asked for a certificate of ours.
    pub(super) asked: bool,
    /// Whether we have one.
    pub(super) has_identity: bool,
}

impl TlsError {
    /// Whether it stays like this until a person changes something.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        !matches!(self, Self::Handshake(_))
    }

    /// Whether it shows that the other side speaks TLS.
    pub(super) fn is_of_a_tls_server(&self) -> bool {
        !matches!(
            self,
            Self::NoRoots(_) | Self::Name(_) | Self::ClearText | Self::NotTls | Self::Handshake(_)
        )
    }

    /// Turns what the library reports of a handshake into what a person can act upon.
    pub(super) fn of_handshake(error: &io::Error, facts: &HandshakeFacts<'_>) -> Self {
        let Some(error) = inner(error) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => Self::Handshake("the upstream closed the connection".into()),
                _ => Self::Handshake(error.to_string()),
            };
        };
        match error {
            Error::InvalidCertificate(fault) => Self::of_certificate(fault, facts.name),
            Error::InvalidMessage(_) if is_reply(facts.first) => Self::ClearText,
            Error::InvalidMessage(_) => Self::NotTls,
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13)
            | Error::AlertReceived(AlertDescription::ProtocolVersion) => Self::OldVersion,
            // All that TLS 1.2 says to who shows none.
            Error::AlertReceived(alert @ AlertDescription::HandshakeFailure) if facts.asked => {
                if facts.has_identity { refused(*alert) } else { Self::ClientCertificateWanted }
            }
            other => Self::of_alert(other).unwrap_or_else(|| Self::Handshake(other.to_string())),
        }
    }

    /// What an upstream says of our certificate, which in TLS 1.3 comes when we take the handshake to be done.
    pub(super) fn of_line(error: &io::Error) -> Option<Self> {
        inner(error).and_then(Self::of_alert)
    }

    fn of_alert(error: &Error) -> Option<Self> {
        match error {
            Error::AlertReceived(AlertDescription::CertificateRequired) => {
                Some(Self::ClientCertificateWanted)
            }
            // A server's alert about a certificate is about the client's.
            Error::AlertReceived(
                alert @ (AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied),
            ) => Some(refused(*alert)),
            _ => None,
        }
    }

    fn of_certificate(fault: &CertificateError, name: &str) -> Self {
        if let CertificateError::Other(OtherError(other)) = fault
            && let Some(key) = other.downcast_ref::<KeyFault>()
        {
            return match key {
                KeyFault::OtherKey(pin) => Self::OtherKey(*pin),
                KeyFault::SelfSigned(pin) => Self::SelfSigned(*pin),
            };
        }
        match fault {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::BadSignature => Self::BadSignature,
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                Self::NoName(name.to_owned())
            }
            CertificateError::NotValidForNameContext { presented, .. } => Self::WrongName {
                wanted: name.to_owned(),
                presented: presented.iter().take(MAX_NAMES).map(|name| bare_name(name)).collect(),
            },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(timestamp(*not_after)),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid(timestamp(*not_before))
            }
            // The library says so of a time that ends before it begins; all else has its context.
            CertificateError::Expired => Self::Certificate("its time ends before it begins".into()),
            other if is_ca_as_end_entity(other) => Self::IsCa,
            other => otherwise(&other.to_string()),
        }
    }
}

/// The library's error in one of the system's.
fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn refused(alert: AlertDescription) -> TlsError {
    TlsError::ClientCertificateRefused(format!("{alert:?}"))
}

/// Whether this begins as a reply does (RFC 5321 4.2).
fn is_reply(octets: &[u8]) -> bool {
    matches!(octets, [b'2'..=b'5', b'0'..=b'5', b'0'..=b'9', b' ' | b'-', ..])
}

fn timestamp(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs()).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::MAX)
}

/// A name of a certificate without the library's wrapping, `DnsName("a.example")`. The upstream has written it, so only what
/// a name may hold is shown.
fn bare_name(presented: &str) -> String {
    let name = presented.split_once('(').map_or(presented, |(_, name)| name);
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.*:".contains(*c)).take(253).collect()
}

/// A fault that the library has no variant of its own for: it gives the verifier's name for it.
fn otherwise(text: &str) -> TlsError {
    let bare = text.trim_start_matches("Other(").trim_start_matches("OtherError(").trim_end_matches(')');
    TlsError::Certificate(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_words_of_the_library_without_their_wrapping() {
        let other = TlsError::Certificate("MaximumSignatureChecksExceeded".into());
        assert_eq!(otherwise("Other(OtherError(MaximumSignatureChecksExceeded))"), other);
        for (presented, want) in [
            ("DnsName(\"*.firm.example\")", "*.firm.example"),
            ("IpAddress(127.0.0.1)", "127.0.0.1"),
            ("IpAddress(::1)", "::1"),
            ("DnsName(\"x\r\n\u{1b}[2J\")", "x2J"),
        ] {
            assert_eq!(bare_name(presented), want);
        }
    }

    #[test]
    fn tells_a_reply_from_noise() {
        for (octets, want) in [
            (&b"220 mail.firm.example ESMTP\r\n"[..], true),
            (b"220-a\r\n", true),
            (b"554 5.7.1 no\r\n", true),
            (b"", false),
            (b"220", false),
            (b"HTTP/1.1 400 Bad Request\r\n", false),
            (b"\x15\x03\x03\x00\x02\x02\x46", false),
        ] {
            assert_eq!(is_reply(octets), want, "{octets:?}");
        }
    }

    #[test]
    fn tells_what_an_alert_is_about() {
        let error = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let alert = |alert| error(Error::AlertReceived(alert));
        let facts = |asked, has_identity| HandshakeFacts { name: "h", first: b"", asked, has_identity };
        let unknown_ca = TlsError::ClientCertificateRefused("UnknownCA".into());
        let failed = TlsError::ClientCertificateRefused("HandshakeFailure".into());
        for (error, asked, has_identity, want) in [
            (alert(AlertDescription::ProtocolVersion), false, false, TlsError::OldVersion),
            (
                error(Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13)),
                false,
                false,
                TlsError::OldVersion,
            ),
            (alert(AlertDescription::CertificateRequired), true, false, TlsError::ClientCertificateWanted),
            (alert(AlertDescription::HandshakeFailure), true, false, TlsError::ClientCertificateWanted),
            (alert(AlertDescription::HandshakeFailure), true, true, failed),
            (alert(AlertDescription::UnknownCA), true, true, unknown_ca),
        ] {
            assert_eq!(TlsError::of_handshake(&error, &facts(asked, has_identity)), want);
        }
        let not_about_us = alert(AlertDescription::HandshakeFailure);
        let plain = TlsError::of_handshake(&not_about_us, &facts(false, true));
        assert!(matches!(plain, TlsError::Handshake(_)) && !plain.needs_a_person(), "{plain}");
        assert_eq!(TlsError::of_line(&not_about_us), None);
        let required = alert(AlertDescription::CertificateRequired);
        assert_eq!(TlsError::of_line(&required), Some(TlsError::ClientCertificateWanted));
    }
}
