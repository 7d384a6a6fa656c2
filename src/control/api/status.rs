//! The relay at a glance.

use axum::Json;
use axum::extract;

use super::{sign_ins, upstreams};
use crate::config::{self, ServerAuth, TlsMode};
use crate::control::view::{ListenerJson, RestoredJson, SentCopiesJson, StatusJson};
use crate::control::{ApiError, ApiState};

pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<StatusJson>, ApiError> {
    let now = state.timeline.now();
    let counts = state.store.counts().await?;
    let totals = state.store.totals().await?;
    let copies = state.store.waiting_copies().await?;
    let upstreams = upstreams::all(&state).await?;
    let store_fault = state.store.healthy().err().map(|error| error.to_string());
    let mut needs_a_person: Vec<String> = store_fault.iter().map(|fault| format!("store: {fault}")).collect();
    needs_a_person.extend(upstreams.iter().flat_map(|upstream| upstreams::faults(&state, upstream)));
    let sign_ins = sign_ins::all(&state);
    needs_a_person.extend(sign_ins.iter().filter_map(sign_ins::fault));
    let restored = state.store.restored_mail().await?.as_ref().map(RestoredJson::new);
    needs_a_person.extend(restored.as_ref().and_then(RestoredJson::fault));
    Ok(Json(StatusJson {
        version: state.version.to_owned(),
        uptime: now.since(state.started).as_secs(),
        test_mode: super::test_mode::describe(&state, state.test_mode.state()).await?,
        listeners: state.config.listeners.iter().map(listener).collect(),
        upstreams,
        sign_ins,
        sent_copies: copies.iter().map(|waiting| SentCopiesJson::new(waiting, &state.timeline)).collect(),
        queue: counts,
        totals,
        restored,
        store_fault,
        needs_a_person,
    }))
}

fn listener(listener: &config::Listener) -> ListenerJson {
    ListenerJson {
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
