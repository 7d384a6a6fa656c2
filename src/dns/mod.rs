//! Asks the DNS about records: TXT, MX, A, AAAA, PTR and CNAME, as our own types.
//!
//! Each look-up is bounded in time, in the number of its records and in their size. That there is nothing by a name
//! ([`LookupError::is_absence`]) is told apart from not knowing. What comes from here is untrusted text: whoever shows it escapes
//! it, as all text from outside.
//!
//! The names of upstreams and of proxies are resolved by the machine ([`HostLookups`]), which knows names of its own: those of
//! `/etc/hosts`, of other containers, of the local network.

mod error;
mod hosts;
mod name;
mod question;
mod resolver;

pub use error::LookupError;
pub use hosts::HostLookups;
pub use name::{DnsName, NotADnsName};
pub use question::{DnsQuestion, MailExchange, RecordKind, Records};
pub use resolver::{Resolver, ResolverError};
