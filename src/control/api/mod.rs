//! The requests under `/api/v1`, a file per subject.

mod blacklist;
mod following;
mod limits;
mod probe;
mod queue;
mod release;
mod reload;
mod send;
mod sign_ins;
mod status;
mod test_mode;
mod trace;
mod upstreams;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};

use super::{ApiError, SharedState};

/// The largest body of a request, in octets.
const MAX_BODY: usize = 64 * 1024;
/// For a whole request, waiting for a message included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(70);

/// All routes of the interface.
pub fn router(state: SharedState) -> Router {
    let api = Router::new()
        .route("/status", get(status::show))
        .route("/queue", get(queue::list))
        .route("/queue/retry", post(queue::retry_all))
        .route("/queue/release", get(release::plan).post(release::release_all))
        .route("/queue/{id}", get(queue::show).delete(queue::delete))
        .route("/queue/{id}/content", get(queue::content))
        .route("/queue/{id}/retry", post(queue::retry))
        .route("/queue/{id}/hold", post(queue::hold))
        .route("/queue/{id}/release", post(release::release))
        .route("/blacklist", get(blacklist::list).post(blacklist::add).delete(blacklist::remove))
        .route("/blacklist/check", get(blacklist::check))
        .route("/limits", get(limits::show))
        .route("/limits/reset", post(limits::reset))
        .route("/upstreams", get(upstreams::list))
        .route("/upstreams/{name}/default", post(upstreams::make_default))
        .route("/upstreams/{name}/enable", post(upstreams::enable))
        .route("/upstreams/{name}/disable", post(upstreams::disable))
        .route("/upstreams/{name}/trace", get(trace::follow))
        .route("/probe", post(probe::run))
        // A content is bounded by what reads it.
        .route("/send", get(send::plan).post(send::submit).layer(DefaultBodyLimit::disable()))
        .route("/sign-ins", get(sign_ins::list))
        .route("/sign-ins/{name}", put(sign_ins::accept))
        .route("/reload", post(reload::reload))
        .route("/test-mode", get(test_mode::show).put(test_mode::set));
    Router::new()
        .nest("/api/v1", api)
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::NoMethod)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(in_time))
        .with_state(state)
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::TimedOut.into_response(),
    }
}
