//! What is asked of a provider while a person signs in; who talks to the person is another's affair.

use std::borrow::Cow;
use std::time::Duration;

use oauth2::{
    AuthUrl, AuthorizationCode, CsrfToken, DeviceAuthorizationUrl, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, StandardDeviceAuthorizationResponse,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::answer::Issued;
use super::endpoint::{TokenEndpoint, scopes};
use super::error::{TokenRefusal, TokenRequestError};
use super::token::Resource;
use crate::config::{SignInFlow, SignInProvider};

/// The longest time that a device code is waited for.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A code that a person enters on any device (RFC 8628 3.2). Debug output does not show it.
pub struct DeviceCode(StandardDeviceAuthorizationResponse);

/// A sign-in that a browser begins (RFC 6749 4.1.1, with PKCE, RFC 7636).
pub struct Authorization {
    /// Where the browser goes.
    pub url: Url,
    redirect: Url,
    state: String,
    verifier: SecretString,
}

/// Why an address to which a browser was sent back holds no code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// It belongs to another sign-in, or somebody has made it up (RFC 6749 10.12).
    #[error("the address belongs to another sign-in: its state is not ours")]
    State,
    /// There is neither a code nor an error in it.
    #[error("the address holds no code: copy all of it")]
    NoCode,
    /// The provider or the person has refused.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
}

impl DeviceCode {
    /// What the person enters.
    #[must_use]
    pub fn user_code(&self) -> &str {
        self.0.user_code().secret()
    }

    /// Where.
    #[must_use]
    pub fn verification_url(&self) -> &str {
        self.0.verification_uri().as_str()
    }

    /// How long the code is good.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.0.expires_in().min(LONGEST_WAIT)
    }
}

/// Shows neither code.
impl std::fmt::Debug for DeviceCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceCode").field("expires_in", &self.expires_in()).finish_non_exhaustive()
    }
}

/// Shows neither state nor verifier.
impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization").field("redirect", &self.redirect.as_str()).finish_non_exhaustive()
    }
}

impl Authorization {
    /// The code in the address to which the provider has sent the browser back (RFC 6749 4.1.2).
    ///
    /// # Errors
    /// When there is none.
    pub fn code(&self, redirected: &Url) -> Result<SecretString, RedirectError> {
        let of = |name: &str| {
            redirected.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        if of("state").as_deref() != Some(&self.state) {
            return Err(if of("code").is_none() && of("error").is_none() {
                RedirectError::NoCode
            } else {
                RedirectError::State
            });
        }
        if let Some(error) = of("error") {
            return Err(TokenRefusal::new(&error, of("error_description").as_deref()).into());
        }
        of("code").filter(|code| !code.is_empty()).map(SecretString::from).ok_or(RedirectError::NoCode)
    }
}

impl TokenEndpoint {
    /// What to ask for while a person signs in: what the token shall be good for, a refresh token, and who it is.
    fn person_scope(&self, resource: Resource) -> String {
        let scope = self.scope(resource).unwrap_or_default();
        let more: &[&str] = match self.sign_in.provider {
            SignInProvider::Microsoft => &["openid", "profile", "email"],
            SignInProvider::Google => &["openid", "email"],
            SignInProvider::Custom => &[],
        };
        let asked: Vec<&str> = scope.split_ascii_whitespace().collect();
        let missing = more.iter().filter(|scope| !asked.contains(scope));
        asked.iter().chain(missing).copied().collect::<Vec<_>>().join(" ")
    }

    /// A code for a person to enter (RFC 8628 3.1).
    ///
    /// # Errors
    /// When the provider gives none, or the sign-in has another flow.
    pub async fn device_code(&self, resource: Resource) -> Result<DeviceCode, TokenRequestError> {
        let SignInFlow::DeviceCode { device_url } = &self.sign_in.flow else { return Err(other_flow()) };
        let client =
            self.client().set_device_authorization_url(DeviceAuthorizationUrl::from_url(device_url.clone()));
        let scope = self.person_scope(resource);
        let mut request = client.exchange_device_code().add_scopes(scopes(&scope));
        for (name, value) in self.proof().await? {
            request = request.add_extra_param(name, value);
        }
        let answer = request.request_async(self).await;
        answer.map(DeviceCode).map_err(|error| self.failure(error))
    }

    /// Waits until the person has entered the code (RFC 8628 3.4), refuses, or lets the code expire. What fails in between
    /// is tried again.
    ///
    /// # Errors
    /// When there is no token in the end.
    pub async fn device_token(&self, code: &DeviceCode) -> Result<Issued, TokenRequestError> {
        let client = self.client();
        let mut request = client.exchange_device_access_token(&code.0);
        for (name, value) in self.proof().await? {
            request = request.add_extra_param(name, value);
        }
        let polled = request.request_async(self, tokio::time::sleep, Some(code.expires_in()));
        match tokio::time::timeout(code.expires_in(), polled).await {
            Ok(answer) => self.issued(answer),
            Err(_) => {
                Err(TokenRefusal::new("expired_token", Some("nobody has entered the code in time")).into())
            }
        }
    }

    /// Begins a sign-in with a browser that the provider shall send back to `redirect`.
    ///
    /// # Errors
    /// When the sign-in has another flow.
    pub fn authorization(
        &self,
        resource: Resource,
        redirect: &Url,
    ) -> Result<Authorization, TokenRequestError> {
        let SignInFlow::AuthorizationCode { authorize_url } = &self.sign_in.flow else {
            return Err(other_flow());
        };
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = self.client().set_auth_uri(AuthUrl::from_url(authorize_url.clone()));
        let scope = self.person_scope(resource);
        let mut request = client
            .authorize_url(CsrfToken::new_random)
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(redirect.clone())))
            .set_pkce_challenge(challenge)
            .add_scopes(scopes(&scope));
        if self.sign_in.provider == SignInProvider::Google {
            // Without these Google gives a refresh token at the very first time alone.
            request = request.add_extra_param("access_type", "offline").add_extra_param("prompt", "consent");
        }
        let (url, state) = request.url();
        let (redirect, verifier) = (redirect.clone(), SecretString::from(verifier.secret().as_str()));
        Ok(Authorization { url, redirect, state: state.secret().clone(), verifier })
    }

    /// Makes tokens of a code (RFC 6749 4.1.3).
    ///
    /// # Errors
    /// When there are none.
    pub async fn exchange_code(
        &self,
        begun: &Authorization,
        code: &SecretString,
    ) -> Result<Issued, TokenRequestError> {
        let client = self.client();
        let mut request = client
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(begun.verifier.expose_secret().to_owned()))
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(begun.redirect.clone())));
        for (name, value) in self.proof().await? {
            request = request.add_extra_param(name, value);
        }
        self.issued(request.request_async(self).await)
    }
}

fn other_flow() -> TokenRequestError {
    TokenRequestError::Request("the sign-in has another flow".to_owned())
}

#[cfg(test)]
mod tests;
