//! What is asked, and what is answered.

use std::net::IpAddr;

use super::name::DnsName;

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// Texts.
    Txt,
    /// Who takes mail.
    Mx,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name of an address.
    Ptr,
    /// Another name of the same.
    Cname,
}

impl RecordKind {
    /// As zones and people write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Txt => "TXT",
            Self::Mx => "MX",
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Ptr => "PTR",
            Self::Cname => "CNAME",
        }
    }
}

/// The records of one kind at one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsQuestion {
    /// The name.
    pub name: DnsName,
    /// The kind.
    pub kind: RecordKind,
}

/// An MX record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailExchange {
    /// Less is better.
    pub preference: u16,
    /// The host; `None` is the null MX (RFC 7505): nobody takes mail.
    pub host: Option<DnsName>,
}

/// The records that answer a question: at least one, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// TXT: each with its strings put together (RFC 7208 3.3). What is not UTF-8 became U+FFFD.
    Texts(Vec<String>),
    /// MX.
    Exchanges(Vec<MailExchange>),
    /// A or AAAA.
    Addresses(Vec<IpAddr>),
    /// PTR or CNAME.
    Names(Vec<DnsName>),
}

impl Records {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Exchanges(exchanges) => exchanges.len(),
            Self::Addresses(addresses) => addresses.len(),
            Self::Names(names) => names.len(),
        }
    }
}
