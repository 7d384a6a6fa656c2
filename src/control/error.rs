//! Errors as the interface tells them: problem details (RFC 9457), each in words that say what to do.

use std::time::Duration;

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::config_request::SwitchError;
use super::view::{Problem, ProblemKind};
use crate::mail::{AddressError, QueueIdError};
use crate::oauth::AcceptError;
use crate::policy::test_mode::TestModeError;
use crate::policy::tokens::TokenRefused;
use crate::store::StoreError;

/// The media type of problem details (RFC 9457 6.1).
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// How long a client that asks too much should wait.
const RETRY: Duration = Duration::from_secs(10);

/// Why a request was not done, grouped by who is to blame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The request makes no sense (400).
    #[error("{0}")]
    BadRequest(String),
    /// The body is larger than what is taken (413).
    #[error("{0}")]
    TooLarge(String),
    /// The body is not of the type that is taken (415).
    #[error("{0}")]
    WrongType(String),
    /// The configuration can't be put in force, a fault per line (422).
    #[error("{0}")]
    Configuration(String),
    /// There is nothing by that name (404).
    #[error("{0}")]
    NotFound(String),
    /// The request can't be met at present (409).
    #[error("{0}")]
    Conflict(String),
    /// Too much is asked at the same time (429).
    #[error("{0}")]
    TooMany(String),
    /// The relay is going down (503).
    #[error("{0}")]
    Unavailable(String),
    /// The relay is not ready for mail (503).
    #[error("{0}")]
    NotReady(String),
    /// Nothing lives at this path (404).
    #[error("there is no such resource: the interface is under /api/v1")]
    NoRoute,
    /// The resource knows other methods (405).
    #[error("this resource does not know that method")]
    NoMethod,
    /// Who asks has not said who it is (401).
    #[error("the request has no token: send one that [[api_token]] in the configuration knows")]
    NoToken,
    /// The token does not let in (401, 429).
    #[error("{0}")]
    Token(#[from] TokenRefused),
    /// The token's role is not enough (403).
    #[error("the token has the role viewer, which sees no contents and changes nothing")]
    WrongRole,
    /// A page of another site wants to change something (403).
    #[error("a page of another site has made this request: {0}")]
    CrossSite(String),
    /// The request was meant for another host (421).
    #[error("{0}")]
    WrongHost(String),
    /// The request took too long (504).
    #[error("the relay did not answer in time: try again, and look into its log")]
    TimedOut,
    /// The store failed (503).
    #[error("{0}; look into the relay's log")]
    Store(#[from] StoreError),
}

impl ApiError {
    fn kind(&self) -> ProblemKind {
        match self {
            Self::BadRequest(_) => ProblemKind::WrongRequest,
            Self::TooLarge(_) => ProblemKind::TooLarge,
            Self::WrongType(_) => ProblemKind::WrongType,
            Self::Configuration(_) => ProblemKind::Configuration,
            Self::NotFound(_) => ProblemKind::NotFound,
            Self::NoRoute => ProblemKind::NoRoute,
            Self::Conflict(_) => ProblemKind::Conflict,
            Self::TooMany(_) | Self::Token(TokenRefused::Busy) => ProblemKind::TooMany,
            Self::NoMethod => ProblemKind::WrongMethod,
            Self::NoToken | Self::Token(_) => ProblemKind::NoToken,
            Self::WrongRole => ProblemKind::WrongRole,
            Self::CrossSite(_) => ProblemKind::CrossSite,
            Self::WrongHost(_) => ProblemKind::WrongHost,
            Self::TimedOut => ProblemKind::TimedOut,
            Self::Unavailable(_) => ProblemKind::Unavailable,
            Self::NotReady(_) => ProblemKind::NotReady,
            Self::Store(_) => ProblemKind::Store,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = self.kind();
        let body = serde_json::to_vec(&Problem::new(kind, self.to_string()));
        let body = body.expect("plain fields always serialise");
        let status = StatusCode::from_u16(kind.status()).expect("the statuses of the kinds are statuses");
        let mut response = (status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        let fields = response.headers_mut();
        match kind {
            ProblemKind::NoToken => {
                fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mailsluice\""));
            }
            ProblemKind::TooMany => {
                fields.insert(RETRY_AFTER, RETRY.as_secs().into());
            }
            _ => {}
        }
        response
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge(rejection.body_text()),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::WrongType(rejection.body_text()),
            _ => Self::BadRequest(rejection.body_text()),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge(rejection.body_text()),
            _ => Self::BadRequest(rejection.body_text()),
        }
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
