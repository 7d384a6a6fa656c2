//! A simulated Office 365: an SMTP submission service that counts as Exchange Online does, answers with its words, and
//! records every time that a limit was overrun.
//!
//! The same mailboxes send over Microsoft Graph ([`graph`]): what counts there and here is one.
//!
//! It speaks over anything: pipes, so that a test can stop the clock ([`Office365::dial`]), or TCP
//! ([`Office365::serve`], `examples/office365.rs`). All time is tokio's, so a paused clock makes a week pass in
//! seconds. Rolling windows hold each event, so they are exact; contents are measured and thrown away.
//!
//! Unlike the original it answers at once, offers no CHUNKING, and knows no recipients: it takes mail for everybody.

mod books;
pub mod graph;
mod login;
mod replies;
mod rules;
mod session;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mailsluice::upstream::{Dial, DialError, Dialled, Observer, Stream, Target};
use tokio::time::Instant;
use tokio_rustls::rustls::ServerConfig;

pub use replies::Trouble;
pub use rules::{Rules, external_recipients};

use books::{DAY, MINUTE, Window};
use replies::{Refusal, Step};
use tokens::{Audience, Tokens};

/// Which limit was overrun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Messages a minute of a mailbox, by their starts.
    Starts,
    /// Messages a minute of a mailbox, by their ends.
    Ends,
    /// Connections of a mailbox at the same time.
    Connections,
    /// Recipients of a message.
    RecipientsPerMessage,
    /// Recipients of a mailbox in 24 hours.
    RecipientsPerDay,
    /// External recipients of a tenant in 24 hours.
    ExternalRecipients,
    /// Requests to Graph for a mailbox at the same time.
    Requests,
    /// Octets of a mailbox's requests to Graph in 5 minutes.
    Uploaded,
}

/// A limit was overrun.
#[derive(Debug, Clone)]
pub struct Violation {
    pub at: Instant,
    pub mailbox: String,
    pub limit: Limit,
}

/// A client was refused because a limit was overrun.
#[derive(Debug, Clone)]
pub struct Throttled {
    pub at: Instant,
    pub mailbox: String,
    pub reply: String,
}

/// A message that was taken.
#[derive(Debug, Clone)]
pub struct Delivered {
    pub at: Instant,
    pub mailbox: String,
    pub reverse_path: String,
    pub recipients: Vec<String>,
    /// The address in its From.
    pub from: String,
    /// Octets of the content, dot-stuffing included.
    pub size: usize,
    /// The content, where it came over Graph.
    pub content: Option<Arc<[u8]>>,
}

/// A message that is handed in.
struct Submitted {
    reverse_path: String,
    recipients: Vec<String>,
    from: String,
    size: usize,
    content: Option<Arc<[u8]>>,
}

/// Why a message is not taken.
enum Objection {
    /// The mailbox may not send as its author.
    SendAs,
    Overrun(Limit),
}

/// The service. Clones are the same one.
#[derive(Clone)]
pub struct Office365 {
    state: Arc<Mutex<State>>,
}

type Watcher = Box<dyn Fn(&Violation) + Send>;
type DeliveryWatcher = Box<dyn Fn(usize, &[u8]) + Send>;

struct State {
    rules: Rules,
    tls: Option<Arc<ServerConfig>>,
    tenants: BTreeMap<String, Tenant>,
    mailboxes: BTreeMap<String, Mailbox>,
    tokens: Tokens,
    /// What becomes of the next requests to Graph; then all goes well.
    incidents: VecDeque<graph::Incident>,
    unreachable: bool,
    graph_unreachable: bool,
    sessions: u64,
    logins: u64,
    attempts: u64,
    violations: Vec<Violation>,
    throttled: Vec<Throttled>,
    delivered: Vec<Delivered>,
    watcher: Option<Watcher>,
    delivery_watcher: Option<DeliveryWatcher>,
}

/// A customer, known by its domain.
struct Tenant {
    external_per_day: u64,
    external: Window,
    trouble: Option<Trouble>,
}

struct Mailbox {
    tenant: String,
    password: String,
    /// Whom it may send as besides itself; `None` is anybody.
    send_as: Option<BTreeSet<String>>,
    starts: Window,
    ends: Window,
    recipients: Window,
    /// The sessions that are logged in, in the order in which they came.
    open: BTreeSet<u64>,
    /// Octets of requests to Graph.
    uploaded: Window,
    /// Requests to Graph that are under way.
    requests: usize,
    trouble: Option<Trouble>,
}

