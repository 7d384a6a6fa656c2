//! Access tokens, as the identity provider would issue them: each for one resource, some mailboxes and a limited time.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

/// The tokens that were issued.
#[derive(Default)]
pub(super) struct Tokens {
    issued: HashMap<String, Token>,
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// XOAUTH2.
    Smtp,
    /// Mail.Send.
    Graph,
}

struct Token {
    audience: Audience,
    /// The mailboxes by which it may send.
    mailboxes: BTreeSet<String>,
    expires: Instant,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody has issued it, for this at least, or it is over.
    Invalid,
    /// It is good, but not for this mailbox.
    Elsewhere,
    Good,
}

impl Tokens {
    pub(super) fn issue(&mut self, audience: Audience, mailboxes: &[&str], expires: Instant) -> String {
        let token = format!("eyJ0eXAiOiJKV1QifQ.{:08}.c2ltdWxhdGVk", self.issued.len());
        let mailboxes = mailboxes.iter().map(|mailbox| mailbox.to_lowercase()).collect();
        self.issued.insert(token.clone(), Token { audience, mailboxes, expires });
        token
    }

    /// From now on none of them is good.
    pub(super) fn revoke_all(&mut self) {
        self.issued.clear();
    }

    /// Whether it was issued for this and is still good.
    pub(super) fn standing(&self, token: &str, audience: Audience, user: &str, now: Instant) -> Standing {
        match self.issued.get(token) {
            Some(known) if known.audience == audience && now < known.expires => {
                if known.mailboxes.contains(user) { Standing::Good } else { Standing::Elsewhere }
            }
            _ => Standing::Invalid,
        }
    }
}
