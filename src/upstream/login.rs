//! Logs in at an upstream (RFC 4954): which mechanism, and the dialogue.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::error::{ConnectCause, DialogueFault, LoginError};
use super::wire::Wire;
use crate::config::{Auth, Login, Smtp};
use crate::smtp::Reply;
use crate::smtp::sasl::{Mechanism, SaslClient};

/// Shorter words would stand in harmless text, too.
const MIN_REDACTED: usize = 4;

/// Logs in where a login is configured. `shielded`: the line is encrypted, or does not leave the machine.
pub(super) async fn login(
    wire: &mut Wire,
    smtp: &Smtp,
    account: &Login,
    offered: &[String],
    shielded: bool,
) -> Result<(), ConnectCause> {
    if smtp.auth == Auth::None || (smtp.auth == Auth::Auto && account.user.is_none()) {
        return Ok(());
    }
    let (Some(user), Some(password)) = (&account.user, &account.password) else {
        return Err(LoginError::NoCredentials.into());
    };
    let mechanism = choose(smtp.auth, offered, shielded || smtp.allow_plaintext_auth, shielded)?;
    let exchange = SaslClient::new(mechanism, user, password.clone()).map_err(LoginError::Sasl)?;
    let mut said = vec![password.clone()];
    let reply = converse(wire, exchange, &mut said, smtp.timeouts.command).await?;
    let reply = redacted(reply, &said);
    match reply.code {
        200..=299 => Ok(()),
        400.. => Err(ConnectCause::Refused(reply)),
        _ => Err(DialogueFault::Unexpected(reply).into()),
    }
}

/// The best mechanism that both sides know, or the one that is configured. `clear`: clear text is allowed.
fn choose(auth: Auth, offered: &[String], clear: bool, shielded: bool) -> Result<Mechanism, LoginError> {
    let is_offered = |mechanism: Mechanism| offered.iter().any(|name| name == mechanism.name());
    let wanted = match auth {
        Auth::Plain => Some(Mechanism::Plain),
        Auth::Login => Some(Mechanism::Login),
        Auth::CramMd5 => Some(Mechanism::CramMd5),
        Auth::Auto | Auth::None => None,
    };
    if let Some(wanted) = wanted {
        return match (is_offered(wanted), wanted.is_clear_text() && !clear) {
            (false, _) => Err(LoginError::NotOffered { wanted, offered: offered.to_vec() }),
            (true, true) => Err(LoginError::OpenLine),
            (true, false) => Ok(wanted),
        };
    }
    // Behind TLS the digest gains nothing, and servers that store passwords well can't check it.
    let order = if shielded {
        [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5]
    } else {
        [Mechanism::CramMd5, Mechanism::Plain, Mechanism::Login]
    };
    let mut common = order.into_iter().filter(|&mechanism| is_offered(mechanism)).peekable();
    if common.peek().is_none() {
        return Err(LoginError::NoneInCommon { offered: offered.to_vec() });
    }
    common.find(|mechanism| clear || !mechanism.is_clear_text()).ok_or(LoginError::OpenLine)
}

/// Challenge and response until the upstream has decided. Adds what we say to `said`.
async fn converse(
    wire: &mut Wire,
    mut exchange: SaslClient,
    said: &mut Vec<SecretString>,
    limit: Duration,
) -> Result<Reply, ConnectCause> {
    let command = match exchange.initial_response() {
        Some(response) => {
            let command = format!("AUTH {} {}", exchange.mechanism(), response.expose_secret());
            said.push(response);
            command
        }
        None => format!("AUTH {}", exchange.mechanism()),
    };
    let mut reply = wire.command(&command, limit).await?;
    while reply.code == 334 {
        match exchange.respond(&reply.lines.concat()) {
            Ok(response) => {
                reply = wire.command(response.expose_secret(), limit).await?;
                said.push(response);
            }
            Err(error) => {
                // The upstream still waits: an asterisk ends the exchange (RFC 4954 4).
                wire.command("*", limit).await?;
                return Err(LoginError::Sasl(error).into());
            }
        }
    }
    Ok(reply)
}

/// A reply that repeats what we said must not bring it into the log.
fn redacted(mut reply: Reply, said: &[SecretString]) -> Reply {
    for secret in said.iter().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= MIN_REDACTED) {
        for line in &mut reply.lines {
            *line = line.replace(secret, "[…]");
        }
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(offered: &[&str]) -> Vec<String> {
        offered.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn chooses() {
        use Mechanism::{CramMd5, Login, Plain};
        let all = ["LOGIN", "CRAM-MD5", "PLAIN", "XOAUTH2"];
        for (auth, offered, clear, shielded, want) in [
            (Auth::Auto, &all[..], true, true, Ok(Plain)),
            (Auth::Auto, &["CRAM-MD5", "LOGIN"], true, true, Ok(Login)),
            (Auth::Auto, &["CRAM-MD5"], true, true, Ok(CramMd5)),
            (Auth::Auto, &all, false, false, Ok(CramMd5)),
            (Auth::Auto, &all, true, false, Ok(CramMd5)),
            (Auth::Auto, &["LOGIN", "PLAIN"], true, false, Ok(Plain)),
            (Auth::Auto, &["LOGIN", "PLAIN"], false, false, Err(LoginError::OpenLine)),
            (
                Auth::Auto,
                &["XOAUTH2"],
                true,
                true,
                Err(LoginError::NoneInCommon { offered: names(&["XOAUTH2"]) }),
            ),
            (Auth::Auto, &[], true, true, Err(LoginError::NoneInCommon { offered: vec![] })),
            (Auth::Login, &all, true, true, Ok(Login)),
            (Auth::Login, &all, false, false, Err(LoginError::OpenLine)),
            (Auth::CramMd5, &all, false, false, Ok(CramMd5)),
            (
                Auth::CramMd5,
                &["PLAIN"],
                true,
                true,
                Err(LoginError::NotOffered { wanted: CramMd5, offered: names(&["PLAIN"]) }),
            ),
        ] {
            assert_eq!(
                choose(auth, &names(offered), clear, shielded),
                want,
                "{auth:?} {offered:?} {clear} {shielded}"
            );
        }
    }

    #[test]
    fn what_we_said_is_not_repeated() {
        let said = ["s3cr3t pw".into(), "AGFubmEAczNjcjN0IHB3".into(), "no".into()];
        let text = "no such login: AGFubmEAczNjcjN0IHB3, password s3cr3t pw!";
        let reply = redacted(Reply::bare(535, vec![text.to_owned()]), &said);
        assert_eq!(reply.lines, ["no such login: […], password […]!"]);
    }
}
