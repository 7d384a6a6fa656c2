//! The sign-ins by name, and where their tokens are to be had.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::token::{NoToken, Resource, TokenFeed, TokenHandle, TokenState, token_channel};

/// The sign-ins by name. It lives over reloads.
#[derive(Debug, Default)]
pub struct SignIns {
    fed: Mutex<HashMap<(String, Resource), TokenHandle>>,
}

impl SignIns {
    /// The token of a sign-in for a resource, now and later.
    #[must_use]
    pub fn handle(&self, name: &str, resource: Resource) -> TokenHandle {
        let fed = self.fed.lock().unwrap_or_else(PoisonError::into_inner);
        fed.get(&(name.to_owned(), resource)).cloned().unwrap_or_else(|| token_channel(name, nobody(name)).1)
    }

    /// Tokens that come from elsewhere, for tests: the other end of what [`SignIns::handle`] gives from now on.
    #[must_use]
    pub fn feed(&self, name: &str, resource: Resource) -> TokenFeed {
        let (feed, handle) = token_channel(name, nobody(name));
        self.fed.lock().unwrap_or_else(PoisonError::into_inner).insert((name.to_owned(), resource), handle);
        feed
    }
}

/// What is known of the token of a sign-in before anybody has signed in.
fn nobody(name: &str) -> TokenState {
    TokenState::Absent(NoToken {
        reason: format!("nobody has signed in yet for {name}"),
        until: None,
        action: Some(format!("mailsluice connect {name}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::AccessToken;

    #[test]
    fn says_what_to_do_until_there_is_a_token() {
        let sign_ins = SignIns::default();
        let why = sign_ins.handle("m365", Resource::Smtp).current().unwrap_err();
        assert_eq!((why.until, why.action.as_deref()), (None, Some("mailsluice connect m365")));
        let feed = sign_ins.feed("m365", Resource::Smtp);
        let handle = sign_ins.handle("m365", Resource::Smtp);
        assert!(handle.current().is_err());
        feed.set(TokenState::Ready(AccessToken::new("t".into())));
        assert_eq!(handle.current().unwrap().expose(), "t");
        assert!(sign_ins.handle("m365", Resource::Graph).current().is_err(), "another token for each");
    }
}
