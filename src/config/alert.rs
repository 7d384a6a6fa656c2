//! `[alert]`: who is told what a person must know.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::mail::Address;

/// `[alert]`: who is told what a person must know, and after how long it counts that nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertSettings {
    /// Who gets mail.
    pub mail_to: Vec<Address>,
    /// What gets a request.
    pub webhook: Option<WebhookUrl>,
    /// A program, by its whole path, and its arguments; empty for none.
    pub command: Vec<String>,
    /// For how long nothing must have been sent by an upstream while its mail waits; `None`: nobody looks.
    pub nothing_sent_for: Option<Duration>,
}

impl AlertSettings {
    /// Whether anybody is told, beside the log.
    #[must_use]
    pub fn tells_somebody(&self) -> bool {
        !self.mail_to.is_empty() || self.webhook.is_some() || !self.command.is_empty()
    }
}

/// Where alerts are posted to. Whoever knows such a URL can post there, too: it shows its host alone.
#[derive(Clone)]
pub struct WebhookUrl(SecretString);

impl WebhookUrl {
    /// Reads a URL with http or https, a host, and no login.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_one = matches!(url.scheme(), "https" | "http")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none();
        is_one.then(|| Self(SecretString::from(url.as_str())))
    }

    /// Whether what is posted is shielded by TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.expose_secret().starts_with("https:")
    }

    /// Its host, which may be shown.
    #[must_use]
    pub fn host(&self) -> String {
        let url = Url::parse(self.0.expose_secret()).ok();
        url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned()
    }

    /// All of it, for the request.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for WebhookUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for WebhookUrl {}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebhookUrl").field(&self.host()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_its_host_alone() {
        let url = WebhookUrl::parse("https://hooks.firm.example:8443/T0/hush?key=hush").unwrap();
        assert_eq!((url.host().as_str(), url.is_encrypted()), ("hooks.firm.example", true));
        assert!(!format!("{url:?}").contains("hush"));
        assert!(url.expose().ends_with("/T0/hush?key=hush"));
        assert!(!WebhookUrl::parse("http://127.0.0.1:1/").unwrap().is_encrypted());
        for wrong in ["", "hooks.firm.example", "ftp://a.example/", "https://me:hush@a.example/", "https://"]
        {
            assert!(WebhookUrl::parse(wrong).is_none(), "{wrong}");
        }
    }
}
