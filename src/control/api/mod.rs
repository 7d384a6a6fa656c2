//! The requests under `/api/v1`, a file per subject.
//!
//! An endpoint stands in one of a few lists: what is open, what everybody may see who comes in, what needs the role admin. By these
//! lists requests are judged, and the document that describes the interface is made.

mod alerts;
mod blacklist;
mod blacklist_file;
mod bulk;
mod content;
mod describe;
mod endpoint;
mod events;
mod following;
mod health;
mod history;
mod left;
mod limits;
mod metrics;
mod probe;
mod queue;
mod reading;
mod release;
mod reload;
mod resend;
mod scrape;
mod send;
mod sign_ins;
mod status;
mod test_mode;
mod trace;
mod upstreams;

use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::header::CONTENT_TYPE;
use serde_json::Value;

use self::endpoint::{Endpoints, endpoints};
use super::access::{self, Caller};
use super::view::ROOT;
use super::{ApiError, SharedState};

/// The largest body of a request, in octets.
const MAX_BODY: usize = 64 * 1024;
/// For a whole request, waiting for a message included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(70);

/// What everybody may see who comes in.
fn viewer_endpoints() -> Endpoints {
    endpoints![
        status::show,
        queue::list,
        release::plan,
        queue::show,
        history::list,
        blacklist::list,
        blacklist::check,
        blacklist_file::export,
        limits::show,
        upstreams::list,
        send::plan,
        sign_ins::list,
        test_mode::show,
        events::follow,
    ]
}

/// What shows contents, or changes something.
fn admin_endpoints() -> Endpoints {
    endpoints![
        queue::retry_all,
        release::release_all,
        bulk::run,
        queue::delete,
        content::show,
        content::export,
        queue::retry,
        queue::hold,
        release::release,
        history::forget,
        resend::resend,
        blacklist::add,
        blacklist::remove,
        limits::reset,
        upstreams::make_default,
        upstreams::enable,
        upstreams::disable,
        trace::follow,
        probe::run,
        sign_ins::accept,
        alerts::test,
        reload::reload,
        test_mode::set,
    ]
    // A content is bounded by what reads it.
    .merge(endpoints![send::submit].of_body(DefaultBodyLimit::disable()))
    .merge(
        endpoints![blacklist_file::import, blacklist_file::learn]
            .of_body(DefaultBodyLimit::max(blacklist_file::MAX_FILE)),
    )
}

/// All endpoints, by who may ask for them.
struct AllEndpoints {
    /// Whoever comes.
    open: Endpoints,
    /// What a viewer sees, too, and what needs no token where the configuration says so: it lies where scrapers look for it.
    scraped: Endpoints,
    viewer: Endpoints,
    admin: Endpoints,
}

fn all_endpoints() -> AllEndpoints {
    AllEndpoints {
        open: endpoints![health::alive, health::ready],
        scraped: endpoints![metrics::show],
        viewer: viewer_endpoints(),
        admin: admin_endpoints(),
    }
}

fn all_routes() -> Router<SharedState> {
    let AllEndpoints { open, scraped, viewer, admin } = all_endpoints();
    let api = Router::new()
        .route("/openapi.json", get(show_document))
        .merge(viewer.into_router())
        .merge(admin.into_router().route_layer(middleware::from_fn(access::admin_alone)));
    Router::new()
        .nest(ROOT, api)
        .merge(open.into_router())
        .merge(scraped.into_router())
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::NoMethod)
}

/// The document that describes the interface (`OpenAPI` 3.1).
#[must_use]
pub fn openapi() -> Value {
    let AllEndpoints { open, scraped, viewer, admin } = all_endpoints();
    describe::document(open.openapi(), scraped.openapi(), viewer.openapi(), admin.openapi())
}

/// The document takes megabytes until it is text: it is made when somebody asks, and once.
async fn show_document() -> impl IntoResponse {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(openapi().to_string()));
    ([(CONTENT_TYPE, "application/json")], TEXT.clone())
}

/// The interface as the control socket has it: who may connect there may do everything.
pub fn router(state: SharedState) -> Router {
    bounded(all_routes().layer(Extension(Caller::owner())), state)
}

/// The interface as the console's address has it: who comes in there shows a token.
pub(super) fn guarded(state: SharedState) -> Router {
    let admitted = middleware::from_fn_with_state(state.clone(), access::admit);
    bounded(all_routes().layer(admitted), state)
}

fn bounded(routes: Router<SharedState>, state: SharedState) -> Router {
    routes.layer(DefaultBodyLimit::max(MAX_BODY)).layer(middleware::from_fn(in_time)).with_state(state)
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::TimedOut.into_response(),
    }
}
