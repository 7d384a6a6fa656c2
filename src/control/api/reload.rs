//! Reading the configuration again, and changing it.

use axum::Json;
use axum::extract;
use tokio::sync::oneshot;

use crate::config::FileChange;
use crate::control::view::Reloaded;
use crate::control::{ApiError, ApiState, ConfigRequest, KeptIn};

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
    match ask(&state, ConfigRequest::Reload).await? {
        Ok(changed) => Ok(Json(Reloaded { changed })),
        Err(faults) => Err(ApiError::Configuration(faults)),
    }
}

/// Switches something, in the configuration file too where that can be written.
pub(super) async fn switch(state: &ApiState, change: FileChange) -> Result<KeptIn, ApiError> {
    Ok(ask(state, |answer| ConfigRequest::Switch(change, answer)).await??)
}

/// Asks whoever reads and writes the configuration.
async fn ask<T>(
    state: &ApiState,
    request: impl FnOnce(oneshot::Sender<T>) -> ConfigRequest,
) -> Result<T, ApiError> {
    let (answer, answered) = oneshot::channel();
    let stopping = || ApiError::Unavailable("the relay is stopping: nothing was done".to_owned());
    state.requests.send(request(answer)).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())
}
