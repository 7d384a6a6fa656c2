//! Errors as the interface tells them: `{"error": "what is wrong: what to do"}`.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::config_request::SwitchError;
use super::view::ErrorBody;
use crate::mail::{AddressError, QueueIdError};
use crate::oauth::AcceptError;
use crate::policy::test_mode::TestModeError;
use crate::store::StoreError;

/// Why a request was not done, grouped by who is to blame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The request makes no sense (400).
    #[error("{0}")]
    BadRequest(String),
    /// The configuration can't be put in force, a fault per line (422).
    #[error("{0}")]
    Configuration(String),
    /// There is nothing by that name (404).
    #[error("{0}")]
    NotFound(String),
    /// The request can't be met at present (409).
    #[error("{0}")]
    Conflict(String),
    /// The relay is going down (503).
    #[error("{0}")]
    Unavailable(String),
    /// Nothing lives at this path (404).
    #[error("there is no such resource: the interface is under /api/v1")]
    NoRoute,
    /// The resource knows other methods (405).
    #[error("this resource does not know that method")]
    NoMethod,
    /// The request took too long (504).
    #[error("the relay did not answer in time: try again, and look into its log")]
    TimedOut,
    /// The store failed (503).
    #[error("{0}; look into the relay's log")]
    Store(#[from] StoreError),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Configuration(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound(_) | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Store(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(ErrorBody { error: self.to_string() })).into_response()
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<QueueIdError> for ApiError {
    fn from(error: QueueIdError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl From<AddressError> for ApiError {
    fn from(error: AddressError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl From<TestModeError> for ApiError {
    fn from(error: TestModeError) -> Self {
        match error {
            TestModeError::Store(error) => Self::Store(error),
            wrong => Self::Conflict(wrong.to_string()),
        }
    }
}

impl From<SwitchError> for ApiError {
    fn from(error: SwitchError) -> Self {
        match error {
            SwitchError::TestMode(error) => error.into(),
            SwitchError::Store(error) => Self::Store(error),
            wrong => Self::Conflict(wrong.to_string()),
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Unknown(_) => Self::NotFound(error.to_string()),
            AcceptError::NotNeeded { .. } | AcceptError::OtherClient(_) => Self::Conflict(error.to_string()),
            AcceptError::Stopping => Self::Unavailable(error.to_string()),
            AcceptError::Store(error) => Self::Store(error),
        }
    }
}
