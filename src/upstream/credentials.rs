//! By what an account logs in: a password, or the token of a sign-in, which another can take the place of once.

use secrecy::SecretString;

use super::error::{LoginError, LoginMethod};
use crate::config::Login;
use crate::oauth::{AccessToken, TokenHandle, TokenUser};

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
    by: TokenUser,
}

/// What one login is made with. Debug output does not show it.
#[derive(Debug)]
pub(crate) struct PresentedLogin {
    pub(crate) user: String,
    pub(crate) secret: SecretString,
    /// The token; `None` where the secret is a password.
    token: Option<AccessToken>,
    /// Whether the token has just taken the place of one that was refused: then no other is asked for.
    is_replacement: bool,
}

impl Credentials {
    /// Those of an account; `None` where nobody logs in. `token` is where its tokens come from, if it names a sign-in, and
    /// `by` what is known of those that it has shown.
    #[must_use]
    pub fn of(login: &Login, token: Option<TokenHandle>, by: TokenUser) -> Option<Self> {
        let user = login.user.clone()?;
        match (&login.oauth, token) {
            (None, _) => Some(Self::Password { user, password: login.password.clone()? }),
            (Some(_), token) => Some(Self::Token(TokenLogin { user, token: token?, by })),
        }
    }

    /// What to log in with now. Where the token at hand was refused already, another is asked for first.
    pub(crate) async fn present(&self) -> Result<PresentedLogin, LoginError> {
        match self {
            Self::Password { user, password } => Ok(PresentedLogin {
                user: user.clone(),
                secret: password.clone(),
                token: None,
                is_replacement: false,
            }),
            Self::Token(login) => {
                let token = login.token.current().map_err(LoginError::NoToken)?;
                if login.by.was_refused(&token) {
                    login.replace(&token).await
                } else {
                    Ok(login.presented(token, false))
                }
            }
        }
    }

    /// The upstream has accepted what was presented.
    pub(crate) fn note_accepted(&self, accepted: &PresentedLogin) {
        if let (Self::Token(login), Some(token)) = (self, &accepted.token) {
            login.by.note_accepted(token);
        }
    }

    /// The upstream has refused what was presented: what to log in with in its place, once.
    ///
    /// # Errors
    /// Why there is nothing.
    pub(crate) async fn instead_of(
        &self,
        refused: &PresentedLogin,
    ) -> Option<Result<PresentedLogin, LoginError>> {
        let (Self::Token(login), Some(token)) = (self, &refused.token) else { return None };
        login.by.note_refused(token);
        if refused.is_replacement { None } else { Some(login.replace(token).await) }
    }
}

impl TokenLogin {
    /// With the tokens that come from there, as this user; `by` is what is known of those that it has shown.
    #[must_use]
    pub fn new(user: String, token: TokenHandle, by: TokenUser) -> Self {
        Self { user, token, by }
    }

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
}

impl PresentedLogin {
    /// The token, if it is made with one.
    pub(super) fn token(&self) -> Option<&AccessToken> {
        self.token.as_ref()
    }

    pub(crate) fn method(&self) -> LoginMethod {
        if self.token.is_some() { LoginMethod::Token } else { LoginMethod::Password }
    }
}
