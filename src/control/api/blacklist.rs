//! The blacklist: look at it, add, remove, check.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{self, Query};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;

use super::queue::link_to;
use crate::control::blacklist_file::{lifetime_end, listed_pattern, listed_reason};
use crate::control::view::{BlacklistAnswer, BlacklistLine, BlacklistRequest};
use crate::control::{ApiError, ApiState};
use crate::mail::Address;
use crate::store::{BlacklistFilter, BlacklistSearch, NewBlacklistEntry, patterns_containing};

/// The reason of an entry that says none.
const NO_REASON: &str = "added by hand";

/// Which entry.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressQuery {
    /// An address, `@domain` or `*.domain`.
    address: String,
}

/// Which entries to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BlacklistQuery {
    /// Those that have this text in their address or reason. A text with an `@` is looked up as an address: before it the whole
    /// local part, or nothing, and behind it how the domain begins; that is quick, however long the list is.
    search: Option<String>,
    /// Behind this entry: what the `Link` of the page before names.
    after: Option<String>,
    /// Entries at most [default: 1000].
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

impl BlacklistQuery {
    fn filter(self) -> Result<BlacklistFilter, ApiError> {
        let most = u64::from(BlacklistFilter::MOST);
        let limit = self.limit.unwrap_or(most);
        if !(1..=most).contains(&limit) {
            return Err(ApiError::BadRequest(format!("limit: 1 to {most}; `after` leads to the next page")));
        }
        let search = self.search.as_deref().and_then(BlacklistSearch::parse);
        Ok(BlacklistFilter { search, after: self.after, limit: limit as u32 })
    }
}

/// A page of the blacklist, of what has not expired. Where there is more, `Link` with `rel="next"` has its target; a page of a
/// search may be empty and have a next one.
#[utoipa::path(
    get,
    path = "/blacklist",
    tag = "blacklist",
    params(BlacklistQuery),
    responses((
        status = 200,
        description = "The entries, ordered",
        body = Vec<BlacklistLine>,
        headers(("Link" = String, description = "The next page, where there may be one (RFC 8288)"))
    ))
)]
pub(super) async fn list(
    extract::State(state): extract::State<ApiState>,
    query: Result<Query<BlacklistQuery>, QueryRejection>,
    extract::RawQuery(asked): extract::RawQuery,
) -> Result<(HeaderMap, Json<Vec<BlacklistLine>>), ApiError> {
    let page = state.store.blacklist_page(query?.0.filter()?).await?;
    let fields = page.next.map(|next| link_to("blacklist", asked.as_deref(), &next)).unwrap_or_default();
    let lines = page.entries.into_iter().map(|entry| BlacklistLine::new(entry, &state.timeline));
    Ok((fields, Json(lines.collect())))
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
    let lasts =
        new.expires.as_deref().map(|text| lifetime(text, state.timeline.wall())).transpose()?.flatten();
    let reason = listed_reason(new.reason.as_deref().unwrap_or(NO_REASON)).map_err(ApiError::BadRequest)?;
    let entry = NewBlacklistEntry { pattern: pattern(&new.address)?, reason, lasts };
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
        Err(_) => state.store.blacklist_first(patterns_containing(&pattern)).await?,
    };
    let entry = entry.map(|entry| BlacklistLine::new(entry, &state.timeline));
    Ok(Json(BlacklistAnswer { address: pattern, listed: entry.is_some(), entry }))
}

fn pattern(text: &str) -> Result<String, ApiError> {
    listed_pattern(text).map_err(ApiError::BadRequest)
}

/// How long an entry lasts; `None` is for ever.
fn lifetime(text: &str, wall: Timestamp) -> Result<Option<Duration>, ApiError> {
    let Some(end) = lifetime_end(text, wall).map_err(ApiError::BadRequest)? else { return Ok(None) };
    let ahead = Duration::try_from(end.duration_since(wall)).unwrap_or_default();
    if ahead.is_zero() {
        return Err(ApiError::BadRequest("the expiry is in the past".to_owned()));
    }
    Ok(Some(ahead))
}
