//! What became of mail that has left: searched, and forgotten.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{self, Query};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::queue::{address_filter, link_to, sender_filter};
use crate::config::ApiRole;
use crate::control::access::Caller;
use crate::control::point_in_time::{SpanDirection, point_in_time};
use crate::control::view::{Forget, ForgottenJson, HistoryJson, MAX_LIMIT};
use crate::control::{ApiError, ApiState};
use crate::mail::QueueId;
use crate::store::{HistoryId, HistorySearch};
use crate::time::{Moment, Timeline};

/// Entries in one answer when nobody says how many.
const DEFAULT_ENTRIES: u64 = 1_000;

/// Which entries to show: those that fit all that is said.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// For this recipient: an address.
    to: Option<String>,
    /// With this reverse-path: an address, or `<>`.
    from: Option<String>,
    /// With this in the subject, in upper or lower case; for an admin alone.
    subject: Option<String>,
    /// With this Message-ID, with or without angle brackets.
    message_id: Option<String>,
    /// Of this message.
    queue_id: Option<String>,
    /// Not before then: a time, a date, or a duration before now such as `2d`.
    since: Option<String>,
    /// Behind this entry, that is before it: what the `Link` of the page before names.
    after: Option<i64>,
    /// Entries at most [default: 1000].
    #[param(value_type = Option<u64>, maximum = 100_000)]
    limit: Option<u64>,
}

impl HistoryQuery {
    fn search(self, timeline: &Timeline) -> Result<HistorySearch, ApiError> {
        let limit = self.limit.unwrap_or(DEFAULT_ENTRIES);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(ApiError::BadRequest(format!(
                "limit: from 1 to {MAX_LIMIT}; `after` leads to the next page"
            )));
        }
        Ok(HistorySearch {
            to: self.to.as_deref().map(address_filter).transpose()?,
            from: self.from.as_deref().map(sender_filter).transpose()?,
            subject: self.subject,
            message_id: self.message_id,
            queue_id: self.queue_id.as_deref().map(QueueId::parse).transpose()?,
            since: self.since.map(|text| since(&text, timeline)).transpose()?,
            before: self.after.map(HistoryId),
            limit: limit as u32,
        })
    }
}

/// Since when, on the time line.
fn since(text: &str, timeline: &Timeline) -> Result<Moment, ApiError> {
    let wrong = || {
        let form = "write a time, a date such as 2027-01-31, or a duration such as 2d";
        ApiError::BadRequest(format!("since: `{text}` is not understood: {form}"))
    };
    let wall = timeline.wall();
    let begin = point_in_time(text.trim(), wall, SpanDirection::Ago).ok_or_else(wrong)?;
    let ago = wall.as_millisecond().saturating_sub(begin.as_millisecond());
    Ok(Moment(timeline.now().0.saturating_sub(ago)))
}

/// What became of each recipient, the newest first. Where more may follow, `Link` with `rel="next"` has the target of the next
/// page; a page before it may have fewer entries than wanted, or none.
#[utoipa::path(
    get,
    path = "/history",
    tag = "history",
    params(HistoryQuery),
    responses(
        (
            status = 200,
            description = "The entries that fit; without subjects for a viewer",
            body = Vec<HistoryJson>,
            headers(("Link" = String, description = "The next page, where there may be one (RFC 8288)"))
        ),
        (status = 403, description = "The token has the role viewer, which can't search by subject"),
    )
)]
pub(super) async fn list(
    extract::State(state): extract::State<ApiState>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
    extract::RawQuery(asked): extract::RawQuery,
) -> Result<(HeaderMap, Json<Vec<HistoryJson>>), ApiError> {
    let search = query?.0.search(&state.timeline)?;
    // The subject is content.
    let sees_subjects = caller.role() == ApiRole::Admin;
    if search.subject.is_some() && !sees_subjects {
        return Err(ApiError::WrongRole);
    }
    let page = state.store.history(search).await?;
    let next = page.next.map(|HistoryId(next)| link_to("history", asked.as_deref(), &next.to_string()));
    let line = |entry| HistoryJson::new(entry, sees_subjects);
    Ok((next.unwrap_or_default(), Json(page.entries.into_iter().map(line).collect())))
}

/// Forgets what became of an address's mail, as its recipient and as its reverse-path, and the contents of that mail. The queue and
/// the log stay as they are.
#[utoipa::path(
    post,
    path = "/history/forget",
    tag = "history",
    request_body = Forget,
    responses((status = 200, description = "How much was forgotten", body = ForgottenJson))
)]
pub(super) async fn forget(
    extract::State(state): extract::State<ApiState>,
    forget: Result<Json<Forget>, JsonRejection>,
) -> Result<Json<ForgottenJson>, ApiError> {
    let address = address_filter(&forget?.0.address)?;
    // Whoever has asked may go: it is done all the same.
    let (store, whose) = (state.store.clone(), address.clone());
    let forgetting = tokio::spawn(async move { store.forget(whose).await });
    let forgotten = forgetting.await.map_err(|_| crate::store::StoreError::Closed)??;
    // Not whose: the log would keep it.
    tracing::info!(event = "forgotten", entries = forgotten.entries, contents = forgotten.contents);
    Ok(Json(ForgottenJson { address, entries: forgotten.entries, contents: forgotten.contents }))
}
