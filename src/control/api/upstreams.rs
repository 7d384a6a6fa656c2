//! The upstreams: how they are, and the switch of each.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, FromRef as _, Path};

use super::limits::{limits_of, must_exist};
use super::reading::Reading;
use super::reload::switch;
use crate::account::{AccountView, DISABLED_BY_HAND, UpstreamView, enabling};
use crate::config::{self, FileChange};
use crate::control::view::{
    AccountJson, LimitJson, RefusedSenderJson, StrangeReplyJson, UpstreamJson, action, rfc3339,
};
use crate::control::{ApiError, ApiState, KeptIn, SharedState};
use crate::lane::LaneState;
use crate::policy::kept_switches::KeptSwitches;
use crate::store::{NewSuspension, SuspensionKind};

type NamePath = Result<Path<String>, PathRejection>;

/// How the upstreams and their accounts are: what can send, what can't, why, and until when.
#[utoipa::path(
    get,
    path = "/upstreams",
    tag = "upstreams",
    responses((status = 200, description = "In the order of the configuration", body = Vec<UpstreamJson>))
)]
pub(super) async fn list(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<Vec<UpstreamJson>>, ApiError> {
    let mut all = Vec::new();
    for upstream in &state.config.upstreams {
        all.push(shown(upstream, &state).await?);
    }
    Ok(Json(all))
}

/// It takes what no filter matches from now on, and no other one does.
#[utoipa::path(
    post,
    path = "/upstreams/{name}/default",
    tag = "upstreams",
    params(("name" = String, Path, description = "The name of an upstream")),
    responses(
        (status = 200, description = "The upstream as it is now", body = UpstreamJson),
        (status = 409, description = "The configuration file was edited meanwhile, or would have faults so"),
    )
)]
pub(super) async fn make_default(
    extract::State(state): extract::State<ApiState>,
    extract::State(shared): extract::State<SharedState>,
    name: NamePath,
) -> Result<Json<UpstreamJson>, ApiError> {
    let name = name?.0;
    must_exist(&state, &name)?;
    switch(&state, FileChange::DefaultUpstream(name.clone())).await?;
    one(&ApiState::from_ref(&shared), &name).await
}

/// From now on nothing goes by it, over restarts and reloads; what is under way may end. Where the configuration file can't say
/// so, the store does.
#[utoipa::path(
    post,
    path = "/upstreams/{name}/disable",
    tag = "upstreams",
    params(("name" = String, Path, description = "The name of an upstream")),
    responses(
        (status = 200, description = "The upstream as it is now", body = UpstreamJson),
        (status = 409, description = "The configuration file was edited meanwhile, or would have faults so"),
    )
)]
pub(super) async fn disable(
    extract::State(state): extract::State<ApiState>,
    extract::State(shared): extract::State<SharedState>,
    name: NamePath,
) -> Result<Json<UpstreamJson>, ApiError> {
    let name = name?.0;
    must_exist(&state, &name)?;
    let change = FileChange::UpstreamEnabled { name: name.clone(), enabled: false };
    if let KeptIn::Store { .. } = switch(&state, change).await? {
        let suspension = NewSuspension {
            upstream: name.clone(),
            account: None,
            kind: SuspensionKind::Disabled,
            lasts: None,
            login: None,
            reason: DISABLED_BY_HAND.to_owned(),
        };
        state.accounts.suspend(suspension).await?;
    }
    tracing::info!(event = "upstream_disabled", upstream = name, reason = DISABLED_BY_HAND);
    one(&ApiState::from_ref(&shared), &name).await
}

/// It may send again, whoever had stopped it; mail that waited for it is due. A pause by the provider's word stays.
#[utoipa::path(
    post,
    path = "/upstreams/{name}/enable",
    tag = "upstreams",
    params(("name" = String, Path, description = "The name of an upstream")),
    responses(
        (status = 200, description = "The upstream as it is now", body = UpstreamJson),
        (status = 409, description = "The configuration file was edited meanwhile, or would have faults so"),
    )
)]
pub(super) async fn enable(
    extract::State(state): extract::State<ApiState>,
    extract::State(shared): extract::State<SharedState>,
    name: NamePath,
) -> Result<Json<UpstreamJson>, ApiError> {
    let name = name?.0;
    must_exist(&state, &name)?;
    switch(&state, FileChange::UpstreamEnabled { name: name.clone(), enabled: true }).await?;
    // What is in force has changed with it.
    let state = ApiState::from_ref(&shared);
    state
        .accounts
        .resume(Some(&name), &[SuspensionKind::Disabled, SuspensionKind::Stopped, SuspensionKind::Login])
        .await?;
    for lane in state.router.lanes_of(&name) {
        state.wakeups.retry(&lane);
    }
    tracing::info!(event = "upstream_enabled", upstream = name, reason = "enabled by hand");
    one(&state, &name).await
}

