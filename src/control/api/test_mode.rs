//! Test mode: how it is, and the switch.

use axum::Json;
use axum::extract;
use axum::extract::rejection::JsonRejection;

use crate::control::view::{TestModeChange, TestModeJson};
use crate::control::{ApiError, ApiState};
use crate::mail::Address;
use crate::policy::test_mode::action_from_name;

pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<TestModeJson>, ApiError> {
    Ok(Json(TestModeJson::new(state.test_mode.state(), state.store.test_mode_counts().await?)))
}

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
    Ok(Json(TestModeJson::new(set, state.store.test_mode_counts().await?)))
}
