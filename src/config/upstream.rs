//! An upstream, as `[[upstream]]` describes it.

use std::net::IpAddr;
use std::sync::Arc;

use super::limits::smaller;
use super::{
    ByteSize, DoubtPause, Fallback, Filter, Graph, Identity, LimitGroup, Login, Pin, Proxy, Quota,
    SharedLimits, Signature, Timeouts, TrustedCertificates, UpstreamSender, names,
};

/// `[[upstream]]`
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its unique name.
    pub name: String,
    /// Whether it takes what no filter matches.
    pub default: bool,
    /// Whether it is used.
    pub enabled: bool,
    /// The senders that it serves.
    pub filter: Vec<Filter>,
    /// As whom its mail goes; `None` where it goes as it came.
    pub sender: Option<UpstreamSender>,
    /// Whether we sign for it.
    pub sign: bool,
    /// How text goes to it.
    pub encode: TextEncoding,
    /// What is put below its mail.
    pub signature: Option<Signature>,
    /// What it is.
    pub kind: UpstreamKind,
    /// Its logins; never empty. Its own comes first, if it has one.
    pub accounts: Vec<Login>,
    /// What these may send together.
    pub shared_limits: SharedLimits,
    /// The group with which it shares more limits.
    pub limit_group: Option<Arc<LimitGroup>>,
    /// Who serves in its place.
    pub fallback: Fallback,
    /// After how many failed connections or logins in a row it is disabled; 0 is never.
    pub disable_after: u32,
}

/// How text parts of messages go to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextEncoding {
    /// As they came.
    #[default]
    Unchanged,
    /// Those of 8 bits or in quoted-printable as base64, for servers that damage these.
    Base64,
}

/// What an upstream is.
#[derive(Debug, Clone)]
pub enum UpstreamKind {
    /// A smart host.
    Smtp(Box<Smtp>),
    /// A mailbox of Microsoft 365, by Microsoft Graph.
    Graph(Box<Graph>),
    /// The local mailbox; nothing leaves the machine.
    Capture(Capture),
}

/// The local mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Messages in it at most (`[test_mode] capture_max`).
    pub max: usize,
}

impl UpstreamKind {
    /// Host and port that it is reached at; `None` for what is on this machine.
    #[must_use]
    pub fn remote(&self) -> Option<(&str, u16)> {
        match self {
            Self::Smtp(smtp) => Some((&smtp.host, smtp.port)),
            Self::Graph(graph) => Some((graph.host(), graph.port())),
            Self::Capture(_) => None,
        }
    }
}

impl Upstream {
    /// Whether it delivers to whom the header names, and knows no envelope.
    #[must_use]
    pub fn delivers_by_header(&self) -> bool {
        matches!(self.kind, UpstreamKind::Graph(_))
    }

    /// How long mail rests that it may have taken, where that is longer than after any other failure.
    #[must_use]
    pub fn doubt_pause(&self) -> Option<DoubtPause> {
        match self.kind {
            UpstreamKind::Graph(_) => Some(DoubtPause::GRAPH),
            UpstreamKind::Smtp(_) | UpstreamKind::Capture(_) => None,
        }
    }

    /// The upstream for what this one can't carry, as that writes its name.
    #[must_use]
    pub fn large(&self) -> Option<&str> {
        match &self.kind {
            UpstreamKind::Graph(graph) => graph.large.as_deref(),
            UpstreamKind::Smtp(_) | UpstreamKind::Capture(_) => None,
        }
    }

    /// The largest content that any of its accounts takes; `None` when one takes all.
    #[must_use]
    pub fn message_size(&self) -> Option<ByteSize> {
        self.accounts
            .iter()
            .map(|account| self.message_size_of(account))
            .try_fold(ByteSize(0), |most, size| size.map(|size| most.max(size)))
    }

    /// The largest content that an account of it takes: by what is written, and by its windows, in which nothing larger ever
    /// has room.
    #[must_use]
    pub fn message_size_of(&self, account: &Login) -> Option<ByteSize> {
        smaller(account.limits.message_size, self.smallest_quota(account).octets.map(ByteSize))
    }

