//! The blacklist: look at it, add, remove, check.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{self, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use super::point_in_time::{SpanDirection, point_in_time};
use crate::control::view::{BlacklistAnswer, BlacklistLine, BlacklistRequest};
use crate::control::{ApiError, ApiState};
use crate::mail::Address;
use crate::store::{BlacklistEntry, NewBlacklistEntry, pattern_key, patterns_covering};
use crate::time::Moment;

/// The longest reason, in characters: it stands in an SMTP reply.
const MAX_REASON: usize = 200;

/// Which entry.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressQuery {
    /// An address, `@domain` or `*.domain`.
    address: String,
}

/// All entries of the blacklist.
#[utoipa::path(
    get,
    path = "/blacklist",
    tag = "blacklist",
    responses((status = 200, description = "The entries, ordered", body = Vec<BlacklistLine>))
)]
pub(super) async fn list(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<Vec<BlacklistLine>>, ApiError> {
    let entries = state.store.blacklist().await?;
    Ok(Json(entries.into_iter().map(|entry| BlacklistLine::new(entry, &state.timeline)).collect()))
}

/// Adds an entry, or replaces it.
#[utoipa::path(
    post,
    path = "/blacklist",
    tag = "blacklist",
    request_body = BlacklistRequest,
    responses((status = 200, description = "The entry", body = BlacklistLine))
)]
pub(super) async fn add(
    extract::State(state): extract::State<ApiState>,
    entry: Result<Json<BlacklistRequest>, JsonRejection>,
) -> Result<Json<BlacklistLine>, ApiError> {
    let Json(new) = entry?;
    let lasts = new.expires.as_deref().map(|text| lifetime(text, &state)).transpose()?.flatten();
    let entry = NewBlacklistEntry { pattern: pattern(&new.address)?, reason: reason(new.reason)?, lasts };
    let entry = state.store.blacklist_add(entry).await?;
    tracing::info!(event = "blacklisted", to = entry.pattern, reason = entry.reason, source = "manual");
    Ok(Json(BlacklistLine::new(entry, &state.timeline)))
}

/// Removes an entry.
#[utoipa::path(
    delete,
    path = "/blacklist",
    tag = "blacklist",
    params(AddressQuery),
    responses(
        (status = 200, description = "It is gone", body = BlacklistAnswer),
        (status = 404, description = "There is no such entry"),
    )
)]
pub(super) async fn remove(
    extract::State(state): extract::State<ApiState>,
    query: Result<Query<AddressQuery>, QueryRejection>,
) -> Result<Json<BlacklistAnswer>, ApiError> {
    let pattern = pattern(&query?.address)?;
    if !state.store.blacklist_remove(pattern.clone()).await? {
        return Err(ApiError::NotFound(format!(
            "{pattern} is not on the blacklist: `mailsluice blacklist list` shows what is"
        )));
    }
    tracing::info!(event = "unblacklisted", to = pattern);
    Ok(Json(BlacklistAnswer { address: pattern, listed: false, entry: None }))
}

/// Whether mail to an address, or to all of a domain, is refused.
#[utoipa::path(
    get,
    path = "/blacklist/check",
    tag = "blacklist",
    params(AddressQuery),
    responses((status = 200, description = "Whether, and by which entry", body = BlacklistAnswer))
)]
pub(super) async fn check(
    extract::State(state): extract::State<ApiState>,
    query: Result<Query<AddressQuery>, QueryRejection>,
) -> Result<Json<BlacklistAnswer>, ApiError> {
    let text = query?.0.address;
    let pattern = pattern(&text)?;
    let entry = match Address::parse(text.trim()) {
        Ok(address) => state.store.blacklisted(&[address]).await?.into_iter().flatten().next(),
        Err(_) => covering(&pattern, state.store.blacklist().await?, state.timeline.now()),
    };
    let entry = entry.map(|entry| BlacklistLine::new(entry, &state.timeline));
    Ok(Json(BlacklistAnswer { address: pattern, listed: entry.is_some(), entry }))
}

/// The entry that covers all addresses of `@domain`, or of `*.domain`.
fn covering(pattern: &str, entries: Vec<BlacklistEntry>, now: Moment) -> Option<BlacklistEntry> {
    let (address, kinds): (String, &[&str]) = match pattern.strip_prefix('@') {
        Some(domain) => (format!("x@{domain}"), &["@", "*."]),
        None => (format!("x@x.{}", pattern.trim_start_matches("*.")), &["*."]),
    };
    let covering = patterns_covering(&address);
    let covers = |entry: &BlacklistEntry| {
        kinds.iter().any(|kind| entry.pattern.starts_with(kind)) && covering.contains(&entry.pattern)
    };
    entries.into_iter().find(|entry| entry.expires.is_none_or(|end| end > now) && covers(entry))
}

/// An address, `@domain` or `*.domain`, as it is stored.
fn pattern(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let domain = text.strip_prefix('@').or_else(|| text.strip_prefix("*."));
    let parsed = match domain {
        Some(domain) => Address::parse(&format!("x@{domain}")),
        None => Address::parse(text),
    };
    match parsed {
        Ok(_) => Ok(pattern_key(text)),
        Err(_) => Err(ApiError::BadRequest(format!("`{text}`: write local@domain, @domain or *.domain"))),
    }
}

/// A reason of one line, as it is told to clients.
fn reason(text: Option<String>) -> Result<String, ApiError> {
    let text = text.unwrap_or_else(|| "added by hand".to_owned()).trim().to_owned();
    if text.chars().any(char::is_control) || text.chars().count() > MAX_REASON {
        return Err(ApiError::BadRequest(format!(
            "the reason must be one line of at most {MAX_REASON} characters"
        )));
    }
    Ok(text)
}

/// How long an entry lasts: for ever (`never`), to a date, or for a duration.
fn lifetime(text: &str, state: &ApiState) -> Result<Option<Duration>, ApiError> {
    let text = text.trim();
    if text == "never" {
        return Ok(None);
    }
    let wall = state.timeline.wall();
    let wrong = || {
        let form = "write a duration such as 30d, a date such as 2027-01-31, or never";
        ApiError::BadRequest(format!("the expiry is not understood: {form}"))
    };
    let end = point_in_time(text, wall, SpanDirection::Ahead).ok_or_else(wrong)?;
    let ahead = Duration::try_from(end.duration_since(wall)).unwrap_or_default();
    if ahead.is_zero() {
        return Err(ApiError::BadRequest("the expiry is in the past".to_owned()));
    }
    Ok(Some(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_patterns() {
        for (text, want) in [
            ("Joe@Firm.Example", Some("joe@firm.example")),
            (" @Firm.Example ", Some("@firm.example")),
            ("*.Firm.example", Some("*.firm.example")),
            ("@Müller.test", Some("@xn--mller-kva.test")),
            ("firm.example", None),
            ("@", None),
            ("*.", None),
            ("a@b\r\nRCPT", None),
        ] {
            assert_eq!(pattern(text).ok().as_deref(), want, "{text:?}");
        }
    }
}
