//! `mailsluice probe`

use std::fmt::Write as _;
use std::sync::Arc;

use hyper::Method;
use serde::Serialize;
use tokio::sync::mpsc;

use super::client::{ApiRequest, Client, RequestPath, StreamEnd, runtime};
use super::context::CliContext;
use super::failure::{Failure, warn};
use super::interrupt::unless_interrupted;
use super::output::{self, count};
use super::own_sign_ins::OwnSignIns;
use crate::config::{Config, Login, Upstream, UpstreamKind};
use crate::control::view::{
    CertificateJson, ProbeEvent, ProbeRequest, ProbeResult, ProbedAccount, StepJson, tell_steps,
};
use crate::oauth::{TokenHandle, TokenUser};
use crate::report::log::escape::printable;
use crate::smtp::InstanceId;
use crate::upstream::{Connector, Credentials, GraphClient, Observer, TcpDial, TokenLogin};

/// Events that wait to be shown.
const WAITING: usize = 32;

/// The account test: each connection is made ready for mail, and closed again.
///
/// No mail is sent, and nothing of the limits is used. A running relay makes the connections, within those that the account may
/// have; a probe that succeeds ends what the relay holds against the account: that it is down, or that its login was refused.
/// Without a running relay the configuration is read, and the connections are made from here.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeOptions {
    /// The upstreams, also those that are disabled [default: all that are enabled]
    #[arg(value_name = "UPSTREAM")]
    upstreams: Vec<String>,
}

/// An account that was probed, as `--json` has it.
#[derive(Debug, Serialize)]
pub(super) struct ProbedJson {
    #[serde(flatten)]
    pub(super) account: ProbedAccount,
    #[serde(flatten)]
    pub(super) result: ProbeResult,
    steps: Vec<StepJson>,
}

/// What has come of the probe until now.
struct ProbeShow<'c> {
    context: &'c CliContext,
    /// Nothing is shown: who asked for it tells.
    is_quiet: bool,
    done: Vec<ProbedJson>,
}

pub(super) fn execute(options: &ProbeOptions, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    let mut show = ProbeShow { context, is_quiet: false, done: Vec::new() };
    let ended = if client.finds_relay()? {
        by_the_relay(&client, options, &mut show)?
    } else {
        let loaded = context.load()?;
        warn(&loaded.warnings);
        from_here(options, &loaded.config, &mut show)?
    };
    show.conclude(ended)
}

/// Tests the accounts of all upstreams that are enabled, and shows nothing.
pub(super) fn quietly(config: &Config, context: &CliContext) -> Result<Vec<ProbedJson>, Failure> {
    let client = context.client()?;
    let options = ProbeOptions { upstreams: Vec::new() };
    let mut show = ProbeShow { context, is_quiet: true, done: Vec::new() };
    let ended = if client.finds_relay()? {
        by_the_relay(&client, &options, &mut show)?
    } else {
        from_here(&options, config, &mut show)?
    };
    if ended == StreamEnd::Interrupted { Err(Failure::new("interrupted")) } else { Ok(show.done) }
}

fn by_the_relay(
    client: &Client,
    options: &ProbeOptions,
    show: &mut ProbeShow<'_>,
) -> Result<StreamEnd, Failure> {
    let request = ProbeRequest { upstreams: options.upstreams.clone() };
    let body = serde_json::to_vec(&request).map_err(|error| Failure::Failed(error.into()))?;
    let target = RequestPath::path(&["probe"]);
    client.follow(ApiRequest { method: &Method::POST, target: &target, body }, |event| show.take(event))
}