impl Office365 {
    pub fn new(rules: Rules) -> Self {
        let state = State {
            rules,
            tls: None,
            tenants: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            tokens: Tokens::default(),
            incidents: VecDeque::new(),
            unreachable: false,
            graph_unreachable: false,
            sessions: 0,
            logins: 0,
            attempts: 0,
            violations: Vec::new(),
            throttled: Vec::new(),
            delivered: Vec::new(),
            watcher: None,
            delivery_watcher: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// One tenant with these mailboxes, whose password is `secret`; its limit on external recipients is out of the way.
    pub fn with_mailboxes(rules: Rules, users: &[&str]) -> Self {
        let service = Self::new(rules);
        for user in users {
            let domain = user.split_once('@').map_or("", |(_, domain)| domain);
            service.tenant(domain, u64::MAX);
            service.mailbox(user, "secret");
        }
        service
    }

    /// Makes a tenant known, or gives it another limit: external recipients of all its mailboxes in 24 hours.
    pub fn tenant(&self, domain: &str, external_per_day: u64) {
        let mut state = self.state();
        let new = Tenant { external_per_day, external: Window::new(DAY), trouble: None };
        state.tenants.entry(domain.to_lowercase()).or_insert(new).external_per_day = external_per_day;
    }

    /// Makes a mailbox known; the tenant of its domain must be.
    pub fn mailbox(&self, user: &str, password: &str) {
        let user = user.to_lowercase();
        let tenant = user.split_once('@').map_or("", |(_, domain)| domain).to_owned();
        let mut state = self.state();
        assert!(state.tenants.contains_key(&tenant), "{user} has no tenant");
        let mailbox = Mailbox {
            tenant,
            password: password.to_owned(),
            send_as: None,
            starts: Window::new(MINUTE),
            ends: Window::new(MINUTE),
            recipients: Window::new(DAY),
            open: BTreeSet::new(),
            uploaded: Window::new(MINUTE * 5),
            requests: 0,
            trouble: None,
        };
        state.mailboxes.entry(user).or_insert(mailbox);
    }

    /// From now on these rules hold. What was counted stays.
    pub fn set_rules(&self, rules: Rules) {
        self.state().rules = rules;
    }

    /// From now on a mailbox may send as itself and these addresses alone.
    pub fn send_as(&self, user: &str, senders: &[&str]) {
        let senders = senders.iter().map(|sender| sender.to_lowercase()).collect();
        self.change(user, |mailbox| mailbox.send_as = Some(senders));
    }

    /// From now on a mailbox has this trouble, or none.
    pub fn trouble_mailbox(&self, user: &str, trouble: Option<Trouble>) {
        self.change(user, |mailbox| mailbox.trouble = trouble);
    }

    /// From now on all mailboxes of a tenant have this trouble, or none.
    pub fn trouble_tenant(&self, domain: &str, trouble: Option<Trouble>) {
        let mut state = self.state();
        state.tenants.get_mut(&domain.to_lowercase()).expect("the tenant is known").trouble = trouble;
    }

    /// From now on nobody can connect over SMTP, or everybody can.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.state().unreachable = unreachable;
    }

    /// STARTTLS is offered with this certificate.
    pub fn set_tls(&self, config: Arc<ServerConfig>) {
        self.state().tls = Some(config);
    }

    /// Is called for each violation as it happens. It must not call the service.
    pub fn watch(&self, watcher: impl Fn(&Violation) + Send + 'static) {
        self.state().watcher = Some(Box::new(watcher));
    }

    /// Is called with the number and the content of each message that comes over Graph. It must not call the service.
    pub fn watch_deliveries(&self, watcher: impl Fn(usize, &[u8]) + Send + 'static) {
        self.state().delivery_watcher = Some(Box::new(watcher));
    }

    /// A token for XOAUTH2 at this mailbox.
    pub fn issue_token(&self, user: &str, lifetime: Duration) -> String {
        self.state().tokens.issue(Audience::Smtp, &[user], Instant::now() + lifetime)
    }

    /// Each time that a limit was overrun, in order.
    pub fn violations(&self) -> Vec<Violation> {
        self.state().violations.clone()
    }

    /// Each refusal for a limit, in order.
    pub fn throttled(&self) -> Vec<Throttled> {
        self.state().throttled.clone()
    }

    /// The messages that were taken, in order.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.state().delivered.clone()
    }

    /// How many messages were taken.
    pub fn messages(&self) -> usize {
        self.state().delivered.len()
    }

    /// How many transactions were begun, refused ones included.
    pub fn attempts(&self) -> u64 {
        self.state().attempts
    }

    /// How many connections were made, and how many logins tried.
    pub fn connections(&self) -> (u64, u64) {
        let state = self.state();
        (state.sessions, state.logins)
    }

