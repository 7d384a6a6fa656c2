//! Asks the DNS for the record of a key.

use super::judgement::Published;
use crate::dns::{DnsName, DnsQuestion, LookupError, RecordKind, Records, Resolver};

impl Published {
    /// What the DNS has by the name of a key. A CNAME is followed, as receivers do.
    pub async fn ask(resolver: &Resolver, name: &str) -> Self {
        let name = match DnsName::parse(name) {
            Ok(name) => name,
            Err(error) => return Self::Unknown(error.to_string()),
        };
        match resolver.texts(&name).await {
            Ok(texts) => Self::Texts(texts),
            Err(error) if error.is_absence() => Self::Nothing { alias: alias(resolver, name).await },
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// Where a CNAME leads that has no end.
async fn alias(resolver: &Resolver, name: DnsName) -> Option<String> {
    let asked: Result<Records, LookupError> =
        resolver.ask(&DnsQuestion { name, kind: RecordKind::Cname }).await;
    match asked {
        Ok(Records::Names(names)) => names.first().map(ToString::to_string),
        _ => None,
    }
}
