//! Asks name servers: those that are configured, or the system's.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::timeout;

use super::error::LookupError;
use super::name::DnsName;
use super::question::{DnsQuestion, MailExchange, RecordKind, Records};

/// How long one server has for one answer.
const ONE_ANSWER: Duration = Duration::from_secs(3);
/// How often each server is asked.
const ATTEMPTS: usize = 2;
/// How long a look-up takes at most, whatever the servers do.
const ONE_LOOKUP: Duration = Duration::from_secs(12);
/// The most records of an answer.
const MOST_RECORDS: usize = 64;
/// The most octets of the texts of an answer.
const MOST_OCTETS: usize = 65_536;

/// Asks the DNS. Clones share connections and what is known already.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolverError {
    /// The system names no servers that can be used.
    #[error("cannot tell which name servers this machine uses ({0}): write [dns] servers")]
    System(String),
}

impl Resolver {
    /// A resolver that asks these servers, or, where there are none, the system's (`/etc/resolv.conf`). To be made and used within a
    /// runtime of tokio. Nothing is asked yet.
    ///
    /// # Errors
    /// The system's servers can't be found out.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        let system = |error: NetError| ResolverError::System(error.to_string());
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(system)?
        } else {
            let servers = servers.iter().copied().map(server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = ONE_ANSWER;
        options.attempts = ATTEMPTS;
        // What others see is asked for, not what this machine makes of it.
        options.use_hosts_file = ResolveHosts::Never;
        options.edns0 = true;
        builder.build().map(Self).map_err(system)
    }

    /// The records that answer a question. Those of other names, which a CNAME leads to, are among them.
    ///
    /// # Errors
    /// There are none, or it is not known whether there are.
    pub async fn ask(&self, question: &DnsQuestion) -> Result<Records, LookupError> {
        let DnsQuestion { name, kind } = question;
        let asked = self.0.lookup(wire_name(name)?, record_type(*kind));
        let found = match timeout(ONE_LOOKUP, asked).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) => return Err(LookupError::Unanswered("time-out".to_owned())),
        };
        let data: Vec<RData> = found
            .answers()
            .iter()
            .filter(|record| record.record_type() == record_type(*kind))
            .map(|record| record.data.clone())
            .take(MOST_RECORDS + 1)
            .collect();
        records(*kind, &data)
    }

    /// The TXT records of a name.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn texts(&self, name: &DnsName) -> Result<Vec<String>, LookupError> {
        match self.ask(&DnsQuestion { name: name.clone(), kind: RecordKind::Txt }).await? {
            Records::Texts(texts) => Ok(texts),
            _ => Err(LookupError::NoRecord),
        }
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::Txt => RecordType::TXT,
        RecordKind::Mx => RecordType::MX,
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Ptr => RecordType::PTR,
        RecordKind::Cname => RecordType::CNAME,
    }
}

/// The name as it is asked for: whole, so that no search list is put behind it.
fn wire_name(name: &DnsName) -> Result<Name, LookupError> {
    let labels = name.as_str().split('.').map(str::as_bytes);
    let mut name = Name::from_labels(labels).map_err(|error| LookupError::Refused(error.to_string()))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The text of a name in an answer, which can hold any octet; `None` where we would not ask for it.
fn own_name(name: &Name) -> Option<DnsName> {
    let labels =
        name.iter().map(|label| std::str::from_utf8(label).ok().filter(|label| !label.contains('.')));
    DnsName::parse(&labels.collect::<Option<Vec<_>>>()?.join(".")).ok()
}

fn records(kind: RecordKind, data: &[RData]) -> Result<Records, LookupError> {
    if data.is_empty() {
        return Err(LookupError::NoRecord);
    }
    if data.len() > MOST_RECORDS {
        return Err(LookupError::TooMuch { limit: format!("{MOST_RECORDS} records") });
    }
    let unreadable = || LookupError::Refused("a name that cannot be read".to_owned());
    let hosts = || data.iter().map(host).collect::<Option<Vec<_>>>().ok_or_else(unreadable);
    match kind {
        RecordKind::Txt => texts(data).map(Records::Texts),
        RecordKind::Mx => {
            let exchanges = data.iter().map(exchange).collect::<Option<_>>();
            exchanges.map(Records::Exchanges).ok_or_else(unreadable)
        }
        RecordKind::A | RecordKind::Aaaa => {
            Ok(Records::Addresses(data.iter().filter_map(RData::ip_addr).collect()))
        }
        RecordKind::Ptr | RecordKind::Cname => hosts().map(Records::Names),
    }
}

/// The texts, each with its strings put together without anything between them.
fn texts(data: &[RData]) -> Result<Vec<String>, LookupError> {
    let strings = |data: &RData| match data {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    };
    let texts: Vec<Vec<u8>> = data.iter().filter_map(strings).collect();
    if texts.iter().map(Vec::len).sum::<usize>() > MOST_OCTETS {
        return Err(LookupError::TooMuch { limit: format!("{MOST_OCTETS} octets") });
    }
    Ok(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
}

/// The host of a PTR or CNAME record; `None` where it can't be read.
fn host(data: &RData) -> Option<DnsName> {
    match data {
        RData::PTR(record) => own_name(&record.0),
        RData::CNAME(record) => own_name(&record.0),
        _ => None,
    }
}

/// An MX record; `None` where its host can't be read.
fn exchange(data: &RData) -> Option<MailExchange> {
    let RData::MX(record) = data else { return None };
    let preference = record.preference;
    if record.exchange.is_root() {
        return Some(MailExchange { preference, host: None });
    }
    own_name(&record.exchange).map(|host| MailExchange { preference, host: Some(host) })
}

fn failed(error: NetError) -> LookupError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => LookupError::NoName,
            ResponseCode::NoError => LookupError::NoRecord,
            code => LookupError::Refused(code.to_string()),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => LookupError::Refused(code.to_string()),
        NetError::Timeout => LookupError::Unanswered("time-out".to_owned()),
        NetError::Io(error) => LookupError::Unanswered(error.to_string()),
        NetError::NoConnections | NetError::Busy => LookupError::Unanswered("not reached".to_owned()),
        other => LookupError::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
