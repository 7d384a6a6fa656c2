//! Metrics, for Prometheus and what reads the same text.

use axum::extract;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::IntoResponse;

use super::scrape;
use crate::control::ApiState;
use crate::control::scrapes::Scrapes;
use crate::metrics::TextFormat;

/// What was counted since the start, and how the relay is, for a scraper: the text format of Prometheus, or `OpenMetrics` where that
/// is asked for. It answers also while the store is broken, with what is known. With `metrics = "open"` in `[console]` no token is
/// needed.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((
        status = 200,
        description = "The metrics",
        content((String = "text/plain"), (String = "application/openmetrics-text"))
    ))
)]
pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
    extract::State(scrapes): extract::State<Scrapes>,
    fields: HeaderMap,
) -> impl IntoResponse {
    let accept: Vec<&str> = fields.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok()).collect();
    let format = TextFormat::wanted(&accept.join(","));
    let found = scrapes.recent(&state.config, scrape::gather(&state)).await;
    let text = scrape::text(&state, &found, format);
    ([(CONTENT_TYPE, format.content_type())], text)
}
