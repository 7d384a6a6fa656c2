//! Logs in at an IMAP server (RFC 3501 6.2.2, RFC 4959).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::answer::{Ending, EndingStatus};
use super::error::ImapError;
use super::folder_name::quoted;
use super::wire::{ImapProgress, ImapWire};
use crate::config::Auth;
use crate::smtp::sasl::{ChannelBinding, Mechanism, SaslClient, SaslLogin};
use crate::upstream::{LoginError, LoginLine, LoginMethod, PresentedLogin, in_order, respond, without};

const STEP: &str = "the login";

/// Over which connection somebody logs in. It is shielded by TLS.
pub(super) struct ImapLine<'a> {
    /// By which mechanism; any that fits, unless the upstream wants its token said in one way.
    pub(super) auth: Auth,
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// What the server can do.
    pub(super) capabilities: &'a [String],
    pub(super) binding: Option<ChannelBinding>,
    pub(super) limit: Duration,
}

impl ImapLine<'_> {
    fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|own| own == capability)
    }
}

/// Logs in by the strongest mechanism that both sides know; by LOGIN where the server knows none of ours.
pub(super) async fn login(
    wire: &mut ImapWire,
    presented: &PresentedLogin,
    line: &ImapLine<'_>,
) -> Result<(), ImapError> {
    let offered: Vec<String> =
        line.capabilities.iter().filter_map(|own| own.strip_prefix("AUTH=").map(str::to_owned)).collect();
    let login_line = LoginLine { offered: &offered, shielded: true, binding: line.binding };
    let order = in_order((line.auth, line.host), presented.method(), &login_line);
    let mechanism = order.into_iter().find(|mechanism| offered.iter().any(|name| name == mechanism.name()));
    let mut said = vec![presented.secret.clone()];
    let ended = match (mechanism, presented.method()) {
        (Some(mechanism), _) => authenticate(wire, presented, (mechanism, line), &mut said).await,
        (None, LoginMethod::Password) if !line.has("LOGINDISABLED") => {
            plain(wire, presented, line, &mut said).await
        }
        (None, LoginMethod::Password) => return Err(LoginError::NoneInCommon { offered }.into()),
        (None, LoginMethod::Token) => return Err(LoginError::NoneForToken { offered }.into()),
    };
    // It may say what it has heard.
    match ended {
        Ok(Ending { status: EndingStatus::Ok, .. }) => Ok(()),
        Ok(ending) => Err(ImapError::LoginRefused(without(&ending.text, &said))),
        Err(ImapError::Closed(text)) => Err(ImapError::Closed(without(&text, &said))),
        Err(error) => Err(error),
    }
}

/// The command LOGIN, where both words can stand in quotes. Adds what we say to `said`.
async fn plain(
    wire: &mut ImapWire,
    presented: &PresentedLogin,
    line: &ImapLine<'_>,
    said: &mut Vec<SecretString>,
) -> Result<Ending, ImapError> {
    let secret = presented.secret.expose_secret();
    let can_stand = |text: &str| text.bytes().all(|octet| (b' '..=b'~').contains(&octet));
    if !can_stand(&presented.user) || !can_stand(secret) {
        return Err(LoginError::NoneInCommon { offered: Vec::new() }.into());
    }
    let command: SecretString = format!("LOGIN {} {}", quoted(&presented.user), quoted(secret)).into();
    said.push(quoted(secret).into());
    match wire.command((STEP, command.expose_secret()), line.limit).await? {
        ImapProgress::Done(ending, _) => Ok(ending),
        ImapProgress::GoOn(_) => Err(ImapError::Garbage),
    }
}

/// Challenge and response until the server has decided. Adds what we say to `said`.
async fn authenticate(
    wire: &mut ImapWire,
    presented: &PresentedLogin,
    (mechanism, line): (Mechanism, &ImapLine<'_>),
    said: &mut Vec<SecretString>,
) -> Result<Ending, ImapError> {
    let login = SaslLogin {
        user: presented.user.clone(),
        secret: presented.secret.clone(),
        host: line.host.to_owned(),
        port: line.port,
        nonce: STANDARD.encode(rand::random::<[u8; 18]>()),
        binding: line.binding,
    };
    let mut exchange = SaslClient::new(mechanism, login)?;
    let initial = if line.has("SASL-IR") { exchange.initial_response() } else { None };
    let command = match &initial {
        Some(initial) => format!("AUTHENTICATE {mechanism} {}", initial.expose_secret()),
        None => format!("AUTHENTICATE {mechanism}"),
    };
    said.extend(initial);
    let mut progress = wire.command((STEP, &command), line.limit).await?;
    loop {
        let challenge = match progress {
            ImapProgress::Done(mut ending, _) => {
                if ending.status == EndingStatus::Ok {
                    exchange.accept()?;
                } else if let Some(status) = exchange.token_status() {
                    ending.text = format!("{} ({status})", ending.text);
                }
                return Ok(ending);
            }
            ImapProgress::GoOn(challenge) => challenge,
        };
        let (next, response) = respond(exchange, challenge)
            .await
            .map_err(|fault| ImapError::Broken(std::io::Error::other(fault.to_string())))?;
        exchange = next;
        match response {
            Ok(response) => {
                progress = wire.go_on((STEP, response.expose_secret().as_bytes()), line.limit).await?;
                said.push(response);
            }
            Err(error) => {
                // The server still waits: an asterisk ends the exchange.
                wire.go_on((STEP, b"*"), line.limit).await?;
                return Err(error.into());
            }
        }
    }
}
