//! Who sends with a sign-in.

use crate::config::Config;
use crate::oauth::Resource;

/// A login that uses a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SendingMailbox<'c> {
    /// The login name: the mailbox.
    pub(super) user: &'c str,
    /// The upstream.
    pub(super) upstream: &'c str,
    /// What its tokens are for.
    pub(super) resource: Resource,
}

/// The logins that use the sign-in of this name, each mailbox once for each resource.
pub(super) fn of<'c>(config: &'c Config, sign_in: &str) -> Vec<SendingMailbox<'c>> {
    let mut found: Vec<SendingMailbox<'_>> = Vec::new();
    for upstream in &config.upstreams {
        let resource = Resource::of(&upstream.kind);
        let logins = upstream.accounts.iter().filter(|login| login.oauth.as_deref() == Some(sign_in));
        for user in logins.filter_map(|login| login.user.as_deref()) {
            if !found.iter().any(|known| known.user == user && known.resource == resource) {
                found.push(SendingMailbox { user, upstream: &upstream.name, resource });
            }
        }
    }
    found
}
