//! What the keeper of a sign-in says in the log. No token is ever among it.

use jiff::Timestamp;

use super::expiring::SignInDeadline;
use super::kept::Failed;
use super::seat::TokenKey;
use crate::store::StoreError;

fn user(key: &TokenKey) -> Option<&str> {
    Some(key.user.as_str()).filter(|user| !user.is_empty())
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| format!("{at:.3}"))
}

pub(super) fn signed_in(sign_in: &str, account: Option<&str>) {
    tracing::info!(event = "signed_in", sign_in, account);
}

pub(super) fn renewed(sign_in: &str, key: &TokenKey, next: Option<Timestamp>) {
    let (resource, account, next) = (key.resource.name(), user(key), time(next));
    tracing::debug!(event = "token_renewed", sign_in, resource, account, next);
}

pub(super) fn failed(sign_in: &str, key: &TokenKey, failed: &Failed, next: Option<Timestamp>) {
    let (resource, account, next) = (key.resource.name(), user(key), time(next));
    let (reason, action) = (&failed.why.reason, &failed.why.action);
    if failed.needs_a_person {
        tracing::error!(event = "token_failed", sign_in, resource, account, reason, next, action);
    } else {
        tracing::warn!(event = "token_failed", sign_in, resource, account, reason, next, action);
    }
}

pub(super) fn store_failed(sign_in: &str, error: &StoreError, effect: &str) {
    tracing::error!(event = "token_failed", sign_in, reason = %error, effect);
}

pub(super) fn expiring(sign_in: &str, deadline: &SignInDeadline) {
    let SignInDeadline { what, validity, action, .. } = deadline;
    let reason = format!("the {what} expires on {}", validity.until.strftime("%Y-%m-%d"));
    let next = time(Some(validity.until));
    tracing::warn!(event = "token_expiring", sign_in, reason, next, action);
}
