//! Logs in at an upstream (RFC 4954): which mechanism, and the dialogue.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::credentials::PresentedLogin;
use super::error::{ConnectCause, DialogueFault, LoginError, LoginMethod, LoginRefusal};
use super::replies::{ReplyAction, row_for};
use super::wire::Wire;
use crate::config::{Auth, Smtp};
use crate::smtp::Reply;
use crate::smtp::sasl::{ChannelBinding, Mechanism, SaslClient, SaslError, SaslLogin};
use crate::smtp::shown::HIDDEN;
use crate::upstream::Stage;

/// Shorter words would stand in harmless text, too.
const MIN_REDACTED: usize = 4;

/// Hosts of Microsoft's: these and all below them.
const MICROSOFT: [&str; 4] = ["office365.com", "outlook.com", "mx.microsoft", "azurecomm.net"];

/// The connection over which we log in.
pub(crate) struct LoginLine<'a> {
    /// The mechanisms that the upstream offers.
    pub(crate) offered: &'a [String],
    /// Whether the line is encrypted, or does not leave the machine.
    pub(crate) shielded: bool,
    /// What a login can be bound to.
    pub(crate) binding: Option<ChannelBinding>,
}

/// Logs in where a login is configured; by which mechanism.
pub(super) async fn login(
    wire: &mut Wire,
    smtp: &Smtp,
    presented: Option<&PresentedLogin>,
    line: &LoginLine<'_>,
) -> Result<Option<Mechanism>, ConnectCause> {
    let presented = match (smtp.auth, presented) {
        (Auth::None, _) | (Auth::Auto, None) => return Ok(None),
        (_, None) => return Err(LoginError::NoCredentials.into()),
        (_, Some(presented)) => presented,
    };
    let method = presented.method();
    let mechanism = choose(smtp, method, line)?;
    let nonce = STANDARD.encode(rand::random::<[u8; 18]>());
    let login = SaslLogin {
        user: presented.user.clone(),
        secret: presented.secret.clone(),
        host: smtp.host.clone(),
        port: smtp.port,
        nonce,
        binding: line.binding,
    };
    let exchange = SaslClient::new(mechanism, login).map_err(LoginError::Sasl)?;
    let mut said = vec![presented.secret.clone()];
    let (exchange, reply) = converse(wire, exchange, &mut said, smtp.timeouts.command).await?;
    let reply = redacted(reply, &said);
    match reply.code {
        200..=299 => {
            exchange.accept().map_err(LoginError::Sasl)?;
            Ok(Some(mechanism))
        }
        400.. => {
            let detail = exchange.token_status().map(|status| without(status, &said));
            let advice = row_for(Stage::Auth, &reply).advice_for(method);
            Err(ConnectCause::LoginRefused(LoginRefusal { reply, method, detail, advice }))
        }
        _ => Err(DialogueFault::Unexpected(reply).into()),
    }
}

/// Whether a login was refused that another token may mend.
pub(super) fn wants_another_token(cause: &ConnectCause) -> bool {
    match cause {
        ConnectCause::LoginRefused(refusal) => {
            refusal.method == LoginMethod::Token
                && row_for(Stage::Auth, &refusal.reply).action == ReplyAction::Refresh
        }
        _ => false,
    }
}

/// The best mechanism that both sides know, or the one that is configured.
fn choose(smtp: &Smtp, method: LoginMethod, line: &LoginLine<'_>) -> Result<Mechanism, LoginError> {
    let order = in_order((smtp.auth, &smtp.host), method, line);
    let clear = line.shielded || smtp.allow_plaintext_auth;
    let is_offered = |mechanism: Mechanism| line.offered.iter().any(|name| name == mechanism.name());
    let mut common = order.iter().copied().filter(|&mechanism| is_offered(mechanism)).peekable();
    if common.peek().is_none() {
        let offered = line.offered.to_vec();
        return Err(match (smtp.auth, order.last()) {
            (Auth::Auto, _) if method == LoginMethod::Token => LoginError::NoneForToken { offered },
            (Auth::Auto, _) | (_, None) => LoginError::NoneInCommon { offered },
            (_, Some(&wanted)) => LoginError::NotOffered { wanted, offered },
        });
    }
    common.find(|mechanism| clear || !mechanism.is_clear_text()).ok_or(LoginError::OpenLine)
}

