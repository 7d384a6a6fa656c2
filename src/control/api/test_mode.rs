//! Test mode: how it is, and the switch.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{self, FromRef as _};

use super::reload::switch;
use crate::config::{FileChange, TestMode};
use crate::control::view::{TestModeChange, TestModeJson};
use crate::control::{ApiError, ApiState, SharedState};
use crate::mail::Address;
use crate::policy::kept_switches::KeptSwitches;
use crate::policy::test_mode::{TestState, action_from_name, users_in_test};
use crate::store::TestModeCounts;

/// Whether test mode is on, and what it does.
#[utoipa::path(
    get,
    path = "/test-mode",
    tag = "test mode",
    responses((status = 200, description = "Test mode as it is", body = TestModeJson))
)]
pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<TestModeJson>, ApiError> {
    Ok(Json(describe(&state, state.test_mode.state()).await?))
}

/// How the switch stands otherwise than the configuration says.
fn not_in_file(now: &TestState, file: &TestMode, kept: &KeptSwitches) -> Option<String> {
    let TestState { enabled, action, address, .. } = now;
    let says = |on: bool| if on { "on" } else { "off" };
    let differs = if *enabled != file.enabled {
        format!("it is {} by command; in the configuration it is {}", says(*enabled), says(file.enabled))
    } else if *enabled && (*action, address) != (file.action, &file.address) {
        "it is as a command has set it; in the configuration it is otherwise".to_owned()
    } else {
        return None;
    };
    Some(differs + &kept.why())
}

/// A state of test mode, with all that a person wants to know of it.
async fn describe(state: &ApiState, now: TestState) -> Result<TestModeJson, ApiError> {
    let counts = state.store.test_mode_counts().await?;
    Ok(described(state, now, Some(counts)))
}

/// The same, with what is known of the queue.
pub(super) fn described(state: &ApiState, now: TestState, counts: Option<TestModeCounts>) -> TestModeJson {
    let users = users_in_test(&state.config.users).map(str::to_owned).collect();
    let not_in_file = not_in_file(&now, &state.config.test_mode, &state.kept_switches);
    TestModeJson { not_in_file, ..TestModeJson::new(now, users, counts) }
}

/// Switches test mode on or off.
#[utoipa::path(
    put,
    path = "/test-mode",
    tag = "test mode",
    request_body = TestModeChange,
    responses(
        (status = 200, description = "Test mode as it is now", body = TestModeJson),
        (status = 409, description = "There is no test address, or the configuration file can't be changed so"),
    )
)]
pub(super) async fn set(
    extract::State(state): extract::State<ApiState>,
    extract::State(shared): extract::State<SharedState>,
    change: Result<Json<TestModeChange>, JsonRejection>,
) -> Result<Json<TestModeJson>, ApiError> {
    let Json(change) = change?;
    let unknown = || ApiError::BadRequest("unknown action: write redirect, hold or capture".to_owned());
    let action =
        change.action.as_deref().map(|name| action_from_name(name).ok_or_else(unknown)).transpose()?;
    let address = change.address.as_deref().map(Address::parse).transpose()?;
    switch(&state, FileChange::TestMode { enabled: change.enabled, action, address }).await?;
    let state = ApiState::from_ref(&shared);
    Ok(Json(describe(&state, state.test_mode.state()).await?))
}
