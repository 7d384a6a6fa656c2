//! How a sign-in is, for people.

use super::token::{NoToken, Resource};
use crate::time::Moment;

/// How a sign-in is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInStatus {
    /// Its name.
    pub name: String,
    /// Its flow, as the configuration has it.
    pub flow: &'static str,
    /// Who has signed in, if a person must and the provider has said so.
    pub account: Option<String>,
    /// When that was.
    pub granted: Option<Moment>,
    /// When the provider last gave something for it.
    pub renewed: Option<Moment>,
    /// Why no token can be had whatever it is for, if so.
    pub fault: Option<NoToken>,
    /// Its tokens that somebody uses.
    pub tokens: Vec<TokenStatus>,
}

/// How a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStatus {
    /// What it is for.
    pub resource: Resource,
    /// In whose name, where each user has another one; else empty.
    pub user: String,
    /// When it expires; or why there is none.
    pub state: Result<Moment, NoToken>,
}

impl SignInStatus {
    /// Of one of which nothing is known yet.
    pub(super) fn new(name: &str) -> Self {
        let (account, granted, renewed, fault, tokens) = Default::default();
        Self { name: name.to_owned(), flow: "", account, granted, renewed, fault, tokens }
    }

    /// What a person must do for it, and why.
    #[must_use]
    pub fn needs_a_person(&self) -> Option<&NoToken> {
        let of_tokens = self.tokens.iter().filter_map(|token| token.state.as_ref().err());
        self.fault.iter().chain(of_tokens).find(|why| why.action.is_some())
    }
}
