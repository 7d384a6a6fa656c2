//! The relay at a glance.

use axum::Json;
use axum::extract;

use crate::config::{self, ServerAuth, TlsMode, UpstreamKind};
use crate::control::view::{Limit, Listener, Status, Upstream};
use crate::control::{ApiError, State};
use crate::queue::UpstreamStatus;

pub(super) async fn show(extract::State(state): extract::State<State>) -> Result<Json<Status>, ApiError> {
    let now = state.timeline.now();
    let counts = state.store.counts().await?;
    let totals = state.store.totals().await?;
    let board = state.board.snapshot();
    let limits: Vec<Limit> =
        state.throttle.show(now).into_iter().map(|line| Limit::new(line, &state.timeline)).collect();
    let upstreams = state.config.upstreams.iter();
    Ok(Json(Status {
        version: state.version.to_owned(),
        uptime: now.since(state.started).as_secs(),
        test_mode: state.test_mode.state().into(),
        listeners: state.config.listeners.iter().map(listener).collect(),
        upstreams: upstreams.map(|u| upstream(u, &board, &limits, &state)).collect(),
        queue: counts.into(),
        totals: totals.into(),
        store_fault: state.store.healthy().err().map(|error| error.to_string()),
    }))
}

fn listener(listener: &config::Listener) -> Listener {
    Listener {
        address: listener.address.to_string(),
        relay_from: listener.relay_from.iter().map(ToString::to_string).collect(),
        tls: tls(listener).to_owned(),
        auth: auth(listener.auth).to_owned(),
    }
}

/// As the configuration has it.
fn tls(listener: &config::Listener) -> &'static str {
    match listener.tls.as_ref().map(|tls| tls.mode) {
        None => "none",
        Some(TlsMode::StartTls) => "starttls",
        Some(TlsMode::Implicit) => "implicit",
    }
}

/// As the configuration has it.
fn auth(auth: ServerAuth) -> &'static str {
    match auth {
        ServerAuth::None => "none",
        ServerAuth::Optional => "optional",
        ServerAuth::Required => "required",
    }
}

fn upstream(
    upstream: &config::Upstream,
    board: &[UpstreamStatus],
    limits: &[Limit],
    state: &State,
) -> Upstream {
    let status = board.iter().find(|status| status.name == upstream.name);
    // An upstream that nothing was sent to yet may not stand on the board.
    let untried = if upstream.enabled { "up" } else { "disabled" };
    let smtp = match &upstream.kind {
        UpstreamKind::Smtp(smtp) => Some(smtp),
        UpstreamKind::Capture(_) => None,
    };
    Upstream {
        name: upstream.name.clone(),
        default: upstream.default,
        state: status.map_or(untried, |s| s.state).to_owned(),
        reason: status.map(|s| s.reason.clone()).filter(|reason| !reason.is_empty()),
        until: status
            .and_then(|s| s.until)
            .map(|at| crate::control::view::rfc3339(state.timeline.wall_at(at))),
        host: smtp.map(|s| s.host.clone()),
        port: smtp.map(|s| s.port),
        limits: limits.iter().filter(|l| l.upstream == upstream.name).cloned().collect(),
    }
}
