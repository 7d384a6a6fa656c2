//! Reading the configuration again.

use axum::Json;
use axum::extract;
use tokio::sync::oneshot;

use crate::control::view::Reloaded;
use crate::control::{ApiError, ApiState};

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
