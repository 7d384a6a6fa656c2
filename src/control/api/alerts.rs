//! Alerts.

use axum::Json;
use axum::extract;

use crate::control::view::AlertTrialJson;
use crate::control::{ApiError, ApiState};

/// Sends a test alert by each way that `[alert]` names, once, and says what became of it.
#[utoipa::path(
    post,
    path = "/alerts/test",
    tag = "relay",
    responses(
        (status = 200, description = "A result for each way", body = Vec<AlertTrialJson>),
        (status = 409, description = "There is no way to send one"),
    )
)]
pub(super) async fn test(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<Vec<AlertTrialJson>>, ApiError> {
    let trials = state.alerts.try_channels().await;
    if trials.is_empty() {
        let what = "nobody is told: write mail_to, webhook or command in [alert], then mailsluice reload";
        return Err(ApiError::Conflict(what.to_owned()));
    }
    Ok(Json(trials.into_iter().map(AlertTrialJson::new).collect()))
}
