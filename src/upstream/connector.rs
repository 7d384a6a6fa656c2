//! Makes a connection to an upstream: from the first packet to ready for mail.
//!
//! ```text
//! connect ─► [TLS] ─► greeting ─► EHLO (or HELO) ─► [STARTTLS ─► TLS ─► EHLO] ─► [AUTH] ─► ready
//! ```
//!
//! Each step has its own time-out, and an error names the step at which it ended. What is configured is required:
//! there is no way from TLS to clear text.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::credentials::{Credentials, PresentedLogin};
use super::dial::{Dial, Target};
use super::dialogue::DialogueHub;
use super::error::{ConnectCause, ConnectError, DialogueFault, LoginError, Stage};
use super::login::{self, LoginLine};
use super::observer::Observer;
use super::proxy::{self, Reached};
use super::step::{Offered, StepFinding, TlsFacts};
use super::stream::{Stream, deadline_in};
use super::tls::{self, TlsClient};
use super::tls_error::TlsError;
use super::wire::{Surplus, Wire};
use crate::config::{Security, Smtp};
use crate::smtp::extension::Capabilities;
use crate::smtp::sasl::{ChannelBinding, Mechanism};
use crate::smtp::{InstanceId, Reply};

/// Replies to EHLO that say that it is not known; HELO may be (RFC 5321 4.1.1.1, 4.2.4).
const EHLO_UNKNOWN: [u16; 5] = [500, 501, 502, 504, 550];

/// An upstream that closes sooner, without a greeting, turns us away; one that closes later may have waited for TLS.
const TURNED_AWAY: Duration = Duration::from_secs(10);

/// How long an upstream without a greeting has to show that it speaks TLS.
const TLS_LOOK: Duration = Duration::from_secs(10);

/// All that is needed to open connections of one account to its upstream.
pub struct Connector {
    dial: Arc<dyn Dial>,
    smtp: Smtp,
    credentials: Option<Credentials>,
    hostname: String,
    own: InstanceId,
    tls: OnceLock<TlsClient>,
    /// Where its connections can be listened to.
    hub: Option<Arc<DialogueHub>>,
}

impl Connector {
    /// For an account of an upstream; `hostname` is our name in EHLO unless the upstream has its own, and an upstream that
    /// announces `own` is ourselves. Certificates are read when the first connection needs them.
    #[must_use]
    pub fn new(
        dial: Arc<dyn Dial>,
        smtp: Smtp,
        credentials: Option<Credentials>,
        hostname: &str,
        own: InstanceId,
    ) -> Self {
        Self { dial, smtp, credentials, hostname: hostname.to_owned(), own, tls: OnceLock::new(), hub: None }
    }

    /// The same, whose connections can be listened to.
    #[must_use]
    pub fn heard_in(self, hub: Arc<DialogueHub>) -> Self {
        Self { hub: Some(hub), ..self }
    }

    /// Makes a connection that is ready for mail. A login that is refused for its token is made once more over another
    /// connection with another token.
    ///
    /// # Errors
    /// Tells at which step it ended and why. No message is at fault.
    pub async fn open(&self) -> Result<Connection, ConnectError> {
        self.open_before(Observer::default()).await
    }

    /// The same while somebody looks on.
    ///
    /// # Errors
    /// Tells at which step it ended and why.
    pub async fn open_before(&self, observer: Observer) -> Result<Connection, ConnectError> {
        let Some(credentials) = &self.credentials else { return self.open_as(None, &observer).await };
        let no_login = |error: LoginError, host| {
            let error = ConnectError { stage: Stage::Auth, host, cause: error.into() };
            observer.failed(&error);
            error
        };
        let mut login =
            credentials.present().await.map_err(|error| no_login(error, self.configured_host()))?;
        loop {
            let error = match self.open_as(Some(&login), &observer).await {
                Err(error) if login::wants_another_token(&error.cause) => error,
                Err(error) => return Err(error),
                Ok(connection) => {
                    credentials.note_accepted(&login);
                    return Ok(connection);
                }
            };
            login = match credentials.instead_of(&login).await {
                Some(Ok(other)) => other,
                Some(Err(why)) => return Err(no_login(why, error.host)),
                None => return Err(error),
            };
        }
    }