/// The mechanisms that may be used at a host, the strongest first. A token is never a password, nor the reverse.
pub(crate) fn in_order(
    (auth, host): (Auth, &str),
    method: LoginMethod,
    line: &LoginLine<'_>,
) -> Vec<Mechanism> {
    use Mechanism::{CramMd5, Login, OAuthBearer, Plain, ScramSha256, ScramSha256Plus, XOAuth2};
    let scram = if line.binding.is_some() { &[ScramSha256Plus, ScramSha256][..] } else { &[ScramSha256] };
    let order = match auth {
        Auth::None => vec![],
        Auth::Plain => vec![Plain],
        Auth::Login => vec![Login],
        Auth::CramMd5 => vec![CramMd5],
        Auth::ScramSha256 => scram.to_vec(),
        Auth::XOAuth2 => vec![XOAuth2],
        Auth::OAuthBearer => vec![OAuthBearer],
        // Microsoft is asked in the way that it documents.
        Auth::Auto if method == LoginMethod::Token && is_microsoft(host) => vec![XOAuth2, OAuthBearer],
        Auth::Auto if method == LoginMethod::Token => vec![OAuthBearer, XOAuth2],
        // Behind TLS the digest gains nothing, and servers that store passwords well can't check it.
        Auth::Auto if line.shielded => [scram, &[Plain, Login, CramMd5]].concat(),
        Auth::Auto => [scram, &[CramMd5, Plain, Login]].concat(),
    };
    let fits = |mechanism: &Mechanism| mechanism.takes_token() == (method == LoginMethod::Token);
    order.into_iter().filter(fits).collect()
}

