//! What the configuration says of an account; a reload exchanges it.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::ExposeSecret;

use super::condition::ProbeTimes;
use crate::config::{self, Config, Limits, Upstream, UpstreamKind};
use crate::imap::SentMailbox;
use crate::limits::{AccountKey, Ceilings, GroupKey, Scope};
use crate::oauth::{NoToken, Resource, SignIns, TokenHandle, TokenUser};
use crate::smtp::InstanceId;
use crate::upstream::{
    Connector, Credentials, Dial, DialogueHub, GraphClient, Mailbox, TokenLogin, Transport,
};

/// What the configuration says of an account.
pub struct AccountSettings {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// The account's place among those of the upstream.
    place: usize,
    /// How the upstream is reached.
    pub(crate) transport: Transport,
    /// Where its tokens come from, if it logs in with tokens.
    token: Option<TokenHandle>,
    /// Outlives reloads, as the account does.
    token_user: TokenUser,
    /// Where copies of what it has sent go.
    sent_mailbox: Option<Arc<SentMailbox>>,
    hostname: String,
    ceilings: Vec<(Scope, Ceilings)>,
    pub(super) times: ProbeTimes,
    /// The longest that a recipient rests.
    pub(super) retry_max: Duration,
}

/// What accounts are made with.
pub(super) struct SettingsSources<'a> {
    pub(super) config: &'a Config,
    pub(super) dial: &'a Arc<dyn Dial>,
    pub(super) instance: InstanceId,
    pub(super) mailbox: &'a Arc<Mailbox>,
    pub(super) sign_ins: &'a SignIns,
}

/// An account of the configuration.
pub(super) struct ConfiguredAccount<'a> {
    pub(super) upstream: &'a Arc<Upstream>,
    /// Its place among those of the upstream.
    pub(super) place: usize,
    pub(super) key: &'a AccountKey,
    /// What is said on the connections of the upstream.
    pub(super) dialogue: &'a Arc<DialogueHub>,
    /// Its settings by the configuration before, if it had it.
    pub(super) before: Option<&'a AccountSettings>,
}

impl AccountSettings {
    pub(super) fn new(sources: &SettingsSources<'_>, account: &ConfiguredAccount<'_>) -> Self {
        let &ConfiguredAccount { upstream, place, key, dialogue, before } = account;
        let account = &upstream.accounts[place];
        let hostname = &sources.config.hostname;
        let token_user = before.map(|before| before.token_user.clone()).unwrap_or_default();
        let sign_in = account.oauth.as_deref();
        let by = account.name();
        let token = sign_in.map(|name| sources.sign_ins.handle_of(name, Resource::of(&upstream.kind), by));
        let transport = match &upstream.kind {
            UpstreamKind::Smtp(smtp) => {
                let (dial, smtp) = (sources.dial.clone(), (**smtp).clone());
                let credentials = Credentials::of(account, token.clone(), token_user.clone());
                let connector = Connector::new(dial, smtp, credentials, hostname, sources.instance);
                Transport::Smtp(Box::new(connector.heard_in(dialogue.clone())))
            }
            UpstreamKind::Graph(graph) => {
                let login =
                    token.clone().map(|token| TokenLogin::new(by.to_owned(), token, token_user.clone()));
                let http = sources.sign_ins.http();
                let client = GraphClient::new(
                    (**graph).clone(),
                    upstream.filter.clone(),
                    login.map(Credentials::Token),
                    http,
                );
                Transport::Graph(Arc::new(client.heard_in(dialogue.clone())))
            }
            UpstreamKind::Capture(_) => Transport::Capture(sources.mailbox.clone()),
        };
        let sent_mailbox = sent_mailbox(sources.dial, upstream, account, token.clone());
        let zone = &sources.config.timezone;
        Self {
            upstream: upstream.clone(),
            place,
            transport,
            token,
            token_user,
            sent_mailbox,
            hostname: hostname.clone(),
            ceilings: ceilings(upstream, &account.limits, key, zone),
            retry_max: sources.config.queue.retry_max,
            times: ProbeTimes::new(&sources.config.queue, upstream.disable_after),
        }
    }