/// How an upstream differs by command from what the configuration says.
fn not_in_file(upstream: &config::Upstream, is_off_by_hand: bool, kept: &KeptSwitches) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    all.extend(kept.default_by_command(&upstream.name));
    all.extend(kept.enabled_by_command(&upstream.name));
    if is_off_by_hand && upstream.enabled {
        all.push(format!("it is disabled by command; the configuration says nothing of it{}", kept.why()));
    }
    (!all.is_empty()).then(|| all.join("; "))
}

async fn one(state: &ApiState, name: &str) -> Result<Json<UpstreamJson>, ApiError> {
    let configured = state.config.upstreams.iter().find(|upstream| upstream.name == name);
    match configured {
        Some(upstream) => Ok(Json(shown(upstream, state).await?)),
        None => Err(ApiError::Conflict(format!("{name} has just left the configuration"))),
    }
}

/// All upstreams of the configuration, in its order. What can't be read is left out, and the fault noted.
pub(super) async fn as_far_as_known(state: &ApiState, reading: &mut Reading) -> Vec<UpstreamJson> {
    let mut all = Vec::new();
    for upstream in &state.config.upstreams {
        let name = &upstream.name;
        let view = reading.of(state.accounts.view(name)).await;
        let view = view.unwrap_or_else(|| state.accounts.view_in_memory(name));
        let limits = limits_of(state, Some(name));
        let limits = reading.of(limits).await.unwrap_or_default();
        all.push(described(upstream, state, (view, limits)));
    }
    all
}

/// Whether a person has switched it off.
fn states_by_hand(lane: &LaneState, accounts: &[AccountView]) -> bool {
    lane.reason() == DISABLED_BY_HAND
        || accounts.iter().any(|account| account.state.reason() == DISABLED_BY_HAND)
}

async fn shown(upstream: &config::Upstream, state: &ApiState) -> Result<UpstreamJson, ApiError> {
    let view = state.accounts.view(&upstream.name).await?;
    let limits = limits_of(state, Some(&upstream.name)).await?;
    Ok(described(upstream, state, (view, limits)))
}

fn described(
    upstream: &config::Upstream,
    state: &ApiState,
    (view, limits): (Option<UpstreamView>, Vec<LimitJson>),
) -> UpstreamJson {
    let name = &upstream.name;
    let (lane, accounts) = view.map_or((LaneState::Up, Vec::new()), |view| (view.state, view.accounts));
    let remote = upstream.kind.remote();
    let enable = enabling(name);
    let states = accounts.iter().map(|account| &account.state);
    let action = std::iter::once(&lane).chain(states).find_map(|state| action(state, &enable));
    let refused = state.accounts.refused_senders(name);
    let strange = state.accounts.strange_replies(name);
    let lanes = state.statuses.snapshot();
    let is_off_by_hand = states_by_hand(&lane, &accounts);
    let mut own = lanes.iter().filter(|status| status.lane.upstream() == name);
    UpstreamJson {
        name: name.clone(),
        default: upstream.default,
        state: lane.name().to_owned(),
        // Nobody has to be asked whether the local mailbox is there.
        tried: remote.is_none() || accounts.iter().any(|account| account.tried),
        reason: Some(lane.reason().to_owned()).filter(|reason| !reason.is_empty()),
        until: lane.until().map(|at| rfc3339(state.timeline.wall_at(at))),
        action,
        host: remote.map(|(host, _)| host.to_owned()),
        port: remote.map(|(_, port)| port),
        not_in_file: not_in_file(upstream, is_off_by_hand, &state.kept_switches),
        fallback: own.find_map(|lane| lane.via.clone()),
        accounts: accounts
            .into_iter()
            .map(|account| AccountJson::new(account, &enable, &state.timeline))
            .collect(),
        limits,
        refused_senders: refused
            .into_iter()
            .map(|one| RefusedSenderJson::new(one, &state.timeline))
            .collect(),
        strange_replies: strange.into_iter().map(|one| StrangeReplyJson::new(one, &state.timeline)).collect(),
    }
}