    /// The most that one transaction of an account may be to have room in each of its windows.
    #[must_use]
    pub fn smallest_quota(&self, account: &Login) -> Quota {
        let own = account.limits.quotas.smallest().min(self.shared_limits.quotas.smallest());
        let of_group = self.limit_group.as_ref().map(|group| group.limits.quotas.smallest());
        own.min(of_group.unwrap_or_default())
    }
}

/// A smart host that speaks SMTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// The preset that it has been made from.
    pub preset: Option<&'static str>,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
    /// How it and we prove who we are, where there is TLS.
    pub tls: ClientTls,
    /// Our name in EHLO when it is not `hostname`.
    pub ehlo: Option<String>,
    /// The local address that we connect from.
    pub source_address: Option<IpAddr>,
    /// Who connects in our place.
    pub proxy: Option<Proxy>,
    /// How we log in.
    pub auth: Auth,
    /// Whether a password or token may go over an open connection beyond loopback.
    pub allow_plaintext_auth: bool,
    /// How long we wait for it.
    pub timeouts: Timeouts,
    /// Where copies of what was sent go.
    pub sent_copy: Option<SentFolder>,
}

/// The folder in which the copies of what an account has sent belong (`[upstream.sent_copy]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentFolder {
    /// The IMAP server's host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is secured; never in clear text.
    pub security: Security,
    /// The folder's name.
    pub folder: String,
}

/// How an upstream and we prove who we are in TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// Certificates to trust instead of the system's.
    pub trusted: Option<TrustedCertificates>,
    /// The name in the upstream's certificate when it is not `host`.
    pub name: Option<String>,
    /// The public keys of which it must have one; empty when any will do.
    pub pins: Vec<Pin>,
    /// What we prove ourselves with to who asks.
    pub identity: Option<Identity>,
}

impl Smtp {
    /// The host without brackets.
    #[must_use]
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Host and port, as they stand in a URL.
    #[must_use]
    pub fn authority(&self) -> String {
        names::authority(self.bare_host(), self.port)
    }
}

impl SentFolder {
    /// Host and port, as they stand in a URL.
    #[must_use]
    pub fn authority(&self) -> String {
        names::authority(&self.host, self.port)
    }
}

/// How a connection is secured. What is configured is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Clear text.
    None,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
}

/// How we log in (RFC 4954).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// The strongest mechanism that both sides know and for which there is a password or a token; none when no user is
    /// configured.
    Auto,
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN.
    Login,
    /// CRAM-MD5 (RFC 2195).
    CramMd5,
    /// SCRAM-SHA-256 (RFC 7677), bound to the connection where both sides can (RFC 9266).
    ScramSha256,
    /// XOAUTH2, with a token.
    XOAuth2,
    /// OAUTHBEARER (RFC 7628), with a token.
    OAuthBearer,
}

impl Auth {
    /// Whether it takes a token alone.
    #[must_use]
    pub fn takes_token(self) -> bool {
        matches!(self, Self::XOAuth2 | Self::OAuthBearer)
    }

    /// Whether it takes a password alone.
    #[must_use]
    pub fn takes_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login | Self::CramMd5 | Self::ScramSha256)
    }

    /// Whether who reads an open connection may read the password or the token.
    #[must_use]
    pub fn is_clear_text(self) -> bool {
        !matches!(self, Self::None | Self::CramMd5 | Self::ScramSha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn takes_what_the_largest_account_takes() {
        for (sizes, want) in [
            (&[None][..], None),
            (&[Some(9)], Some(9)),
            (&[Some(9), Some(12), Some(3)], Some(12)),
            (&[Some(9), None], None),
        ] {
            let account = |size: &Option<u64>| {
                Login::anonymous(Limits { message_size: size.map(ByteSize), ..Limits::default() })
            };
            let upstream = Upstream {
                name: "a".into(),
                default: true,
                enabled: true,
                filter: vec![],
                sender: None,
                sign: false,
                encode: TextEncoding::Unchanged,
                signature: None,
                kind: UpstreamKind::Capture(Capture { max: 1 }),
                accounts: sizes.iter().map(account).collect(),
                shared_limits: SharedLimits::default(),
                limit_group: None,
                fallback: Fallback::default(),
                disable_after: 5,
            };
            assert_eq!(upstream.message_size(), want.map(ByteSize), "{sizes:?}");
        }
    }
}