    /// Where its tokens come from, if it logs in with tokens.
    pub(super) fn token(&self) -> Option<&TokenHandle> {
        self.token.as_ref()
    }

    /// Why it can't log in now; `None` when it can, or needs no token for that.
    pub(super) fn no_token(&self) -> Option<NoToken> {
        self.token.as_ref()?.current().err()
    }

    /// Where copies of what it has sent go, if the upstream has them made.
    #[must_use]
    pub fn sent_mailbox(&self) -> Option<&SentMailbox> {
        self.sent_mailbox.as_deref()
    }

    /// The account as the configuration has it.
    #[must_use]
    pub fn account(&self) -> &config::Login {
        &self.upstream.accounts[self.place]
    }

    /// The account's place among those of the upstream.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    /// What it may send by itself.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.account().limits
    }

    /// The largest content that it takes; `None`: any.
    #[must_use]
    pub fn message_size(&self) -> Option<u64> {
        self.upstream.message_size_of(self.account()).map(|size| size.0)
    }

    /// What is in force for it, for all accounts of the upstream together, and for the limit group, if there is one.
    pub(super) fn ceilings(&self) -> &[(Scope, Ceilings)] {
        &self.ceilings
    }

    /// Whether all that it counts in has the same limits by the other settings.
    pub(super) fn has_same_limits(&self, other: &Self) -> bool {
        let of_group =
            |settings: &Self| settings.upstream.limit_group.as_ref().map(|group| group.limits.clone());
        self.limits() == other.limits()
            && self.upstream.shared_limits == other.upstream.shared_limits
            && of_group(self) == of_group(other)
    }

    /// Whether connections that were made by the other settings may serve these.
    pub(super) fn has_same_login(&self, other: &Self) -> bool {
        let login = |settings: &Self| {
            let account = settings.account();
            let password = account.password.as_ref().map(|secret| secret.expose_secret().to_owned());
            (account.user.clone(), password, account.oauth.clone())
        };
        let same_host = match (&self.upstream.kind, &other.upstream.kind) {
            (UpstreamKind::Smtp(a), UpstreamKind::Smtp(b)) => a == b,
            (UpstreamKind::Graph(a), UpstreamKind::Graph(b)) => a == b,
            (UpstreamKind::Capture(_), UpstreamKind::Capture(_)) => true,
            _ => false,
        };
        same_host && self.hostname == other.hostname && login(self) == login(other)
    }
}

/// The token is the same as for sending, and what refuses it is another server: that one's refusal says nothing of it here.
fn sent_mailbox(
    dial: &Arc<dyn Dial>,
    upstream: &Upstream,
    account: &config::Login,
    token: Option<TokenHandle>,
) -> Option<Arc<SentMailbox>> {
    let UpstreamKind::Smtp(smtp) = &upstream.kind else { return None };
    let credentials = Credentials::of(account, token, TokenUser::default());
    SentMailbox::of(smtp, dial.clone(), credentials).map(Arc::new)
}

fn ceilings(upstream: &Upstream, own: &Limits, key: &AccountKey, zone: &TimeZone) -> Vec<(Scope, Ceilings)> {
    let calendar = upstream.accounts.iter().any(|account| account.limits.calendar);
    let of_all = Ceilings::of_several(&upstream.shared_limits, calendar, zone);
    let mut ceilings = vec![
        (Scope::Account(key.clone()), Ceilings::of_account(own, zone)),
        (Scope::Upstream(key.upstream.clone()), of_all),
    ];
    ceilings.extend(upstream.limit_group.as_ref().map(|group| {
        let key = GroupKey::new(group.name.as_str(), group.upstreams.iter().map(|name| name.as_str().into()));
        (Scope::Group(key), Ceilings::of_several(&group.limits, group.calendar, zone))
    }));
    ceilings
}
