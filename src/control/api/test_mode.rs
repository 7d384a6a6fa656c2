//! Test mode: how it is, and the switch.

use axum::Json;
use axum::extract;
use axum::extract::rejection::JsonRejection;

use crate::control::view::{TestModeChange, TestModeJson};
use crate::control::{ApiError, ApiState};
use crate::mail::Address;
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

/// A state of test mode, with all that a person wants to know of it.
async fn describe(state: &ApiState, now: TestState) -> Result<TestModeJson, ApiError> {
    let counts = state.store.test_mode_counts().await?;
    Ok(described(state, now, Some(counts)))
}

/// The same, with what is known of the queue.
pub(super) fn described(state: &ApiState, now: TestState, counts: Option<TestModeCounts>) -> TestModeJson {
    let users = users_in_test(&state.config.users).map(str::to_owned).collect();
    TestModeJson::new(now, users, counts)
}

/// Switches test mode on or off.
#[utoipa::path(
    put,
    path = "/test-mode",
    tag = "test mode",
    request_body = TestModeChange,
    responses(
        (status = 200, description = "Test mode as it is now", body = TestModeJson),
        (status = 409, description = "There is no test address"),
    )
)]
pub(super) async fn set(
    extract::State(state): extract::State<ApiState>,
    change: Result<Json<TestModeChange>, JsonRejection>,
) -> Result<Json<TestModeJson>, ApiError> {
    let Json(change) = change?;
    let unknown = || ApiError::BadRequest("unknown action: write redirect, hold or capture".to_owned());
    let action =
        change.action.as_deref().map(|name| action_from_name(name).ok_or_else(unknown)).transpose()?;
    let address = change.address.as_deref().map(Address::parse).transpose()?;
    let set = state.test_mode.set(change.enabled, action, address).await?;
    Ok(Json(describe(&state, set).await?))
}
