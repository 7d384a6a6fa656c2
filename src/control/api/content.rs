//! The contents of messages.

use axum::extract;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;

use super::queue::{IdPath, unknown};
use crate::control::{ApiError, ApiState};
use crate::mail::QueueId;

/// The media type of a message (RFC 2046 5.2.1).
const MESSAGE: &str = "message/rfc822";

/// The content of a message as stored.
#[utoipa::path(
    get,
    path = "/queue/{id}/content",
    tag = "queue",
    params(("id" = String, Path, description = "A queue id")),
    responses((status = 200, description = "The content", body = String, content_type = "message/rfc822"))
)]
pub(super) async fn show(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<impl IntoResponse, ApiError> {
    let (_, content) = read(&state, id).await?;
    Ok(([(CONTENT_TYPE, MESSAGE)], content))
}

/// The content of a message as a file, which mail programs open.
#[utoipa::path(
    get,
    path = "/queue/{id}/export",
    tag = "queue",
    params(("id" = String, Path, description = "A queue id")),
    responses((
        status = 200,
        description = "The content, as ID.eml",
        body = String,
        content_type = "message/rfc822",
        headers(("Content-Disposition" = String, description = "The name of the file"))
    ))
)]
pub(super) async fn export(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
) -> Result<impl IntoResponse, ApiError> {
    let (id, content) = read(&state, id).await?;
    // A queue id is letters and digits alone.
    let name = format!("attachment; filename=\"{id}.eml\"");
    Ok(([(CONTENT_TYPE, MESSAGE.to_owned()), (CONTENT_DISPOSITION, name)], content))
}

async fn read(state: &ApiState, id: IdPath) -> Result<(QueueId, Vec<u8>), ApiError> {
    let id = QueueId::parse(&id?)?;
    let content = state.store.content(id.clone()).await?.ok_or_else(|| unknown(&id))?;
    Ok((id, content))
}
