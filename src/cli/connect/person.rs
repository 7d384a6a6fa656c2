//! A person signs in: by a code on any device, or by a browser.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::super::interrupt::{Typed, typed_line};
use super::failed::{SignInFailure, minutes};
use super::voice::Voice;
use crate::config::SignInProvider;
use crate::oauth::{Authorization, Issued, Loopback, RedirectError, Resource, TokenEndpoint};

/// How long a browser, or who pastes, may take.
const BROWSER_LIMIT: Duration = Duration::from_mins(5);
/// How often a wrong address may be pasted.
const MOST_PASTES: usize = 3;

/// What is needed to sign in.
pub(super) struct PersonSignIn<'c> {
    pub(super) endpoint: TokenEndpoint,
    pub(super) provider: SignInProvider,
    pub(super) resource: Resource,
    /// The mailbox that sends, which should sign in.
    pub(super) mailbox: Option<&'c str>,
    pub(super) voice: Voice,
}

impl PersonSignIn<'_> {
    /// By a code that is typed on any device.
    pub(super) async fn by_code(&self) -> Result<Issued, SignInFailure> {
        let code = self.endpoint.device_code(self.resource).await?;
        self.voice.say(&format!(
            "Open this link in any browser, on any machine:\n  {}\nand type this code:\n  {}\n{}\n\
             Waiting for that; the code is good for {}.",
            code.verification_url(),
            code.user_code(),
            self.as_whom(),
            minutes(code.expires_in()),
        ))?;
        let token = async { Ok(self.endpoint.device_token(&code).await?) };
        self.wait(code.expires_in(), token).await.unwrap_or(Err(SignInFailure::CodeExpired))
    }

    /// By a browser on this machine.
    pub(super) async fn by_browser(&self) -> Result<Issued, SignInFailure> {
        let loopback = Loopback::open().await.map_err(SignInFailure::Loopback)?;
        let begun = Arc::new(self.begin(loopback.port())?);
        self.voice.say(&format!(
            "Open this link in a browser on this machine (without one: --paste):\n  {}\n{}\n\
             Waiting for the browser, for {} at most.",
            begun.url,
            self.as_whom(),
            minutes(BROWSER_LIMIT),
        ))?;
        let code = async { loopback.receive(&begun).await.map_err(SignInFailure::from) };
        let code = self.wait(BROWSER_LIMIT, code).await;
        let code = code.unwrap_or(Err(SignInFailure::TooLate(BROWSER_LIMIT)))?;
        Ok(self.endpoint.exchange_code(&begun, &code).await?)
    }

    /// By a browser on another machine, whose last address a person brings here.
    pub(super) async fn by_paste(&self) -> Result<Issued, SignInFailure> {
        // Nobody listens there; a port that is not used often does not lead to somebody else's pages.
        let begun = self.begin(rand::random_range(49152..=u16::MAX))?;
        self.voice.say(&format!(
            "Open this link in any browser, on any machine:\n  {}\n{}\n\
             At its end the browser says that it can't reach the page, as it should. Copy the whole address from its\n\
             address bar, and paste it here:",
            begun.url,
            self.as_whom(),
        ))?;
        for _ in 0..MOST_PASTES {
            match pasted(&begun, &typed().await?) {
                Ok(code) => return Ok(self.endpoint.exchange_code(&begun, &code).await?),
                Err(RedirectError::Refused(refusal)) => return Err(RedirectError::Refused(refusal).into()),
                Err(wrong) => self.voice.say(&format!("This can't be used: {wrong}. Paste again:"))?,
            }
        }
        Err(SignInFailure::Unusable)
    }

    fn begin(&self, port: u16) -> Result<Authorization, SignInFailure> {
        let redirect = match self.provider {
            // Its portal takes this name alone.
            SignInProvider::Microsoft => format!("http://localhost:{port}"),
            SignInProvider::Google | SignInProvider::Custom => format!("http://127.0.0.1:{port}"),
        };
        let redirect = Url::parse(&redirect).expect("a fixed form with a number is a URL");
        let mut begun = self.endpoint.authorization(self.resource, &redirect)?;
        let mut query = begun.url.query_pairs_mut();
        match self.provider {
            // The browser may be signed in as somebody else, such as the administrator who runs this.
            SignInProvider::Microsoft => drop(query.append_pair("prompt", "select_account")),
            SignInProvider::Google => {}
            // Without it, there is no offline access (OpenID Connect Core 11).
            SignInProvider::Custom => drop(query.append_pair("prompt", "consent")),
        }
        if let Some(mailbox) = self.mailbox {
            query.append_pair("login_hint", mailbox);
        }
        drop(query);
        Ok(begun)
    }

    /// Waits for a while, and shows how much of it is left; `None` when it is over.
    async fn wait<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = tokio::time::sleep(limit) => None,
            never = self.voice.count_down(limit) => match never {},
        }
    }

    fn as_whom(&self) -> String {
        self.mailbox.map_or_else(
            || "Sign in as the mailbox that sends.".to_owned(),
            |mailbox| format!("Sign in as the mailbox that sends: {mailbox}"),
        )
    }
}

/// The code in what was pasted: an address with everything in it, or the code alone, which can't tell whose it is; the
/// provider can, by our verifier (RFC 7636).
fn pasted(begun: &Authorization, text: &str) -> Result<SecretString, RedirectError> {
    let is_address = text.contains("://") || text.contains('?') || text.contains("code=");
    if !is_address {
        let is_code = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        return if is_code { Ok(text.into()) } else { Err(RedirectError::NoCode) };
    }
    // Some browsers copy the address without its beginning.
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let address = Url::parse(&format!("http://127.0.0.1/?{query}")).map_err(|_| RedirectError::NoCode)?;
    begun.code(&address)
}

/// The next line of stdin, be it a terminal or not.
async fn typed() -> Result<String, SignInFailure> {
    match typed_line(Some(BROWSER_LIMIT)).await? {
        Typed::Line(line) => Ok(line),
        Typed::Nothing => Err(SignInFailure::NothingPasted),
        Typed::TooLate => Err(SignInFailure::TooLate(BROWSER_LIMIT)),
    }
}
