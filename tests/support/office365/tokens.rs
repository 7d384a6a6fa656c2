//! Access tokens, as the identity provider would issue them: each for one mailbox and a limited time.

use std::collections::HashMap;

use tokio::time::Instant;

/// The tokens that were issued.
#[derive(Default)]
pub(super) struct Tokens {
    issued: HashMap<String, (String, Instant)>,
}

impl Tokens {
    pub(super) fn issue(&mut self, user: &str, expires: Instant) -> String {
        let token = format!("eyJ0eXAiOiJKV1QifQ.{:08}.c2ltdWxhdGVk", self.issued.len());
        self.issued.insert(token.clone(), (user.to_lowercase(), expires));
        token
    }

    /// Whether it was issued for this mailbox and is still good.
    pub(super) fn is_good(&self, token: &str, user: &str, now: Instant) -> bool {
        self.issued.get(token).is_some_and(|(owner, expires)| owner == user && now < *expires)
    }
}
