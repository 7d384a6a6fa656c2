//! A connection to an upstream: from the first packet to ready for mail, and its end.
//!
//! ```text
//! connect ─► [TLS] ─► greeting ─► EHLO (or HELO) ─► [STARTTLS ─► TLS ─► EHLO] ─► [AUTH] ─► ready
//! ```
//!
//! Each step has its own time-out, and an error names the step at which it ended. What is configured is required:
//! there is no way from TLS to clear text.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::timeout_at;

use super::dial::{Dial, Target};
use super::dialogue::DialogueHub;
use super::error::{ConnectCause, ConnectError, DialogueFault, Stage};
use super::login;
use super::observer::Observer;
use super::offer::Offer;
use super::step::{Offered, StepFinding, TlsFacts};
use super::stream::{Stream, deadline_in};
use super::tls::{TlsClient, TlsError};
use super::wire::Wire;
use crate::config::{Login, Security, Smtp, Timeouts};
use crate::smtp::extension::Capabilities;
use crate::smtp::{InstanceId, Reply};

/// Replies to EHLO that say that it is not known; HELO may be (RFC 5321 4.1.1.1, 4.2.4).
const EHLO_UNKNOWN: [u16; 5] = [500, 501, 502, 504, 550];

/// How long the end of a stream may take when all has been said.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// All that is needed to open connections of one account to its upstream.
pub struct Connector {
    dial: Arc<dyn Dial>,
    smtp: Smtp,
    account: Login,
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
    pub fn new(dial: Arc<dyn Dial>, smtp: Smtp, account: &Login, hostname: &str, own: InstanceId) -> Self {
        let (account, hostname) = (account.clone(), hostname.to_owned());
        Self { dial, smtp, account, hostname, own, tls: OnceLock::new(), hub: None }
    }

    /// The same, whose connections can be listened to.
    #[must_use]
    pub fn heard_in(self, hub: Arc<DialogueHub>) -> Self {
        Self { hub: Some(hub), ..self }
    }

    /// Makes a connection that is ready for mail.
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
        let tap = self.hub.as_ref().map(|hub| hub.connection(self.account.name()));
        let mut opening = Handshake {
            connector: self,
            stage: Stage::Connect,
            host: format!("{}:{}", self.smtp.host, self.smtp.port),
            observer: observer.with_tap(tap),
        };
        opening.run().await.map_err(|cause| {
            let error = ConnectError { stage: opening.stage, host: opening.host.clone(), cause };
            opening.observer.failed(&error);
            error
        })
    }

    async fn tls(&self) -> Result<&TlsClient, TlsError> {
        if let Some(client) = self.tls.get() {
            return Ok(client);
        }
        let ca_file = self.smtp.ca_file.clone();
        let client = tokio::task::spawn_blocking(move || TlsClient::new(ca_file.as_deref()))
            .await
            .map_err(|error| TlsError::NoRoots(error.to_string()))??;
        Ok(self.tls.get_or_init(|| client))
    }
}

/// A connection that is being made.
struct Handshake<'a> {
    connector: &'a Connector,
    stage: Stage,
    host: String,
    observer: Observer,
}

