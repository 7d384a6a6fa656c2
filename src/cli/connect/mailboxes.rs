//! Who sends with a sign-in.

use crate::config::{Config, Filter, GraphMailbox, Upstream, UpstreamKind};
use crate::oauth::Resource;

/// A login that uses a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SendingMailbox<'c> {
    /// The login name: the mailbox. Empty where each message says which it is, and no addresses are known.
    pub(super) user: &'c str,
    /// The upstream.
    pub(super) upstream: &'c str,
    /// What its tokens are for.
    pub(super) resource: Resource,
}

/// The logins that use the sign-in of this name, each mailbox once for each resource.
pub(super) fn of<'c>(config: &'c Config, sign_in: &str) -> Vec<SendingMailbox<'c>> {
    let mut found: Vec<SendingMailbox<'_>> = Vec::new();
    for upstream in &config.upstreams {
        let resource = Resource::of(&upstream.kind);
        for user in users(upstream, sign_in) {
            if !found.iter().any(|known| known.user == user && known.resource == resource) {
                found.push(SendingMailbox { user, upstream: &upstream.name, resource });
            }
        }
    }
    found
}

fn users<'c>(upstream: &'c Upstream, sign_in: &str) -> Vec<&'c str> {
    let mut logins = upstream.accounts.iter().filter(|login| login.oauth.as_deref() == Some(sign_in));
    let is_by_author =
        matches!(&upstream.kind, UpstreamKind::Graph(graph) if graph.mailbox == GraphMailbox::From);
    if !is_by_author {
        return logins.filter_map(|login| login.user.as_deref()).collect();
    }
    if logins.next().is_none() {
        return Vec::new();
    }
    let addresses = upstream.filter.iter().filter_map(|filter| match filter {
        Filter::Address(address) => Some(address.as_str()),
        Filter::Domain(_) | Filter::Subdomains(_) => None,
    });
    let addresses: Vec<_> = addresses.collect();
    if addresses.is_empty() { vec![""] } else { addresses }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_mailbox_of_each_resource() {
        let text = "[[upstream]]\nname = \"a\"\nhost = \"h\"\nuser = \"a@firm.example\"\noauth = \"m\"\ndefault = true\n\
            [[upstream]]\nname = \"b\"\nkind = \"graph\"\nmailbox = \"a@firm.example\"\noauth = \"m\"\nfilter = [\"b.example\"]\n\
            [[upstream]]\nname = \"c\"\nkind = \"graph\"\nmailbox = \"from\"\noauth = \"m\"\n\
            filter = [\"c@firm.example\", \"c.example\"]\n\
            [[upstream]]\nname = \"d\"\nkind = \"graph\"\nmailbox = \"from\"\noauth = \"m\"\nfilter = [\"d.example\"]\n\
            [[oauth]]\nname = \"m\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\nclient_id = \"7d3a\"\n\
            flow = \"device_code\"\n";
        let config =
            Config::from_toml(text, Path::new("/")).unwrap_or_else(|faults| panic!("{faults}")).config;
        let found = of(&config, "m");
        let found: Vec<_> = found.iter().map(|own| (own.user, own.upstream, own.resource)).collect();
        assert_eq!(
            found,
            [
                ("a@firm.example", "a", Resource::Smtp),
                ("a@firm.example", "b", Resource::Graph),
                ("c@firm.example", "c", Resource::Graph),
                ("", "d", Resource::Graph),
            ]
        );
        assert!(of(&config, "other").is_empty());
    }
}
