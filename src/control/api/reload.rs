//! Reading the configuration again.

use axum::Json;
use axum::extract;
use tokio::sync::oneshot;

use crate::control::view::Reloaded;
use crate::control::{ApiError, ApiState};

/// Reads the configuration again, and puts it in force; a bad one changes nothing.
#[utoipa::path(
    post,
    path = "/reload",
    tag = "relay",
    responses(
        (status = 200, description = "What has changed", body = Reloaded),
        (status = 422, description = "The configuration has faults"),
    )
)]
pub(super) async fn reload(
    extract::State(state): extract::State<ApiState>,
) -> Result<Json<Reloaded>, ApiError> {
    let (answer, answered) = oneshot::channel();
    let asked = state.reloads.send(answer).await;
    let done = match asked {
        Ok(()) => answered.await.ok(),
        Err(_) => None,
    };
    match done {
        Some(Ok(changed)) => Ok(Json(Reloaded { changed })),
        Some(Err(faults)) => Err(ApiError::Configuration(faults)),
        None => Err(ApiError::Unavailable("the relay is stopping: nothing was reloaded".to_owned())),
    }
}
