//! Which domains mail is sent from, and by which upstreams it leaves: the one place that knows it of the whole configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnosis::{Check, Diagnosis, Notes};
use super::sender::{SenderDomain, Via};
use crate::config::{BounceFrom, Config, Filter, RuleCondition, Upstream};
use crate::dns::DnsName;
use crate::mail::{Address, DomainKey};
use crate::route::Router;
use crate::transform::Signer;

/// Who mail is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendersInUse {
    /// The domains that have a name.
    pub domains: Vec<SenderDomain>,
    /// The domains of `*.domain`: mail may be from any one below them.
    pub parents: Vec<DomainKey>,
}

/// The sender domains that the configuration names, and those of these reverse-paths. Domains whose mail leaves by no smart host,
/// or leaves it as somebody else's, are not among them.
#[must_use]
pub fn senders_in_use(config: &Config, signer: &Signer, reverse_paths: &[String]) -> SendersInUse {
    let mut search =
        Search { config, router: Router::new(config), used: BTreeMap::new(), parents: BTreeSet::new() };
    for filter in config.upstreams.iter().flat_map(|upstream| &upstream.filter) {
        search.filter(filter);
    }
    for filter in config.users.iter().flat_map(|user| &user.senders) {
        search.filter(filter);
    }
    let addresses = config.users.iter().filter_map(|user| user.default_sender.as_ref());
    for address in addresses.chain(config.smime.iter().map(|entry| &entry.address)) {
        search.address(address);
    }
    for address in reverse_paths.iter().filter_map(|path| Address::parse(path).ok()) {
        search.address(&address);
    }
    let completed = config.complete_addresses.iter().map(|completion| DomainKey::new(completion.domain()));
    for domain in completed.chain(config.dkim.iter().map(|entry| entry.domain.clone())) {
        search.domain(&domain);
    }
    search.rules();
    search.accounts();
    if let BounceFrom::Address(address) = &config.queue.bounce_from {
        let ways = search.ways_of(address);
        search.leaves(address, ways);
    }
    SendersInUse {
        domains: search
            .used
            .iter()
            .filter_map(|(domain, ways)| sender((config, signer), domain, ways))
            .collect(),
        parents: search.parents.into_iter().collect(),
    }
}

/// Says of the domains below one that they have no names.
#[must_use]
pub fn judge_parent(parent: &DomainKey) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::Configuration, &format!("*.{parent}"));
    notes.unknown(
        format!(
            "SPF, DKIM and DMARC cannot be judged of all domains below {parent}: nobody says which are in use"
        ),
        "name them in filter or senders; those that mail in the queue is from are looked at",
    );
    notes.done()
}

/// Upstreams, by their place in the configuration.
type SenderWays = BTreeSet<usize>;

struct Search<'c> {
    config: &'c Config,
    router: Router,
    used: BTreeMap<DomainKey, SenderWays>,
    parents: BTreeSet<DomainKey>,
}

impl Search<'_> {
    /// Mail of these is handed in.
    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::Address(address) => {
                let ways = self.ways(self.router.route(&address.to_string()));
                self.handed_in(&address.domain(), ways);
            }
            Filter::Domain(domain) => self.domain(domain),
            Filter::Subdomains(parent) => {
                // Any of them is as good as the others.
                let ways = self.ways(self.router.route(&format!("any@any.{parent}")));
                if self.unchanged(ways).iter().any(|&at| leaves_by(&self.config.upstreams[at]).is_some()) {
                    self.parents.insert(parent.clone());
                }
            }
        }
    }

    fn address(&mut self, address: &Address) {
        let ways = self.ways_of(address);
        self.handed_in(&address.key().domain(), ways);
    }

    fn domain(&mut self, domain: &DomainKey) {
        let ways = self.ways(self.router.routes_of_domain(domain));
        self.handed_in(domain, ways);
    }

    /// Mail that rules send as somebody, and by some upstream.
    fn rules(&mut self) {
        let config = self.config;
        for rule in &config.rules {
            let upstream = rule.actions.set_upstream.as_ref().and_then(|name| self.router.upstream(name));
            if let Some(author) = &rule.actions.set_sender {
                let ways = upstream.map_or_else(|| self.ways_of(&author.address), |way| self.ways([way]));
                self.leaves(&author.address, ways);
            } else if let Some(upstream) = upstream {
                let ways = self.ways([upstream]);
                for filter in senders_of(&rule.when) {
                    self.named_by(filter, &ways);
                }
            }
        }
    }

    /// What upstreams make of the mail of their accounts. Reports go out from the address of the account that sends them.
    fn accounts(&mut self) {
        let config = self.config;
        for (at, upstream) in config.upstreams.iter().enumerate() {
            for account in &upstream.accounts {
                let sender = upstream.sender.as_ref();
                let fixed = sender.and_then(|sender| sender.fixed_address(account));
                let missing = sender.and_then(|sender| sender.mailbox(account)).map(|own| own.address);
                let login = || Address::parse(account.name()).ok();
                let own = if fixed.is_some() { [fixed, None] } else { [missing, login()] };
                for address in own.iter().flatten() {
                    self.leaves(address, SenderWays::from([at]));
                }
            }
        }
    }

    /// Mail of whom a filter names takes these ways; below `*.domain` nobody knows who there is.
    fn named_by(&mut self, filter: &Filter, ways: &SenderWays) {
        match filter {
            Filter::Address(address) => self.handed_in(&address.domain(), ways.clone()),
            Filter::Domain(domain) => self.handed_in(domain, ways.clone()),
            Filter::Subdomains(_) => {}
        }
    }

    /// Mail of a domain is handed in that takes these ways. Some upstreams send all of it as from somebody else.
    fn handed_in(&mut self, domain: &DomainKey, ways: SenderWays) {
        let ways = self.unchanged(ways);
        self.used.entry(domain.clone()).or_default().extend(ways);
    }

    fn unchanged(&self, mut ways: SenderWays) -> SenderWays {
        ways.retain(|&at| !replaces_all(&self.config.upstreams[at]));
        ways
    }

    /// Mail leaves as from this address.
    fn leaves(&mut self, address: &Address, ways: SenderWays) {
        self.used.entry(address.key().domain()).or_default().extend(ways);
    }

    fn ways_of(&self, address: &Address) -> SenderWays {
        self.ways(self.router.route(address.as_str()))
    }

    /// The ways of mail that is routed to these: by them, and by who serves in their place.
    fn ways<'u>(&self, routed: impl IntoIterator<Item = &'u std::sync::Arc<Upstream>>) -> SenderWays {
        let place = |name: &String| self.config.upstreams.iter().position(|other| other.name == *name);
        let names = routed
            .into_iter()
            .flat_map(|upstream| [&upstream.name].into_iter().chain(&upstream.fallback.upstreams));
        names.filter_map(place).collect()
    }
}

