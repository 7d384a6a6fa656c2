//! Posts notices to a webhook.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};

use super::notice::Notice;
use crate::config::WebhookUrl;
use crate::web::{self, HttpClient, HttpError, HttpTerms};

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long all of a request may take.
const ANSWERING: Duration = Duration::from_secs(30);
/// The pauses before it is tried again.
const PAUSES: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(15), Duration::from_mins(1)];

/// Why a webhook does not have a notice. The URL is not in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum WebhookError {
    /// The URL is none that a request can be made to.
    #[error("the URL of the webhook at {host} is none that a request can be made to")]
    NoRequest {
        /// Its host.
        host: String,
    },
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It was refused. Where it points elsewhere, that is not followed.
    #[error("{host} has answered {status}")]
    Refused {
        /// Its host.
        host: String,
        /// What it has answered.
        status: StatusCode,
    },
}

impl WebhookError {
    /// Whether another try may do.
    fn is_passing(&self) -> bool {
        match self {
            Self::NoRequest { .. } => false,
            Self::Http(_) => true,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
        }
    }
}

/// Posts a notice once.
///
/// # Errors
/// When it was not taken.
pub(super) async fn post_once(
    http: &dyn HttpClient,
    url: &WebhookUrl,
    notice: &Notice,
) -> Result<StatusCode, WebhookError> {
    let request = Request::post(url.expose()).header(CONTENT_TYPE, "application/json");
    let request = request.body(notice.to_json().into_bytes());
    let request = request.map_err(|_| WebhookError::NoRequest { host: url.host() })?;
    let terms =
        HttpTerms { proxy: None, connect_limit: CONNECTING, limit: ANSWERING, keeps_connection: false };
    let status = web::send(http, request, &terms).await?.status();
    if status.is_success() { Ok(status) } else { Err(WebhookError::Refused { host: url.host(), status }) }
}

/// Posts a notice, and tries again a few times where that may help. One whose answer was lost may arrive twice.
///
/// # Errors
/// When it was not taken the last time.
pub(super) async fn post(
    http: &dyn HttpClient,
    url: &WebhookUrl,
    notice: &Notice,
) -> Result<StatusCode, WebhookError> {
    for pause in PAUSES {
        match post_once(http, url, notice).await {
            Err(error) if error.is_passing() => tokio::time::sleep(pause).await,
            done => return done,
        }
    }
    post_once(http, url, notice).await
}
