//! Sign-ins.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{rfc3339, some_text};
use crate::oauth::{SignInStatus, TokenStatus};
use crate::time::Timeline;

/// How a sign-in is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInJson {
    /// Its name.
    pub name: String,
    /// `device_code authorization_code client_credentials service_account`
    pub flow: String,
    /// Who has signed in, if the provider has said so.
    pub account: Option<String>,
    /// When.
    pub signed_in_at: Option<String>,
    /// When the provider last gave something for it.
    pub renewed_at: Option<String>,
    /// Why no token is to be had, if so.
    pub reason: Option<String>,
    /// What a person should do.
    pub action: Option<String>,
    /// Its tokens that somebody uses.
    pub tokens: Vec<TokenJson>,
}

/// How a token is; the token itself is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenJson {
    /// `smtp graph`
    pub resource: String,
    /// In whose name, where each user has another one.
    pub user: Option<String>,
    /// When it expires; null when there is none.
    pub expires_at: Option<String>,
    /// Why there is none.
    pub reason: Option<String>,
    /// When the next try is made.
    pub until: Option<String>,
    /// What a person should do.
    pub action: Option<String>,
}

/// What a person's sign-in gave. Debug output does not show the token.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInGrantJson {
    /// The refresh token.
    pub refresh_token: String,
    /// The application that it was given to: what tells it from others.
    pub client: String,
    /// Who has signed in, if the provider has said so.
    #[serde(default)]
    pub account: Option<String>,
}

impl fmt::Debug for SignInGrantJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInGrantJson").field("account", &self.account).finish_non_exhaustive()
    }
}

impl SignInJson {
    /// A sign-in as it is, with times by the wall clock.
    #[must_use]
    pub fn new(status: SignInStatus, timeline: &Timeline) -> Self {
        let time = |moment| rfc3339(timeline.wall_at(moment));
        let fault = status.needs_a_person().or(status.fault.as_ref()).cloned();
        let (reason, action) = fault.map_or((None, None), |why| (Some(why.reason), why.action));
        Self {
            name: status.name,
            flow: status.flow.to_owned(),
            account: status.account,
            signed_in_at: status.granted.map(time),
            renewed_at: status.renewed.map(time),
            reason,
            action,
            tokens: status.tokens.into_iter().map(|token| TokenJson::new(token, timeline)).collect(),
        }
    }
}

impl TokenJson {
    fn new(token: TokenStatus, timeline: &Timeline) -> Self {
        let time = |moment| rfc3339(timeline.wall_at(moment));
        let (resource, user) = (token.resource.name().to_owned(), some_text(&token.user));
        match token.state {
            Ok(expires) => Self {
                resource,
                user,
                expires_at: Some(time(expires)),
                reason: None,
                until: None,
                action: None,
            },
            Err(why) => {
                let (until, reason) = (why.until.map(time), Some(why.reason));
                Self { resource, user, expires_at: None, reason, until, action: why.action }
            }
        }
    }
}
