//! The dialogue with an upstream, while it goes on.

use axum::extract::rejection::PathRejection;
use axum::extract::{self, Path};
use axum::response::Response;

use super::limits::must_exist;
use crate::config::UpstreamKind;
use crate::control::view::TraceEvent;
use crate::control::{ApiError, ApiState, Streams};

/// The dialogue with an upstream as it goes on, a line for each event; secrets and contents are left out.
#[utoipa::path(
    get,
    path = "/upstreams/{name}/trace",
    tag = "upstreams",
    params(("name" = String, Path, description = "The name of an upstream")),
    responses(
        (status = 200, description = "A line for each event, until the client goes", body = TraceEvent, content_type = "application/x-ndjson"),
        (status = 409, description = "There is no dialogue with the local mailbox"),
    )
)]
pub(super) async fn follow(
    extract::State(state): extract::State<ApiState>,
    extract::State(streams): extract::State<Streams>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let name = name?.0;
    must_exist(&state, &name)?;
    let upstream = state.router.upstream(&name);
    let speaks = upstream.is_some_and(|upstream| !matches!(upstream.kind, UpstreamKind::Capture(_)));
    let hub = state.accounts.dialogue(&name).filter(|_| speaks);
    let hub = hub.ok_or_else(|| {
        ApiError::Conflict(format!("{name} is the local mailbox: there is no dialogue to be shown"))
    })?;
    // Whoever has the answer misses nothing from then on.
    let mut watch = hub.watch();
    Ok(streams.place()?.answer(|events| async move {
        loop {
            let event = TraceEvent::new(watch.next().await, &state.timeline);
            if events.send(event).await.is_err() {
                return;
            }
        }
    }))
}