/// The senders that a condition is about.
fn senders_of(condition: &RuleCondition) -> Vec<&Filter> {
    match condition {
        RuleCondition::Sender(filters) => filters.iter().collect(),
        RuleCondition::All(inner) | RuleCondition::Any(inner) => inner.iter().flat_map(senders_of).collect(),
        _ => Vec::new(),
    }
}

/// Whether all mail leaves it as from addresses of its own.
fn replaces_all(upstream: &Upstream) -> bool {
    let sender = upstream.sender.as_ref();
    sender.is_some_and(|sender| upstream.accounts.iter().all(|own| sender.fixed_address(own).is_some()))
}

/// The provider that it is, if it is one that is used.
fn leaves_by(upstream: &Upstream) -> Option<Via> {
    upstream.enabled.then(|| Via::of(upstream)).flatten()
}

fn sender(
    (config, signer): (&Config, &Signer),
    domain: &DomainKey,
    ways: &SenderWays,
) -> Option<SenderDomain> {
    let upstreams: Vec<Via> = ways.iter().filter_map(|&at| leaves_by(&config.upstreams[at])).collect();
    // An address literal is no name.
    let name = DnsName::parse(domain.as_str()).ok().filter(|name| !name.as_str().starts_with('['))?;
    let keys = signer.keys_for(domain);
    let signed_by = keys.first().and_then(|own| DnsName::parse(own.domain.as_str()).ok());
    (!upstreams.is_empty()).then(|| SenderDomain {
        name,
        upstreams,
        signed_by: signed_by.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::SendingHosts;
    use crate::time::{SystemClock, Timeline};

    #[test]
    fn each_domain_has_its_ways() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"
            [queue]
            bounce_from = "bounces@other.example"
            [[user]]
            name = "erp"
            password = "long enough secret"
            senders = ["a@user.example", "*.below.example"]
            [[upstream]]
            name = "office"
            preset = "office365"
            default = true
            user = "mailer@firm.example"
            password = "secret"
            fallback = ["backup"]
            [[upstream]]
            name = "google"
            preset = "gmail"
            filter = ["shop.example", "*.shop.example", "chief@user.example"]
            user = "me@shop.example"
            password = "secret"
            [[upstream]]
            name = "backup"
            host = "smtp.backup.example"
            [[upstream]]
            name = "off"
            enabled = false
            host = "smtp.off.example"
            filter = ["off.example"]
            [[upstream]]
            name = "box"
            kind = "capture"
            filter = ["box.example"]
        "#;
        let config = Config::from_toml(text, folder.path()).unwrap().config;
        let signer = Signer::new(&config.dkim, Timeline::resume(Arc::new(SystemClock), None)).unwrap();
        let paths = ["x@queue.shop.example".to_owned(), String::new(), "y@[192.0.2.1]".to_owned()];
        let SendersInUse { domains: senders, parents } = senders_in_use(&config, &signer, &paths);
        assert_eq!(parents, ["below.example", "shop.example"].map(DomainKey::new));
        let told: Vec<(String, Vec<&str>)> = senders
            .iter()
            .map(|sender| {
                (sender.name.to_string(), sender.upstreams.iter().map(|via| via.name.as_str()).collect())
            })
            .collect();
        let want = [
            ("firm.example", vec!["office"]),
            ("other.example", vec!["office", "backup"]),
            ("queue.shop.example", vec!["google"]),
            ("shop.example", vec!["google"]),
            ("user.example", vec!["office", "google", "backup"]),
        ];
        assert_eq!(told, want.map(|(name, ways)| (name.to_owned(), ways)));
        assert_eq!(senders[0].upstreams[0].hosts, SendingHosts::Included(&["spf.protection.outlook.com"]));
    }
    /// The domains that a configuration with these lines uses, each with the names of its upstreams.
    fn used(lines: &str) -> Vec<(String, String)> {
        const UPSTREAMS: &str = r#"
            [[upstream]]
            name = "main"
            host = "smtp.main.example"
            default = true
            fallback = ["backup"]
            [[upstream]]
            name = "backup"
            host = "smtp.backup.example"
            [[upstream]]
            name = "bulk"
            host = "smtp.bulk.example"
            filter = ["news.example", "*.news.example", "x.a.news.example", "*.a.news.example"]
        "#;
        let folder = tempfile::tempdir().unwrap();
        let config = Config::from_toml(&format!("{lines}\n{UPSTREAMS}"), folder.path()).unwrap().config;
        let signer = Signer::new(&config.dkim, Timeline::resume(Arc::new(SystemClock), None)).unwrap();
        let names = |sender: &SenderDomain| {
            sender.upstreams.iter().map(|via| via.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        let senders = senders_in_use(&config, &signer, &[]).domains;
        senders.iter().map(|sender| (sender.name.to_string(), names(sender))).collect()
    }

    #[test]
    fn each_place_where_senders_stand_is_looked_at() {
        for (lines, domain, want) in [
            ("complete_addresses = \"firm.example\"", "firm.example", Some("main backup")),
            ("", "news.example", Some("bulk")),
            ("", "a.news.example", None),
            ("[queue]\nbounce_from = \"b@bounce.example\"", "bounce.example", Some("main backup")),
            (
                "[[user]]\nname = \"erp\"\npassword = \"long enough secret\"\nsenders = [\"a@erp.example\"]",
                "erp.example",
                Some("main backup"),
            ),
            (
                "[[rule]]\nname = \"r\"\nset_sender = \"R <a@rule.example>\"",
                "rule.example",
                Some("main backup"),
            ),
            (
                "[[rule]]\nname = \"r\"\nset_sender = \"a@rule.example\"\nset_upstream = \"bulk\"",
                "rule.example",
                Some("bulk"),
            ),
            ("[[rule]]\nname = \"r\"\nset_sender = \"a@news.example\"", "news.example", Some("bulk")),
            (
                "[[rule]]\nname = \"r\"\nwhen = { sender = \"mass.example\" }\nset_upstream = \"bulk\"",
                "mass.example",
                Some("bulk"),
            ),
            (
                "[[rule]]\nname = \"r\"\nwhen = { not = { sender = \"mass.example\" } }\nset_upstream = \"bulk\"",
                "mass.example",
                None,
            ),
            ("[[rule]]\nname = \"r\"\nadd_bcc = [\"a@archive.example\"]", "archive.example", None),
        ] {
            let used = used(lines);
            let got = used.iter().find(|(name, _)| name == domain).map(|(_, ways)| ways.as_str());
            assert_eq!(got, want, "{lines} {domain}: {used:?}");
        }
    }

    #[test]
    fn what_an_upstream_sends_as_counts_and_not_what_came() {
        let of = |sender: &str, user: &str| {
            used(&format!(
                "[[upstream]]\nname = \"own\"\nhost = \"smtp.own.example\"\nfilter = [\"came.example\"]\n{user}\n{sender}"
            ))
        };
        let login = "user = \"me@login.example\"\npassword = \"secret\"";
        for (sender, user, want) in [
            ("", "", &["came.example"][..]),
            ("", login, &["came.example", "login.example"]),
            ("[upstream.sender]\naddress = \"o@own.example\"", "", &["came.example", "own.example"]),
            ("[upstream.sender]\naddress = \"o@own.example\"\nwhen = \"always\"", "", &["own.example"]),
            ("[upstream.sender]\naddress = \"o@own.example\"\nwhen = \"always\"", login, &["own.example"]),
            ("[upstream.sender]\nname = \"Firm\"\nwhen = \"always\"", login, &["login.example"]),
        ] {
            let used = of(sender, user);
            let by_own = used.iter().filter(|(_, ways)| ways == "own").map(|(name, _)| name.as_str());
            assert_eq!(by_own.collect::<Vec<_>>(), want, "{sender} {user}: {used:?}");
        }
    }

    #[test]
    fn what_has_no_name_cannot_be_judged() {
        let found = judge_parent(&"firm.example".into());
        assert_eq!(
            (found[0].subject.as_str(), found[0].level),
            ("*.firm.example", crate::doctor::Level::Unknown)
        );
    }
}
