//! A probe of accounts, step by step.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::rfc3339;
use crate::config::{CertificateFacts, Upstream};
use crate::upstream::{ConnectError, ConnectStep, Offered, StepFailure, StepFinding, TlsFacts};

/// Steps that wait to be told: there are never more of one connection.
const STEPS: usize = 64;

/// Which upstreams to probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// Their names; none are all that are enabled.
    pub upstreams: Vec<String>,
}

/// What happens while accounts are probed, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProbeEvent {
    /// An account has its turn.
    Begun(ProbedAccount),
    /// A step of it.
    Step(Box<StepJson>),
    /// What it came to.
    Ended(ProbeResult),
}

/// An account that is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbedAccount {
    /// The upstream.
    pub upstream: String,
    /// The login name; empty for an upstream without a login.
    pub account: String,
    /// Where it is; null for the local mailbox.
    pub host: Option<String>,
    /// Whether it is used: nobody has switched it off.
    pub enabled: bool,
}

/// A step of a probe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepJson {
    /// `resolve connect tls greeting ehlo starttls auth`
    pub step: String,
    /// Whether it succeeded. Of several addresses some may fail.
    pub ok: bool,
    /// How long it took.
    pub seconds: f64,
    /// What was found, in words.
    pub detail: Option<String>,
    /// Why it did not succeed.
    pub reason: Option<String>,
    /// What a person does about it.
    pub action: Option<String>,
    /// The addresses of the host, or the one that answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// What the TLS handshake has shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsJson>,
    /// What the upstream offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<String>,
    /// The largest message that it takes, in octets, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The mechanism of the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
}

/// What a TLS handshake has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TlsJson {
    /// `TLS 1.2` or `TLS 1.3`
    pub version: String,
    /// The cipher suite.
    pub cipher: String,
    /// The name that the certificate had to have.
    pub name: String,
    /// The name in it that fits.
    pub matched: Option<String>,
    /// The certificates, the upstream's own first.
    pub chain: Vec<CertificateJson>,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateJson {
    /// Whose it is.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// The hosts that it is for.
    pub names: Vec<String>,
    /// From when it holds.
    pub not_before: Option<String>,
    /// Until when it holds.
    pub not_after: Option<String>,
}

/// What a probe came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbeResult {
    /// Whether the account is ready for mail, as far as its upstream is concerned.
    pub ok: bool,
    /// Why it is not.
    pub reason: Option<String>,
    /// What a person does about it, or about what keeps mail from it.
    pub action: Option<String>,
    /// What keeps mail from it all the same.
    pub note: Option<String>,
}

impl ProbedAccount {
    /// An account of an upstream that has its turn.
    #[must_use]
    pub fn new(upstream: &Upstream, account: &str, enabled: bool) -> Self {
        let host = upstream.kind.remote().map(|(host, port)| format!("{host}:{port}"));
        Self { upstream: upstream.name.clone(), account: account.to_owned(), host, enabled }
    }
}

impl StepJson {
    /// A step as the interface shows it.
    #[must_use]
    pub fn new(step: &ConnectStep) -> Self {
        let (name, seconds) = (step.name.name().to_owned(), step.took.as_secs_f64());
        let step_json = Self { step: name, seconds, ..Self::default() };
        match &step.outcome {
            Ok(finding) => step_json.with(finding),
            Err(StepFailure { reason, action, .. }) => {
                Self { reason: Some(reason.clone()), action: action.clone(), ..step_json }
            }
        }
    }

    fn with(mut self, finding: &StepFinding) -> Self {
        (self.ok, self.detail) = (true, Some(finding.to_string()));
        match finding {
            StepFinding::Resolved(all) => {
                self.addresses = all.iter().map(|address| address.ip().to_string()).collect();
            }
            StepFinding::Connected(address) => self.addresses = vec![address.ip().to_string()],
            StepFinding::Secured(facts) => self.tls = Some(TlsJson::new(facts)),
            StepFinding::Offers(Some(offered)) => {
                let Offered { lines, capabilities } = &**offered;
                (self.offers, self.size) = (lines.clone(), capabilities.max_size());
            }
            StepFinding::LoggedIn(mechanism) => self.mechanism.clone_from(mechanism),
            StepFinding::Tunnelled(_)
            | StepFinding::Answered { .. }
            | StepFinding::HasToken(_)
            | StepFinding::Greeted(_)
            | StepFinding::BeginsTls
            | StepFinding::Offers(None) => {}
        }
        self
    }
}

impl TlsJson {
    fn new(facts: &TlsFacts) -> Self {
        Self {
            version: facts.version.clone(),
            cipher: facts.cipher.clone(),
            name: facts.name.clone(),
            matched: facts.matched().map(str::to_owned),
            chain: facts.chain.iter().map(CertificateJson::new).collect(),
        }
    }
}

impl CertificateJson {
    fn new(facts: &CertificateFacts) -> Self {
        Self {
            subject: facts.subject.clone(),
            issuer: facts.issuer.clone(),
            names: facts.names.clone(),
            not_before: facts.not_before.map(rfc3339),
            not_after: facts.not_after.map(rfc3339),
        }
    }
}

impl ProbeResult {
    /// What it came to.
    #[must_use]
    pub fn new(result: &Result<(), ConnectError>) -> Self {
        match result {
            Ok(()) => Self { ok: true, ..Self::default() },
            Err(error) => Self { reason: Some(error.reason()), action: error.action(), ..Self::default() },
        }
    }
}

/// Tells of the steps of a connection while it is made, and returns what came of it. When nobody listens any more, it goes
/// on all the same: whoever wants it to end drops it.
pub async fn tell_steps<T, F: Future<Output = T>>(
    events: &mpsc::Sender<ProbeEvent>,
    connect: impl FnOnce(mpsc::Sender<ConnectStep>) -> F,
) -> T {
    let (sender, mut steps) = mpsc::channel(STEPS);
    let connecting = connect(sender);
    tokio::pin!(connecting);
    let mut result = None;
    loop {
        tokio::select! {
            biased;
            step = steps.recv() => match step {
                Some(step) => drop(events.send(ProbeEvent::Step(Box::new(StepJson::new(&step)))).await),
                None => break,
            },
            done = &mut connecting, if result.is_none() => result = Some(done),
        }
    }
    match result {
        Some(done) => done,
        None => connecting.await,
    }
}
