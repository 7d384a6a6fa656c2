//! Sign-ins: how they are, and what a person's sign-in gave.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{self, Path};

use crate::control::view::{SignInGrantJson, SignInJson};
use crate::control::{ApiError, ApiState};
use crate::oauth::SignInGrant;

/// How the sign-ins are.
#[utoipa::path(
    get,
    path = "/sign-ins",
    tag = "sign-ins",
    responses((status = 200, description = "In the order of the configuration", body = Vec<SignInJson>))
)]
pub(super) async fn list(extract::State(state): extract::State<ApiState>) -> Json<Vec<SignInJson>> {
    Json(all(&state))
}

/// Stores what `mailsluice connect` has got, and uses it at once.
#[utoipa::path(
    put,
    path = "/sign-ins/{name}",
    tag = "sign-ins",
    params(("name" = String, Path, description = "The name of a sign-in")),
    request_body = SignInGrantJson,
    responses(
        (status = 200, description = "The sign-in as it is now", body = SignInJson),
        (status = 409, description = "It needs no grant, or one of another client"),
    )
)]
pub(super) async fn accept(
    extract::State(state): extract::State<ApiState>,
    name: Result<Path<String>, PathRejection>,
    grant: Result<Json<SignInGrantJson>, JsonRejection>,
) -> Result<Json<SignInJson>, ApiError> {
    // What the parser says could show a part of the token.
    let not_one =
        |_| ApiError::BadRequest("the body is not a grant: {refresh_token, client, account}".to_owned());
    let (Path(name), Json(grant)) = (name?, grant.map_err(not_one)?);
    let SignInGrantJson { refresh_token, client, account } = grant;
    if refresh_token.is_empty() || refresh_token.contains(char::is_control) {
        return Err(ApiError::BadRequest("refresh_token is not one".to_owned()));
    }
    state.sign_ins.accept(&name, &client, SignInGrant { token: refresh_token.into(), account }).await?;
    let one = all(&state).into_iter().find(|sign_in| sign_in.name == name);
    one.map(Json).ok_or_else(|| ApiError::NotFound(format!("there is no sign-in named {name} any more")))
}

/// All sign-ins.
pub(super) fn all(state: &ApiState) -> Vec<SignInJson> {
    let all = state.sign_ins.status().into_iter();
    all.map(|status| SignInJson::new(status, &state.timeline)).collect()
}
