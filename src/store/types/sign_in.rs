//! What a person's sign-in at a provider gave.

use std::fmt;

use crate::time::Moment;

/// A grant as it lasts: the token by which access tokens are had, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrant {
    /// The name of the sign-in (`[[oauth]]`).
    pub sign_in: String,
    /// Tells the application at the provider from others: a grant is of use to that one alone.
    pub client: String,
    /// Who has signed in, if the provider has said so.
    pub account: Option<String>,
    /// The refresh token.
    pub token: StoredToken,
    /// When the person signed in.
    pub granted: Moment,
    /// When the provider last gave something for it.
    pub renewed: Moment,
}

/// A grant that begins or changes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// The name of the sign-in.
    pub sign_in: String,
    /// Tells the application at the provider from others.
    pub client: String,
    /// The refresh token.
    pub token: StoredToken,
    /// Why it changes.
    pub change: GrantChange,
}

/// Why a grant changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantChange {
    /// A person has signed in.
    SignedIn {
        /// Who, if the provider has said so.
        account: Option<String>,
    },
    /// The provider has given another token.
    Renewed,
    /// The same token is kept in another form.
    Rewritten,
}

/// A refresh token in the form in which it lasts; the store does not look into it. Debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredToken(pub Vec<u8>);

impl fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredToken").finish_non_exhaustive()
    }
}