fn is_microsoft(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    MICROSOFT
        .iter()
        .any(|known| host.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Challenge and response until the upstream has decided. Adds what we say to `said`.
async fn converse(
    wire: &mut Wire,
    mut exchange: SaslClient,
    said: &mut Vec<SecretString>,
    limit: Duration,
) -> Result<(SaslClient, Reply), ConnectCause> {
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
        let (next, response) = respond(exchange, reply.lines.concat()).await?;
        exchange = next;
        match response {
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
    Ok((exchange, reply))
}

pub(crate) type Response = Result<SecretString, SaslError>;

/// The answer to a challenge. One that takes its time is worked out where nobody waits behind it.
pub(crate) async fn respond(
    mut exchange: SaslClient,
    challenge: String,
) -> Result<(SaslClient, Response), DialogueFault> {
    if !matches!(exchange.mechanism(), Mechanism::ScramSha256 | Mechanism::ScramSha256Plus) {
        let response = exchange.respond(&challenge);
        return Ok((exchange, response));
    }
    let work = move || {
        let response = exchange.respond(&challenge);
        (exchange, response)
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| DialogueFault::Broken(error.to_string()))
}

/// A reply that repeats what we said must not bring it into the log.
fn redacted(mut reply: Reply, said: &[SecretString]) -> Reply {
    for line in &mut reply.lines {
        *line = without(line, said);
    }
    reply
}

pub(crate) fn without(text: &str, said: &[SecretString]) -> String {
    let secrets = said.iter().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= MIN_REDACTED);
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Security, Timeouts};
    use LoginMethod::{Password, Token};

    fn names(offered: &[&str]) -> Vec<String> {
        offered.iter().map(|&name| name.to_owned()).collect()
    }

    fn smtp(auth: Auth, host: &str, allow_plaintext_auth: bool) -> Smtp {
        Smtp {
            preset: None,
            host: host.to_owned(),
            port: 587,
            security: Security::None,
            tls: crate::config::ClientTls::default(),
            ehlo: None,
            source_address: None,
            proxy: None,
            auth,
            allow_plaintext_auth,
            timeouts: Timeouts::default(),
            sent_copy: None,
        }
    }

    fn chosen(
        smtp: &Smtp,
        method: LoginMethod,
        offered: &[&str],
        line: (bool, bool),
    ) -> Result<Mechanism, LoginError> {
        let binding = line.1.then_some(ChannelBinding([0; 32]));
        choose(smtp, method, &LoginLine { offered: &names(offered), shielded: line.0, binding })
    }

    #[test]
    fn chooses_for_a_password() {
        use Mechanism::{CramMd5, Login, Plain, ScramSha256, ScramSha256Plus};
        let all = ["LOGIN", "CRAM-MD5", "PLAIN", "XOAUTH2", "OAUTHBEARER"];
        let strong = ["PLAIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "XOAUTH2"];
        for (auth, offered, allow, (shielded, bound), want) in [
            (Auth::Auto, &all[..], false, (true, false), Ok(Plain)),
            (Auth::Auto, &["CRAM-MD5", "LOGIN"], false, (true, false), Ok(Login)),
            (Auth::Auto, &["CRAM-MD5"], false, (true, false), Ok(CramMd5)),
            (Auth::Auto, &all, false, (false, false), Ok(CramMd5)),
            (Auth::Auto, &all, true, (false, false), Ok(CramMd5)),
            (Auth::Auto, &["LOGIN", "PLAIN"], true, (false, false), Ok(Plain)),
            (Auth::Auto, &["LOGIN", "PLAIN"], false, (false, false), Err(LoginError::OpenLine)),
            (Auth::Auto, &strong, false, (true, true), Ok(ScramSha256Plus)),
            (Auth::Auto, &strong, false, (true, false), Ok(ScramSha256)),
            (Auth::Auto, &strong, false, (false, false), Ok(ScramSha256)),
            (Auth::Auto, &["PLAIN", "SCRAM-SHA-256"], false, (true, true), Ok(ScramSha256)),
            (Auth::Auto, &["PLAIN", "SCRAM-SHA-256-PLUS"], false, (true, false), Ok(Plain)),
            (Auth::ScramSha256, &strong, false, (true, true), Ok(ScramSha256Plus)),
            (Auth::ScramSha256, &strong, false, (false, false), Ok(ScramSha256)),
            (
                Auth::ScramSha256,
                &["PLAIN"],
                true,
                (true, true),
                Err(LoginError::NotOffered { wanted: ScramSha256, offered: names(&["PLAIN"]) }),
            ),
            (
                Auth::Auto,
                &["XOAUTH2"],
                true,
                (true, false),
                Err(LoginError::NoneInCommon { offered: names(&["XOAUTH2"]) }),
            ),
            (Auth::Auto, &[], true, (true, false), Err(LoginError::NoneInCommon { offered: vec![] })),
            (Auth::Login, &all, false, (true, false), Ok(Login)),
            (Auth::Login, &all, false, (false, false), Err(LoginError::OpenLine)),
            (Auth::CramMd5, &all, false, (false, false), Ok(CramMd5)),
            (
                Auth::CramMd5,
                &["PLAIN"],
                true,
                (true, false),
                Err(LoginError::NotOffered { wanted: CramMd5, offered: names(&["PLAIN"]) }),
            ),
        ] {
            let got = chosen(&smtp(auth, "mx.example", allow), Password, offered, (shielded, bound));
            assert_eq!(got, want, "{auth:?} {offered:?} {allow} {shielded} {bound}");
        }
    }

    #[test]
    fn chooses_for_a_token_and_never_what_takes_a_password() {
        use Mechanism::{OAuthBearer, XOAuth2};
        let both = ["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"];
        let passwords = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"];
        let none = || Err(LoginError::NoneForToken { offered: names(&passwords) });
        for (auth, host, offered, shielded, want) in [
            (Auth::Auto, "mx.example", &both[..], true, Ok(OAuthBearer)),
            (Auth::Auto, "mx.example", &["XOAUTH2"], true, Ok(XOAuth2)),
            (Auth::Auto, "smtp.office365.com", &both, true, Ok(XOAuth2)),
            (Auth::Auto, "SMTP.Outlook.com.", &both, true, Ok(XOAuth2)),
            (Auth::Auto, "smtp.hve.mx.microsoft", &both, true, Ok(XOAuth2)),
            (Auth::Auto, "notoutlook.com", &both, true, Ok(OAuthBearer)),
            (Auth::Auto, "smtp.office365.com", &["OAUTHBEARER"], true, Ok(OAuthBearer)),
            (Auth::Auto, "mx.example", &both, false, Err(LoginError::OpenLine)),
            (Auth::Auto, "mx.example", &passwords, true, none()),
            (Auth::XOAuth2, "mx.example", &both, true, Ok(XOAuth2)),
            (Auth::XOAuth2, "mx.example", &both, false, Err(LoginError::OpenLine)),
            (Auth::OAuthBearer, "smtp.office365.com", &both, true, Ok(OAuthBearer)),
            (
                Auth::OAuthBearer,
                "mx.example",
                &["XOAUTH2"],
                true,
                Err(LoginError::NotOffered { wanted: OAuthBearer, offered: names(&["XOAUTH2"]) }),
            ),
        ] {
            let got = chosen(&smtp(auth, host, false), Token, offered, (shielded, true));
            assert_eq!(got, want, "{auth:?} {host} {offered:?} {shielded}");
        }
        for auth in [Auth::Plain, Auth::Login, Auth::CramMd5, Auth::ScramSha256] {
            assert!(chosen(&smtp(auth, "mx.example", true), Token, &passwords, (true, true)).is_err());
        }
        for auth in [Auth::XOAuth2, Auth::OAuthBearer] {
            assert!(chosen(&smtp(auth, "mx.example", true), Password, &both, (true, true)).is_err());
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