    async fn open_as(
        &self,
        login: Option<&PresentedLogin>,
        observer: &Observer,
    ) -> Result<Connection, ConnectError> {
        let user = login.map_or("", |login| &login.user);
        let tap = self.hub.as_ref().map(|hub| hub.connection(user));
        let mut opening = Handshake {
            connector: self,
            login,
            stage: Stage::Connect,
            host: self.configured_host(),
            observer: observer.clone().with_tap(tap),
            binding: None,
        };
        opening.run().await.map_err(|cause| {
            let error = ConnectError { stage: opening.stage, host: opening.host.clone(), cause };
            opening.observer.failed(&error);
            error
        })
    }

    fn configured_host(&self) -> String {
        format!("{}:{}", self.smtp.host, self.smtp.port)
    }

    async fn tls(&self) -> Result<&TlsClient, TlsError> {
        if let Some(client) = self.tls.get() {
            return Ok(client);
        }
        let tls = self.smtp.tls.clone();
        let client = tokio::task::spawn_blocking(move || TlsClient::new(&tls))
            .await
            .map_err(|error| TlsError::NoRoots(error.to_string()))??;
        Ok(self.tls.get_or_init(|| client))
    }
}

/// A connection that is being made.
struct Handshake<'a> {
    connector: &'a Connector,
    login: Option<&'a PresentedLogin>,
    stage: Stage,
    host: String,
    observer: Observer,
    /// What a login can be bound to, once there is TLS.
    binding: Option<ChannelBinding>,
}

