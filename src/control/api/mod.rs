//! The requests under `/api/v1`, a file per subject.
//!
//! A route stands in one of two lists: what everybody may see who comes in, and what needs the role admin. By these lists
//! requests are judged, and the document that describes the interface is made.

mod alerts;
mod blacklist;
mod blacklist_file;
mod bulk;
mod content;
mod describe;
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
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{self, Caller};
use super::view::ROOT;
use super::{ApiError, SharedState};

/// The largest body of a request, in octets.
const MAX_BODY: usize = 64 * 1024;
/// For a whole request, waiting for a message included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(70);

/// What everybody may see who comes in.
fn viewer_routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(status::show))
        .routes(routes!(queue::list))
        .routes(routes!(release::plan))
        .routes(routes!(queue::show))
        .routes(routes!(history::list))
        .routes(routes!(blacklist::list))
        .routes(routes!(blacklist::check))
        .routes(routes!(blacklist_file::export))
        .routes(routes!(limits::show))
        .routes(routes!(upstreams::list))
        .routes(routes!(send::plan))
        .routes(routes!(sign_ins::list))
        .routes(routes!(test_mode::show))
        .routes(routes!(events::follow))
}

/// What shows contents, or changes something.
fn admin_routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(queue::retry_all))
        .routes(routes!(release::release_all))
        .routes(routes!(bulk::run))
        .routes(routes!(queue::delete))
        .routes(routes!(content::show))
        .routes(routes!(content::export))
        .routes(routes!(queue::retry))
        .routes(routes!(queue::hold))
        .routes(routes!(release::release))
        .routes(routes!(history::forget))
        .routes(routes!(resend::resend))
        .routes(routes!(blacklist::add, blacklist::remove))
        .routes(routes!(limits::reset))
        .routes(routes!(upstreams::make_default))
        .routes(routes!(upstreams::enable))
        .routes(routes!(upstreams::disable))
        .routes(routes!(trace::follow))
        .routes(routes!(probe::run))
        .routes(routes!(sign_ins::accept))
        .routes(routes!(alerts::test))
        .routes(routes!(reload::reload))
        .routes(routes!(test_mode::set))
        // A content is bounded by what reads it.
        .merge(OpenApiRouter::new().routes(routes!(send::submit)).layer(DefaultBodyLimit::disable()))
        .merge(blacklist_file::routes())
}

/// What a viewer sees, too, and what needs no token where the configuration says so: it lies where scrapers look for it.
fn metrics_route() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(metrics::show))
}

/// All routes, each list with what describes it.
struct Described {
    open: OpenApiRouter<SharedState>,
    scraped: OpenApiRouter<SharedState>,
    viewer: OpenApiRouter<SharedState>,
    admin: OpenApiRouter<SharedState>,
}

fn described() -> Described {
    let open = OpenApiRouter::new().routes(routes!(health::alive)).routes(routes!(health::ready));
    Described { open, scraped: metrics_route(), viewer: viewer_routes(), admin: admin_routes() }
}

fn all_routes() -> Router<SharedState> {
    let Described { open, scraped, viewer, admin } = described();
    let api = Router::new()
        .route("/openapi.json", get(show_document))
        .merge(Router::from(viewer))
        .merge(Router::from(admin).route_layer(middleware::from_fn(access::admin_alone)));
    Router::new()
        .nest(ROOT, api)
        .merge(Router::from(open))
        .merge(Router::from(scraped))
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::NoMethod)
}

/// The document that describes the interface (`OpenAPI` 3.1).
#[must_use]
pub fn openapi() -> Value {
    let Described { open, scraped, viewer, admin } = described();
    describe::document(
        open.into_openapi(),
        scraped.into_openapi(),
        viewer.into_openapi(),
        admin.into_openapi(),
    )
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
