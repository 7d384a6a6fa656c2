//! Leads a login (RFC 4954): asks, listens, and has the answers checked. What was said is never logged.

use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};

use super::super::channel::Gone;
use super::super::state::Dialogue;
use super::Session;
use crate::config::ServerAuth;
use crate::policy::users::{LoggedIn, LoginRefused, Users};
use crate::smtp::Reply;
use crate::smtp::command::Initial;
use crate::smtp::line::{Line, LineReader};
use crate::smtp::sasl_server::{Exchange, Mechanism, SaslFault, Step};

/// The mechanisms that are offered.
pub(super) fn mechanisms(auth: ServerAuth, users: &Users) -> &'static [Mechanism] {
    if auth == ServerAuth::None || users.is_empty() {
        &[]
    } else if users.offers_scram() {
        &[Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login]
    } else {
        &[Mechanism::Plain, Mechanism::Login]
    }
}

/// Why nobody was logged in.
enum Failure {
    /// The client did not hold to the mechanism, or gave up.
    Exchange(SaslFault),
    /// It may not come in.
    Refused(LoginRefused),
}

impl Failure {
    fn reply(&self) -> Reply {
        match self {
            Self::Exchange(fault) => fault.reply(),
            Self::Refused(refused) => refused.reply(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Exchange(SaslFault::Cancelled) => "cancelled",
            Self::Exchange(_) => "syntax",
            Self::Refused(refused) => refused.reason(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<'_, S> {
    /// Leads a login to its end, and says how it ended.
    pub(super) async fn log_in(
        &mut self,
        dialogue: Dialogue,
        mechanism: Mechanism,
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
                // A wrong password has been logged where it was found.
                if !matches!(failure, Failure::Refused(LoginRefused::Wrong)) {
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
        mechanism: Mechanism,
        initial: Option<Initial>,
    ) -> Result<Result<LoggedIn, Failure>, Gone> {
        let (users, client) = (self.services.users.clone(), self.peer.ip);
        let mut exchange = Exchange::new(mechanism);
        let mut proved = None;
        let mut step = exchange.begin(initial.as_ref().map(|initial| initial.0.expose_secret()));
        drop(initial);
        loop {
            step = match step {
                Err(fault) => return Ok(Err(Failure::Exchange(fault))),
                Ok(Step::Challenge(challenge)) => self.ask(&mut exchange, challenge).await?,
                Ok(Step::Password { name, password }) => {
                    return Ok(users.plain(client, &name, password).await.map_err(Failure::Refused));
                }
                Ok(Step::LookUp { name }) => exchange.verify_against(users.scram(&name), &nonce()),
                Ok(Step::Proved { name, proof }) => {
                    match users.scram_done(client, &name, proof.is_some()).await {
                        Err(refused) => return Ok(Err(Failure::Refused(refused))),
                        Ok(user) => proved = Some(user),
                    }
                    self.ask(&mut exchange, proof.unwrap_or_default()).await?
                }
                Ok(Step::Done) => return Ok(proved.ok_or(Failure::Refused(LoginRefused::Wrong))),
            }
        }
    }

    /// Sends a challenge, and takes the answer.
    async fn ask(
        &mut self,
        exchange: &mut Exchange,
        challenge: String,
    ) -> Result<Result<Step, SaslFault>, Gone> {
        self.channel.say(&Reply::bare(334, vec![challenge]));
        let read = |lines: &mut LineReader, input: &[u8]| {
            let (line, used) = lines.take_answer(input);
            let step = match line {
                Line::More => None,
                Line::Command(line) => Some(exchange.answer(line)),
                Line::Faulty(error, _) => Some(Err(SaslFault::Line(error))),
            };
            (step, used)
        };
        self.line(false, read).await
    }
}

/// A part of the SCRAM dialogue that nobody can foresee, printable and without commas (RFC 5802 5.1).
fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}
