//! The relay at a glance.

use axum::Json;
use axum::extract;

use super::reading::Reading;
use super::{sign_ins, upstreams};
use crate::alert::StoreFacts;
use crate::config::{self, ServerAuth, TlsMode};
use crate::control::ApiState;
use crate::control::view::{ListenerJson, RestoredJson, SentCopiesJson, StatusJson};

/// What a person has to see to, before all else.
const NOT_RUNNING: &str = "the relay does not run: start it with `mailsluice run`, or by its service";

/// How the relay is: listeners, upstreams, limits, the queue, test mode. It answers also while the store is broken, and says so.
#[utoipa::path(
    get,
    path = "/status",
    tag = "relay",
    responses((status = 200, description = "How the relay is", body = StatusJson))
)]
pub(super) async fn show(extract::State(state): extract::State<ApiState>) -> Json<StatusJson> {
    let now = state.timeline.now();
    let mut reading = Reading::default();
    let counts = reading.of(state.store.queue_figures()).await.map(|figures| figures.counts);
    let totals = reading.of(state.store.totals()).await;
    let copies = reading.of(state.store.waiting_copies()).await.unwrap_or_default();
    let upstreams = upstreams::as_far_as_known(&state, &mut reading).await;
    let tests = reading.of(state.store.test_mode_counts()).await;
    let restored = reading.of(state.store.restored_mail()).await.flatten();
    let healthy = state.store.healthy().map_err(|error| error.to_string());
    let store_fault = healthy.err().or(reading.fault());
    let facts = StoreFacts { fault: store_fault, restored };
    let standing = state.alerts.standing(&facts);
    let StoreFacts { fault: store_fault, restored } = facts;
    let mut needs_a_person: Vec<String> =
        (!state.is_running).then(|| NOT_RUNNING.to_owned()).into_iter().collect();
    needs_a_person.extend(standing.troubles.iter().map(ToString::to_string));
    Json(StatusJson {
        version: state.version.to_owned(),
        running: state.is_running,
        uptime: now.since(state.started).as_secs(),
        test_mode: super::test_mode::described(&state, state.test_mode.state(), tests),
        listeners: state.config.listeners.iter().map(listener).collect(),
        upstreams,
        sign_ins: sign_ins::all(&state),
        sent_copies: copies.iter().map(|waiting| SentCopiesJson::new(waiting, &state.timeline)).collect(),
        queued: state.store.queue_length(),
        queue: counts,
        totals,
        restored: restored.as_ref().map(RestoredJson::new),
        store_fault,
        needs_a_person,
    })
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