/// No relay runs: the configuration says all.
fn from_here(
    options: &ProbeOptions,
    config: &Config,
    show: &mut ProbeShow<'_>,
) -> Result<StreamEnd, Failure> {
    let known = |name: &&String| config.upstreams.iter().any(|upstream| upstream.name == **name);
    if let Some(unknown) = options.upstreams.iter().find(|name| !known(name)) {
        return Err(Failure::new(format!("there is no upstream {unknown} in the configuration")));
    }
    runtime()?.block_on(async {
        let (events, mut told) = mpsc::channel(WAITING);
        let sign_ins = OwnSignIns::start(config)?;
        let probing = async {
            probe_all((config, &sign_ins), &options.upstreams, events).await;
            Ok(())
        };
        let showing = async {
            while let Some(event) = told.recv().await {
                show.take(event)?;
            }
            Ok(StreamEnd::Ended)
        };
        // The end of the one is the end of the events, and so of what shows them.
        let both = async { tokio::try_join!(probing, showing).map(|((), ended)| ended) };
        let ended = unless_interrupted(Box::pin(both)).await.unwrap_or(Ok(StreamEnd::Interrupted));
        sign_ins.stop().await;
        ended
    })
}

async fn probe_all(
    (config, sign_ins): (&Config, &OwnSignIns),
    names: &[String],
    events: mpsc::Sender<ProbeEvent>,
) {
    let is_wanted = |upstream: &&Arc<Upstream>| {
        if names.is_empty() { upstream.enabled } else { names.contains(&upstream.name) }
    };
    for upstream in config.upstreams.iter().filter(is_wanted) {
        for login in &upstream.accounts {
            let begun = ProbedAccount::new(upstream, login.name(), upstream.enabled);
            // Who shows them is there, or all of this is gone.
            let _ = events.send(ProbeEvent::Begun(begun)).await;
            let token = sign_ins.token(upstream, login).await;
            let result =
                match transport(config, (upstream, login), token, sign_ins) {
                    ProbedTransport::Graph(client) => {
                        let run = tell_steps(&events, |steps| async move {
                            client.probe(&Observer::of_steps(steps)).await
                        });
                        ProbeResult::new(&run.await)
                    }
                    ProbedTransport::Smtp(connector) => {
                        let run = tell_steps(&events, |steps| async move {
                            let connection = connector.open_before(Observer::of_steps(steps)).await?;
                            connection.quit().await;
                            Ok(())
                        });
                        ProbeResult::new(&run.await)
                    }
                    ProbedTransport::Nothing => ProbeResult::new(&Ok(())),
                };
            let _ = events.send(ProbeEvent::Ended(result)).await;
        }
    }
}

/// How an account's upstream is reached.
fn transport(
    config: &Config,
    (upstream, login): (&Upstream, &Login),
    token: Option<TokenHandle>,
    sign_ins: &OwnSignIns,
) -> ProbedTransport {
    let by = TokenUser::default();
    match &upstream.kind {
        UpstreamKind::Smtp(smtp) => {
            let (smtp, own) = ((**smtp).clone(), InstanceId::random());
            let credentials = Credentials::of(login, token, by);
            let connector =
                Connector::new(Arc::new(TcpDial::default()), smtp, credentials, &config.hostname, own);
            ProbedTransport::Smtp(Box::new(connector))
        }
        UpstreamKind::Graph(graph) => {
            let login = token.map(|token| TokenLogin::new(login.name().to_owned(), token, by));
            let (graph, filter) = ((**graph).clone(), upstream.filter.clone());
            let credentials = login.map(Credentials::Token);
            ProbedTransport::Graph(Box::new(GraphClient::new(graph, filter, credentials, sign_ins.http())))
        }
        UpstreamKind::Capture(_) => ProbedTransport::Nothing,
    }
}

/// What is probed of an account.
enum ProbedTransport {
    Smtp(Box<Connector>),
    Graph(Box<GraphClient>),
    /// The local mailbox is always there.
    Nothing,
}