    /// A way to it without a network.
    pub fn dial(&self) -> Arc<dyn Dial> {
        Arc::new(Pipe(self.clone()))
    }

    /// Serves one connection until it ends.
    pub async fn serve(self, stream: Box<dyn Stream>) {
        // A client that hangs up ends the session; the record tells what it did until then.
        let _ = session::Session::new(self, stream).run().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, user: &str, change: impl FnOnce(&mut Mailbox)) {
        change(self.state().mailboxes.get_mut(&user.to_lowercase()).expect("the mailbox is known"));
    }
}

impl State {
    /// Whether nothing troubles a mailbox, by itself or through its tenant, at such a step.
    fn free_of(&self, user: &str, at: impl Fn(Step) -> bool) -> Result<(), Refusal> {
        let mailbox = self.mailboxes.get(user);
        let tenant = mailbox.and_then(|mailbox| self.tenants.get(&mailbox.tenant));
        let troubles =
            [mailbox.and_then(|mailbox| mailbox.trouble), tenant.and_then(|tenant| tenant.trouble)];
        match troubles.into_iter().flatten().map(Trouble::shows).find(|(step, _)| at(*step)) {
            Some((_, reply)) => Err(Refusal::of(reply)),
            None => Ok(()),
        }
    }

    /// Takes a message, or says what is in the way; nothing is counted then.
    fn take(&mut self, user: &str, message: Submitted) -> Result<usize, Objection> {
        let now = Instant::now();
        let mailbox = self.mailboxes.get_mut(user).expect("who sends has a mailbox");
        let tenant = self.tenants.get_mut(&mailbox.tenant).expect("a mailbox has a tenant");
        let Submitted { reverse_path, recipients, from, size, content } = message;
        if mailbox.send_as.as_ref().is_some_and(|others| from != user && !others.contains(&from)) {
            return Err(Objection::SendAs);
        }
        let is_external = |address: &&String| {
            address.rsplit_once('@').is_none_or(|(_, domain)| !domain.eq_ignore_ascii_case(&mailbox.tenant))
        };
        let external = recipients.iter().filter(is_external).count() as u64;
        let all = recipients.len() as u64;
        if mailbox.ends.is_over(1, self.rules.per_minute, now) {
            return Err(Objection::Overrun(Limit::Ends));
        }
        if mailbox.recipients.is_over(all, self.rules.recipients_per_day, now) {
            return Err(Objection::Overrun(Limit::RecipientsPerDay));
        }
        if tenant.external.is_over(external, tenant.external_per_day, now) {
            return Err(Objection::Overrun(Limit::ExternalRecipients));
        }
        mailbox.ends.add(1, now);
        mailbox.recipients.add(all, now);
        tenant.external.add(external, now);
        if let (Some(watcher), Some(content)) = (&self.delivery_watcher, &content) {
            watcher(self.delivered.len() + 1, content);
        }
        let mailbox = user.to_owned();
        self.delivered.push(Delivered { at: now, mailbox, reverse_path, recipients, from, size, content });
        Ok(self.delivered.len())
    }

    /// Notes that a limit was overrun.
    fn violate(&mut self, user: &str, limit: Limit) {
        let violation = Violation { at: Instant::now(), mailbox: user.to_owned(), limit };
        if let Some(watcher) = &self.watcher {
            watcher(&violation);
        }
        self.violations.push(violation);
    }

    /// What a client hears for it.
    fn refuse(&mut self, user: &str, limit: Limit) -> Refusal {
        let refusal = replies::overrun(limit, &self.rules);
        let (mailbox, reply) = (user.to_owned(), refusal.text.clone());
        self.throttled.push(Throttled { at: Instant::now(), mailbox, reply });
        refusal
    }

    fn overrun(&mut self, user: &str, limit: Limit) -> Refusal {
        self.violate(user, limit);
        self.refuse(user, limit)
    }
}

/// Hands out pipes.
struct Pipe(Office365);

#[async_trait]
impl Dial for Pipe {
    async fn dial(&self, target: &Target, _deadline: Instant, _: &Observer) -> Result<Dialled, DialError> {
        const BUFFER: usize = 64 * 1024;
        let peer: SocketAddr = ([192, 0, 2, 36], target.port).into();
        if self.0.state().unreachable {
            let tried = vec![(peer, "connection refused".to_owned())];
            return Err(DialError::Unreachable { host: target.host.clone(), tried });
        }
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        tokio::spawn(self.0.clone().serve(Box::new(theirs)));
        Ok(Dialled { stream: Box::new(ours), peer })
    }
}
