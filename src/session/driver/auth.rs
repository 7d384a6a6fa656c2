//! Leads a login (RFC 4954): asks, listens, and has the answers checked. What was said is never logged.

use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};

use super::session::SessionDriver;
use crate::config::ServerAuth;
use crate::policy::users::{LoggedIn, LoginOrigin, LoginRefused, Users};
use crate::session::channel::Gone;
use crate::session::state::Dialogue;
use crate::smtp::Reply;
use crate::smtp::command::Initial;
use crate::smtp::line::{Line, LineReader};
use crate::smtp::sasl_server::{SaslFault, SaslServer, SaslStep, ServerMechanism};

/// The mechanisms that are offered.
pub(super) fn mechanisms(auth: ServerAuth, users: &Users) -> &'static [ServerMechanism] {
    if auth == ServerAuth::None || users.is_empty() {
        &[]
    } else if users.offers_scram() {
        &[ServerMechanism::ScramSha256, ServerMechanism::Plain, ServerMechanism::Login]
    } else {
        &[ServerMechanism::Plain, ServerMechanism::Login]
    }
}

/// Why nobody was logged in.
enum LoginFailure {
    /// The client did not hold to the mechanism, or gave up.
    Protocol(SaslFault),
    /// The client may not come in.
    Refused(LoginRefused),
}

impl LoginFailure {
    fn reply(&self) -> Reply {
        match self {
            Self::Protocol(fault) => fault.reply(),
            Self::Refused(refused) => refused.reply(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Protocol(SaslFault::Cancelled) => "cancelled",
            Self::Protocol(_) => "syntax",
            Self::Refused(refused) => refused.reason(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> SessionDriver<'_, S> {
    /// Leads a login to its end, and says how it ended.
    pub(super) async fn log_in(
        &mut self,
        dialogue: Dialogue,
        mechanism: ServerMechanism,
        initial: Option<Initial>,
    ) -> Result<(Dialogue, Reply), Gone> {
        let end = self.exchange(mechanism, initial).await?;
        let peer = &self.peer;
        match end {
            Ok(user) => {
                debug!(
                    event = "login",
                    session = peer.session_id,
                    client = %peer.ip,
                    user = &*user.name,
                    mechanism = mechanism.name(),
                );
                Ok(dialogue.log_in(user))
            }
            Err(failure) => {
                let reply = failure.reply();
                self.services.metrics.login_failed();
                // A wrong password has been logged where it was found.
                if !matches!(failure, LoginFailure::Refused(LoginRefused::Wrong)) {
                    info!(
                        event = "login_refused",
                        session = peer.session_id,
                        client = %peer.ip,
                        listener = %peer.listener.address,
                        reply = %reply,
                        reason = failure.reason(),
                    );
                }
                Ok((dialogue, reply))
            }
        }
    }

    async fn exchange(
        &mut self,
        mechanism: ServerMechanism,
        initial: Option<Initial>,
    ) -> Result<Result<LoggedIn, LoginFailure>, Gone> {
        let users = self.services.users.clone();
        let origin = LoginOrigin {
            client: self.peer.ip,
            session: self.peer.session_id.clone(),
            listener: self.peer.listener.address,
        };
        let mut exchange = SaslServer::new(mechanism);
        let mut proved = None;
        let mut step = exchange.begin(initial.as_ref().map(|initial| initial.0.expose_secret()));
        drop(initial);
        loop {
            step = match step {
                Err(fault) => return Ok(Err(LoginFailure::Protocol(fault))),
                Ok(SaslStep::Challenge(challenge)) => self.ask(&mut exchange, challenge).await?,
                Ok(SaslStep::Password { name, password }) => {
                    return Ok(users.plain(&origin, &name, password).await.map_err(LoginFailure::Refused));
                }
                Ok(SaslStep::LookUp { name }) => exchange.verify_against(users.scram(&name), &nonce()),
                Ok(SaslStep::Proved { name, proof }) => {
                    match users.scram_done(&origin, &name, proof.is_some()).await {
                        Err(refused) => return Ok(Err(LoginFailure::Refused(refused))),
                        Ok(user) => proved = Some(user),
                    }
                    self.ask(&mut exchange, proof.unwrap_or_default()).await?
                }
                Ok(SaslStep::Done) => return Ok(proved.ok_or(LoginFailure::Refused(LoginRefused::Wrong))),
            }
        }
    }

    /// Sends a challenge, and takes the answer.
    async fn ask(
        &mut self,
        exchange: &mut SaslServer,
        challenge: String,
    ) -> Result<Result<SaslStep, SaslFault>, Gone> {
        self.say(&Reply::bare(334, vec![challenge]));
        let read = |lines: &mut LineReader, input: &[u8]| {
            let (line, used) = lines.take_answer(input);
            let step = match line {
                Line::More => None,
                Line::Command(line) => Some(exchange.answer(line)),
                Line::Faulty(error, _) => Some(Err(SaslFault::Line(error))),
            };
            (step, used)
        };
        self.read_until(false, read).await
    }
}

/// A part of the SCRAM dialogue that nobody can foresee, printable and without commas (RFC 5802 5.1).
fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}