impl ProbeShow<'_> {
    /// Shows what has happened.
    fn take(&mut self, event: ProbeEvent) -> Result<(), Failure> {
        let text = match event {
            ProbeEvent::Begun(account) => {
                let text = heading(&account);
                let result =
                    ProbeResult { reason: Some("not finished".to_owned()), ..ProbeResult::default() };
                self.done.push(ProbedJson { account, result, steps: Vec::new() });
                text
            }
            ProbeEvent::Step(step) => {
                let text = line(&step);
                self.last(|last| last.steps.push(*step));
                text
            }
            ProbeEvent::Ended(result) => {
                let said = self.done.last().and_then(|last| last.steps.last());
                let text = verdict(&result, said);
                self.last(|last| last.result = result);
                text
            }
        };
        if self.context.json || self.is_quiet { Ok(()) } else { output::text(&text) }
    }

    fn last(&mut self, change: impl FnOnce(&mut ProbedJson)) {
        if let Some(last) = self.done.last_mut() {
            change(last);
        }
    }

    /// Says what it came to, all in all.
    fn conclude(self, ended: StreamEnd) -> Result<(), Failure> {
        let failed = self.done.iter().any(|one| one.account.enabled && !one.result.ok);
        let ready = self.done.iter().filter(|one| one.result.ok).count();
        let text = if self.done.is_empty() {
            "No upstream is enabled.".to_owned()
        } else {
            format!("{ready} of {} can log in and send.", count(self.done.len() as u64, "account"))
        };
        self.context.print_value(&self.done, &text)?;
        if ended == StreamEnd::Interrupted {
            return Err(Failure::new("interrupted"));
        }
        if failed { Err(Failure::Told) } else { Ok(()) }
    }
}

fn heading(account: &ProbedAccount) -> String {
    let ProbedAccount { upstream, account, host, enabled } = account;
    let mut text = printable(upstream);
    if !account.is_empty() {
        let _ = write!(text, " {}", printable(account));
    }
    match host {
        Some(host) => {
            let _ = write!(text, " at {}", printable(host));
        }
        None => text.push_str(", the local mailbox"),
    }
    if !enabled {
        text.push_str(" (disabled)");
    }
    text
}

/// The name of a step as it stands in the dialogue.
fn shown(step: &str) -> &str {
    match step {
        "tls" => "TLS",
        "ehlo" => "EHLO",
        "starttls" => "STARTTLS",
        "auth" => "AUTH",
        other => other,
    }
}

fn line(step: &StepJson) -> String {
    let millis = (step.seconds * 1000.0).round();
    let mut text = format!("  {:<9} {millis:>6} ms  ", printable(shown(&step.step)));
    match (&step.detail, &step.reason) {
        (Some(detail), _) => text.push_str(&printable(detail)),
        (None, reason) => {
            let _ = write!(text, "failed: {}", printable(reason.as_deref().unwrap_or_default()));
        }
    }
    for certificate in step.tls.iter().flat_map(|tls| tls.chain.iter().skip(1)) {
        let CertificateJson { subject, issuer, not_after, .. } = certificate;
        let until = not_after.as_deref().and_then(|until| until.get(..10)).unwrap_or("?");
        let _ = write!(
            text,
            "\n{:24}signed by {} until {}, issued by {}",
            "",
            printable(subject),
            printable(until),
            printable(issuer)
        );
    }
    text
}

/// What became of an account. What the last step has said is not said again.
fn verdict(result: &ProbeResult, last: Option<&StepJson>) -> String {
    let mut text = match (result.ok, &result.reason) {
        (true, _) => "  ok".to_owned(),
        (false, Some(reason)) if last.is_none_or(|last| last.reason.as_ref() != Some(reason)) => {
            format!("  failed: {}", printable(reason))
        }
        (false, _) => "  failed".to_owned(),
    };
    if let Some(note) = &result.note {
        let _ = write!(text, ", but no mail goes by it: {}", printable(note));
    }
    if let Some(action) = &result.action {
        let _ = write!(text, "\n  to do: {}", printable(action));
    }
    text
}