impl Handshake<'_> {
    async fn run(&mut self) -> Result<Connection, ConnectCause> {
        let (smtp, times) = (&self.connector.smtp, self.connector.smtp.timeouts);
        let (mut stream, peer) = self.connect().await?;
        if smtp.security == Security::Tls {
            stream = self.handshake(stream).await?;
        }
        let mut wire = Wire::new(stream, self.observer.clone());
        self.stage = Stage::Greeting;
        let greeting = expect(wire.reply(times.greeting).await?, 220)?;
        self.observer.found(|| StepFinding::Greeted(greeting));
        let mut capabilities = self.hello(&mut wire).await?;
        if smtp.security == Security::StartTls {
            wire = self.start_tls(wire, &capabilities).await?;
            // What was said before TLS may be forged: it is forgotten (RFC 3207 4.2).
            capabilities = self.hello(&mut wire).await?;
        }
        self.stage = Stage::Auth;
        let shielded = smtp.security != Security::None || peer.ip().to_canonical().is_loopback();
        self.login(&mut wire, &capabilities, shielded).await?;
        Ok(Connection {
            wire,
            capabilities,
            host: self.host.clone(),
            peer,
            timeouts: times,
            state: ConnectionState::Ready,
            messages: 0,
            transactions: 0,
            used: false,
            dot_under_way: false,
        })
    }

    /// Logs in; whoever looks on sees nothing of what is said.
    async fn login(
        &self,
        wire: &mut Wire,
        capabilities: &Capabilities,
        shielded: bool,
    ) -> Result<(), ConnectCause> {
        let Connector { smtp, account, .. } = self.connector;
        wire.conceal(true);
        let done = login::login(wire, smtp, account, &capabilities.auth, shielded).await;
        wire.conceal(false);
        done?;
        self.observer.found(|| StepFinding::LoggedIn(wire.mechanism().map(str::to_owned)));
        Ok(())
    }

    async fn connect(&mut self) -> Result<(Box<dyn Stream>, SocketAddr), ConnectCause> {
        let smtp = &self.connector.smtp;
        let target = Target { host: smtp.host.clone(), port: smtp.port, source_address: smtp.source_address };
        let deadline = deadline_in(smtp.timeouts.connect);
        let dialled = timeout_at(deadline, self.connector.dial.dial(&target, deadline, &self.observer))
            .await
            .map_err(|_| DialogueFault::TimedOut(smtp.timeouts.connect))??;
        self.host = format!("{}[{}]:{}", smtp.host, dialled.peer.ip(), dialled.peer.port());
        self.observer.found(|| StepFinding::Connected(dialled.peer));
        Ok((dialled.stream, dialled.peer))
    }

    async fn handshake(&mut self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, ConnectCause> {
        self.stage = Stage::Tls;
        let smtp = &self.connector.smtp;
        let name = smtp.tls_name.as_deref().unwrap_or(&smtp.host);
        let client = self.connector.tls().await?;
        let limit = smtp.timeouts.connect;
        let shaken = timeout_at(deadline_in(limit), client.handshake(name, stream)).await;
        let stream = shaken.map_err(|_| DialogueFault::TimedOut(limit))??;
        self.observer.found(|| StepFinding::Secured(Box::new(TlsFacts::of(stream.get_ref().1, name))));
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
        expect(wire.command("STARTTLS", self.connector.smtp.timeouts.command).await?, 220)?;
        if wire.has_rest() {
            return Err(ConnectCause::Injection);
        }
        self.observer.found(|| StepFinding::BeginsTls);
        Ok(Wire::new(self.handshake(wire.into_stream()).await?, self.observer.clone()))
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

/// What the next transaction finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// Nothing: it can begin.
    Ready,
    /// A transaction that was given up; RSET clears it.
    Open,
    /// A dialogue that can't go on.
    Closed,
}

/// A connection that is ready for mail.
pub struct Connection {
    pub(super) wire: Wire,
    pub(super) capabilities: Capabilities,
    host: String,
    peer: SocketAddr,
    pub(super) timeouts: Timeouts,
    pub(super) state: ConnectionState,
    pub(super) messages: u32,
    pub(super) transactions: u32,
    /// Whether MAIL was accepted over it.
    pub(super) used: bool,
    /// The final dot is being sent, or has been, and no reply to it has come yet.
    pub(super) dot_under_way: bool,
}

impl Connection {
    /// What the upstream offers (after STARTTLS, if there was one).
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What the upstream takes.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let offered = &self.capabilities;
        Offer {
            eight_bit_mime: offered.eight_bit_mime,
            smtputf8: offered.smtputf8,
            max_size: offered.max_size(),
            max_recipients: offered.max_recipients,
            dsn: offered.dsn,
            local: false,
        }
    }

    /// The upstream as the log names it: `name[address]:port`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address that answered.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How many messages the upstream has accepted over it.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Whether it has carried a transaction: MAIL was accepted over it.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// Whether the upstream takes no more transactions over it, as it has said (LIMITS MAILMAX, RFC 9422 6.1).
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.capabilities.max_transactions.is_some_and(|most| self.transactions >= most)
    }

    /// Whether the upstream may have taken a message about which it has not said so yet. For a transaction that was
    /// cancelled.
    #[must_use]
    pub fn is_dot_under_way(&self) -> bool {
        self.dot_under_way
    }

    /// Whether another transaction can begin. Looks whether the upstream has hung up (or says that it will); does
    /// not wait.
    pub fn is_reusable(&mut self) -> bool {
        !self.is_used_up() && self.is_open()
    }

    /// Whether the dialogue can go on. Looks whether the upstream has hung up (or says that it will); does not wait.
    pub fn is_open(&mut self) -> bool {
        self.state != ConnectionState::Closed && self.wire.is_quiet()
    }

    /// RSET: clears what an earlier transaction left, and shows that the upstream still answers.
    ///
    /// # Errors
    /// When it does not answer with 250; the connection is of no use then.
    pub async fn reset(&mut self) -> Result<(), DialogueFault> {
        if self.state == ConnectionState::Closed {
            return Err(DialogueFault::Closed);
        }
        // A call that is cancelled leaves a reply behind: the connection must not be used again.
        self.state = ConnectionState::Closed;
        let reply = self.wire.command("RSET", self.timeouts.command).await?;
        if !reply.is_positive() {
            return Err(DialogueFault::Unexpected(reply));
        }
        self.state = ConnectionState::Ready;
        Ok(())
    }

    /// QUIT, in good order where the dialogue still can go on. Waits no longer than the command time-out.
    pub async fn quit(mut self) {
        if self.state != ConnectionState::Closed {
            // All mail is settled: it is of no importance what the upstream makes of it.
            let _ = self.wire.command("QUIT", self.timeouts.command).await;
        }
        self.wire.close(CLOSE_LIMIT.min(self.timeouts.command)).await;
    }
}
