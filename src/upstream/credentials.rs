//! By what an account logs in: a password, or the token of a sign-in, which another can take the place of once.

use std::sync::{Mutex, PoisonError};

use secrecy::SecretString;

use super::error::{LoginError, LoginMethod};
use crate::config::Login;
use crate::oauth::{AccessToken, TokenHandle};

/// By what an account logs in.
#[derive(Debug)]
pub enum Credentials {
    /// A password.
    Password {
        /// Who logs in.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// The tokens of a sign-in; never a password in their place.
    Token(TokenLogin),
}

/// Logs in with the tokens of a sign-in.
#[derive(Debug)]
pub struct TokenLogin {
    /// Whose mailbox it is, which may be another than the one that signed in.
    user: String,
    token: TokenHandle,
    /// The token that the upstream has refused: it is not offered again.
    refused: Mutex<Option<AccessToken>>,
}

/// What one login is made with. Debug output does not show it.
#[derive(Debug)]
pub(super) struct PresentedLogin {
    pub(super) user: String,
    pub(super) secret: SecretString,
    /// The token; `None` where the secret is a password.
    token: Option<AccessToken>,
    /// Whether the token has just taken the place of one that was refused: then no other is asked for.
    is_replacement: bool,
}

impl Credentials {
    /// Those of an account; `None` where nobody logs in. `token` tells where the tokens of a sign-in come from.
    #[must_use]
    pub fn of(login: &Login, token: impl FnOnce(&str) -> TokenHandle) -> Option<Self> {
        let user = login.user.clone()?;
        if let Some(sign_in) = &login.oauth {
            let token = token(sign_in);
            return Some(Self::Token(TokenLogin { user, token, refused: Mutex::default() }));
        }
        Some(Self::Password { user, password: login.password.clone()? })
    }

    /// What to log in with now. Where the token at hand was refused already, another is asked for first.
    pub(super) async fn present(&self) -> Result<PresentedLogin, LoginError> {
        match self {
            Self::Password { user, password } => Ok(PresentedLogin {
                user: user.clone(),
                secret: password.clone(),
                token: None,
                is_replacement: false,
            }),
            Self::Token(login) => {
                let token = login.token.current().map_err(LoginError::NoToken)?;
                let is_refused = login.refused().as_ref().is_some_and(|refused| refused.is(&token));
                if is_refused { login.replace(&token).await } else { Ok(login.presented(token, false)) }
            }
        }
    }

    /// The upstream has refused what was presented: what to log in with in its place, once.
    ///
    /// # Errors
    /// Why there is nothing.
    pub(super) async fn instead_of(
        &self,
        refused: &PresentedLogin,
    ) -> Option<Result<PresentedLogin, LoginError>> {
        let (Self::Token(login), Some(token)) = (self, &refused.token) else { return None };
        *login.refused() = Some(token.clone());
        if refused.is_replacement { None } else { Some(login.replace(token).await) }
    }
}

impl TokenLogin {
    async fn replace(&self, refused: &AccessToken) -> Result<PresentedLogin, LoginError> {
        match self.token.replace(refused).await {
            Ok(token) => Ok(self.presented(token, true)),
            // The refused one may still be what there is: then nobody has to sign in for all that is known.
            Err(why) => Err(match self.token.current() {
                Ok(_) => LoginError::NotReplaced(why),
                Err(absent) => LoginError::NoToken(absent),
            }),
        }
    }

    fn presented(&self, token: AccessToken, is_replacement: bool) -> PresentedLogin {
        let secret = token.expose().into();
        PresentedLogin { user: self.user.clone(), secret, token: Some(token), is_replacement }
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Option<AccessToken>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PresentedLogin {
    pub(super) fn method(&self) -> LoginMethod {
        if self.token.is_some() { LoginMethod::Token } else { LoginMethod::Password }
    }
}
