//! The upstreams: how they are, and the switch of each.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, Path};

use super::limits::must_exist;
use crate::config::{self, UpstreamKind};
use crate::control::view::{Account, Limit, Upstream, rfc3339};
use crate::control::{ApiError, State};
use crate::queue::{LaneState, UpstreamStatus};
use crate::route::upstream_of;
use crate::store::{Standing, StandingKind};

/// Why an upstream is off that a person has switched off.
const BY_HAND: &str = "disabled by hand";

type NamePath = Result<Path<String>, PathRejection>;

pub(super) async fn list(extract::State(state): extract::State<State>) -> Json<Vec<Upstream>> {
    Json(all(&state))
}

/// From now on nothing goes by it, over restarts and reloads; what is under way may end.
pub(super) async fn disable(
    extract::State(state): extract::State<State>,
    name: NamePath,
) -> Result<Json<Upstream>, ApiError> {
    let name = name?.0;
    must_exist(&state, &name)?;
    // First what lasts: if that fails, what is in force stays in force.
    let standing = Standing {
        upstream: name.clone(),
        account: None,
        kind: StandingKind::Disabled,
        until: None,
        reason: BY_HAND.to_owned(),
    };
    state.store.set_standing(standing).await?;
    state.fleet.stop(&name, None, BY_HAND);
    tracing::info!(event = "upstream_disabled", upstream = name, reason = BY_HAND);
    one(&state, &name)
}

/// It may send again, whoever had stopped it; all of its mail is due. A pause by the provider's word stays.
pub(super) async fn enable(
    extract::State(state): extract::State<State>,
    name: NamePath,
) -> Result<Json<Upstream>, ApiError> {
    let name = name?.0;
    must_exist(&state, &name)?;
    if state.router.upstream(&name).is_some_and(|upstream| !upstream.enabled) {
        return Err(ApiError::Conflict(format!(
            "{name} has `enabled = false` in the configuration file: change that, then `mailsluice reload`"
        )));
    }
    let kinds = vec![StandingKind::Disabled, StandingKind::Stopped];
    state.store.clear_standings(Some(name.clone()), kinds).await?;
    let now = state.timeline.now();
    state.fleet.start(&name, now);
    for lane in state.router.lanes_of(&name) {
        state.store.make_due(lane.clone(), now).await?;
        state.wake.retry(&lane);
    }
    tracing::info!(event = "upstream_enabled", upstream = name, reason = "enabled by hand");
    one(&state, &name)
}

fn one(state: &State, name: &str) -> Result<Json<Upstream>, ApiError> {
    let found = all(state).into_iter().find(|upstream| upstream.name == name);
    found.map(Json).ok_or_else(|| ApiError::Conflict(format!("{name} has just left the configuration")))
}

/// All upstreams of the configuration, in its order.
pub(super) fn all(state: &State) -> Vec<Upstream> {
    let lines = state.throttle.show(state.timeline.now());
    let limits: Vec<Limit> = lines.into_iter().map(|line| Limit::new(line, &state.timeline)).collect();
    let board = state.board.snapshot();
    state.config.upstreams.iter().map(|upstream| shown(upstream, &board, &limits, state)).collect()
}

fn shown(upstream: &config::Upstream, board: &[UpstreamStatus], limits: &[Limit], state: &State) -> Upstream {
    let name = &upstream.name;
    let view = state.fleet.view(name, state.timeline.now());
    let (lane, accounts) = view.map_or((LaneState::Up, Vec::new()), |view| (view.state, view.accounts));
    let status = UpstreamStatus::new(name.clone(), &lane, None);
    let smtp = match &upstream.kind {
        UpstreamKind::Smtp(smtp) => Some(smtp),
        UpstreamKind::Capture(_) => None,
    };
    let its_own = |lane: &&UpstreamStatus| upstream_of(&lane.name) == name;
    Upstream {
        name: status.name,
        default: upstream.default,
        state: status.state.to_owned(),
        reason: Some(status.reason).filter(|reason| !reason.is_empty()),
        until: status.until.map(|at| rfc3339(state.timeline.wall_at(at))),
        host: smtp.map(|s| s.host.clone()),
        port: smtp.map(|s| s.port),
        fallback: board.iter().filter(its_own).find_map(|lane| lane.via.clone()),
        accounts: accounts.into_iter().map(|account| Account::new(account, &state.timeline)).collect(),
        limits: limits.iter().filter(|limit| limit.upstream == *name).cloned().collect(),
    }
}