impl Handshake<'_> {
    async fn run(&mut self) -> Result<Connection, ConnectCause> {
        let (smtp, times) = (&self.connector.smtp, self.connector.smtp.timeouts);
        let Reached { mut stream, address } = self.connect().await?;
        if smtp.security == Security::Tls {
            stream = self.handshake(stream).await?;
        }
        let mut wire = self.greeting(Wire::new(stream, self.observer.clone())).await?;
        if smtp.security == Security::StartTls {
            nothing_unasked(&mut wire)?;
        }
        let mut capabilities = self.hello(&mut wire).await?;
        if smtp.security == Security::StartTls {
            wire = self.start_tls(wire, &capabilities).await?;
            // What was said before TLS may be forged: it is forgotten (RFC 3207 4.2).
            capabilities = self.hello(&mut wire).await?;
        }
        self.stage = Stage::Auth;
        // Who is there behind a proxy is not known.
        let is_loopback = address.is_some_and(|address| address.ip().to_canonical().is_loopback());
        let shielded = smtp.security != Security::None || is_loopback;
        let line = LoginLine { offered: &capabilities.auth, shielded, binding: self.binding };
        self.login(&mut wire, &line).await?;
        Ok(Connection::ready(wire, capabilities, (self.host.clone(), address), times))
    }

    /// Logs in; whoever looks on sees nothing of what is said.
    async fn login(&self, wire: &mut Wire, line: &LoginLine<'_>) -> Result<(), ConnectCause> {
        wire.conceal(true);
        let done = login::login(wire, &self.connector.smtp, self.login, line).await;
        wire.conceal(false);
        let mechanism = done?;
        let name = |mechanism: Mechanism| mechanism.name().to_owned();
        self.observer.found(|| StepFinding::LoggedIn(mechanism.map(name)));
        Ok(())
    }

    async fn connect(&mut self) -> Result<Reached, ConnectCause> {
        let smtp = &self.connector.smtp;
        let deadline = deadline_in(smtp.timeouts.connect);
        let source_address = smtp.source_address;
        let server = Target { host: smtp.host.clone(), port: smtp.port, source_address };
        let way = (&server, smtp.proxy.as_ref());
        let way = timeout_at(deadline, proxy::reach(&*self.connector.dial, way, deadline, &self.observer))
            .await
            .map_err(|_| DialogueFault::TimedOut(smtp.timeouts.connect))??;
        if let Some(address) = way.address {
            self.host = format!("{}[{}]:{}", smtp.host, address.ip(), address.port());
        }
        Ok(way)
    }

    async fn greeting(&mut self, mut wire: Wire) -> Result<Wire, ConnectCause> {
        self.stage = Stage::Greeting;
        let (smtp, started) = (&self.connector.smtp, Instant::now());
        let fault = match wire.reply(smtp.timeouts.greeting).await {
            Ok(reply) => {
                let greeting = expect(reply, 220)?;
                self.observer.found(|| StepFinding::Greeted(greeting));
                return Ok(wire);
            }
            Err(fault) => fault,
        };
        // What begins in TLS says nothing, or ends with an alert, which is no reply.
        let may_wait_for_tls = match fault {
            DialogueFault::TimedOut(_) => !wire.has_rest(),
            DialogueFault::Closed | DialogueFault::Broken(_) => started.elapsed() >= TURNED_AWAY,
            DialogueFault::Garbage(_) | DialogueFault::CutOff => true,
            _ => false,
        };
        drop(wire);
        if smtp.security != Security::Tls && may_wait_for_tls {
            // Whoever looks on is not shown the look.
            let observer = std::mem::take(&mut self.observer);
            let look = timeout_at(deadline_in(TLS_LOOK), self.speaks_tls_at_once()).await;
            self.observer = observer;
            self.stage = Stage::Greeting;
            if look.unwrap_or(false) {
                return Err(ConnectCause::TlsAtOnce);
            }
        }
        Err(fault.into())
    }

    /// Whether an upstream that has not greeted answers a TLS handshake instead, right or wrong. Nothing else is said to it.
    async fn speaks_tls_at_once(&mut self) -> bool {
        let Ok(way) = self.connect().await else { return false };
        match self.handshake(way.stream).await {
            Ok(_) => true,
            Err(ConnectCause::Tls(error)) => error.is_of_a_tls_server(),
            Err(_) => false,
        }
    }

    async fn handshake(&mut self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, ConnectCause> {
        self.stage = Stage::Tls;
        let smtp = &self.connector.smtp;
        let name = smtp.tls.name.as_deref().unwrap_or(&smtp.host);
        let client = self.connector.tls().await?;
        let limit = smtp.timeouts.connect;
        let shaken = timeout_at(deadline_in(limit), client.handshake(name, stream)).await;
        let stream = shaken.map_err(|_| DialogueFault::TimedOut(limit))??;
        let connection = stream.get_ref().1;
        self.observer.found(|| StepFinding::Secured(Box::new(TlsFacts::of(connection, name))));
        self.binding = tls::binding(connection);
        Ok(Box::new(stream))
    }

    /// EHLO, or HELO for a server that does not know it (RFC 5321 3.2). The mail of a relay that meets itself would go round
    /// for ever, so it goes no further.
    async fn hello(&mut self, wire: &mut Wire) -> Result<Capabilities, ConnectCause> {
        self.stage = Stage::Hello;
        let smtp = &self.connector.smtp;
        let name = smtp.ehlo.as_deref().unwrap_or(&self.connector.hostname);
        let reply = wire.command(&format!("EHLO {name}"), smtp.timeouts.command).await?;
        if !EHLO_UNKNOWN.contains(&reply.code) {
            let reply = expect(reply, 250)?;
            let capabilities = Capabilities::from_ehlo(&reply);
            self.observer.found(|| {
                let lines = reply.lines.into_iter().skip(1).collect();
                StepFinding::Offers(Some(Box::new(Offered { lines, capabilities: capabilities.clone() })))
            });
            let is_ourselves = capabilities.instance == Some(self.connector.own);
            return if is_ourselves { Err(ConnectCause::OwnListener) } else { Ok(capabilities) };
        }
        expect(wire.command(&format!("HELO {name}"), smtp.timeouts.command).await?, 250)?;
        self.observer.found(|| StepFinding::Offers(None));
        Ok(Capabilities::default())
    }

    async fn start_tls(&mut self, mut wire: Wire, capabilities: &Capabilities) -> Result<Wire, ConnectCause> {
        self.stage = Stage::StartTls;
        if !capabilities.starttls {
            return Err(ConnectCause::StartTlsNotOffered);
        }
        nothing_unasked(&mut wire)?;
        expect(wire.command("STARTTLS", self.connector.smtp.timeouts.command).await?, 220)?;
        if wire.surplus() != Surplus::Nothing {
            return Err(ConnectCause::Injection);
        }
        self.observer.found(|| StepFinding::BeginsTls);
        Ok(Wire::new(self.handshake(wire.into_stream()).await?, self.observer.clone()))
    }
}

/// Before TLS nothing may come without a command: it would be taken for the reply to the next one.
fn nothing_unasked(wire: &mut Wire) -> Result<(), ConnectCause> {
    match wire.surplus() {
        Surplus::Nothing => Ok(()),
        Surplus::Closing => Err(DialogueFault::Closed.into()),
        Surplus::Reply => Err(ConnectCause::Injection),
    }
}

/// The reply when it has the code that is wanted here.
fn expect(reply: Reply, code: u16) -> Result<Reply, ConnectCause> {
    match reply.code {
        found if found == code => Ok(reply),
        400.. => Err(ConnectCause::Refused(reply)),
        _ => Err(DialogueFault::Unexpected(reply).into()),
    }
}
