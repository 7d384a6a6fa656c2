//! Whether the process lives, and whether the relay is ready for mail: for whoever runs it. No token is needed, and nothing is
//! logged.

use axum::Json;
use axum::extract;

use crate::control::view::Health;
use crate::control::{ApiError, ApiState};
use crate::lane::LaneState;

/// Whether the process is alive.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses((status = 200, description = "It is", body = Health))
)]
pub(super) async fn alive() -> Json<Health> {
    Json(Health { status: "alive".to_owned() })
}

/// Whether mail can be taken and sent: the listeners are up, the store can be written, the signer and the default upstream are
/// usable.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "It can't, and why"),
    )
)]
pub(super) async fn ready(extract::State(state): extract::State<ApiState>) -> Result<Json<Health>, ApiError> {
    let reasons = reasons(&state);
    if reasons.is_empty() {
        return Ok(Json(Health { status: "ready".to_owned() }));
    }
    Err(ApiError::NotReady(reasons.join("; ")))
}

/// Why mail can't be taken and sent; nothing when it can.
pub(super) fn reasons(state: &ApiState) -> Vec<String> {
    // Who is served finds all listeners open, and the keys of the signer loaded: the relay does not start, and no reload is
    // put in force, without them. It ends when a listener does.
    let mut reasons: Vec<String> = Vec::new();
    if let Err(error) = state.store.healthy() {
        reasons.push(format!("the store can't be written: {error}"));
    }
    reasons.extend(default_upstream(state));
    reasons
}

/// Why the default upstream can't send; nothing when it can, or waits for its limits.
fn default_upstream(state: &ApiState) -> Option<String> {
    let upstream = state.config.upstreams.iter().find(|upstream| upstream.default)?;
    let name = &upstream.name;
    if !upstream.enabled {
        return Some(format!("the default upstream {name} is disabled in the configuration"));
    }
    let now = state.timeline.now();
    let obstacles: Option<Vec<LaneState>> = state
        .accounts
        .of(name)
        .iter()
        .map(|account| account.shown_obstacle(now).map(|obstacle| obstacle.state()).filter(is_in_the_way))
        .collect();
    // One account without an obstacle is enough.
    let first = obstacles?.into_iter().next()?;
    Some(format!("the default upstream {name} is {}: {}", first.name(), first.reason()))
}

fn is_in_the_way(state: &LaneState) -> bool {
    match state {
        LaneState::Disabled { .. } | LaneState::SignIn { .. } | LaneState::Down { .. } => true,
        LaneState::Up | LaneState::Limited { .. } | LaneState::Busy { .. } => false,
    }
}
