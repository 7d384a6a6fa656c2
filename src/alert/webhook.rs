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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use http::Response;
    use jiff::Timestamp;
    use tokio::time::Instant;

    use super::*;
    use crate::config::Config;

    /// Answers so, one after the other; 0 is no answer.
    struct Hook {
        answers: Mutex<Vec<u16>>,
        bodies: Mutex<Vec<Vec<u8>>>,
    }

    #[async_trait]
    impl HttpClient for Hook {
        async fn send(
            &self,
            request: Request<Vec<u8>>,
            _: &HttpTerms<'_>,
        ) -> Result<Response<Vec<u8>>, HttpError> {
            self.bodies.lock().unwrap().push(request.into_body());
            let status = self.answers.lock().unwrap().remove(0);
            if status == 0 {
                std::future::pending::<()>().await;
            }
            Ok(Response::builder().status(status).body(Vec::new()).unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn is_tried_a_few_times_where_that_may_help() {
        let text = "[alert]\nwebhook = \"https://hooks.firm.example/hush\"\n[[upstream]]\nname = \"a\"\nhost = \"h\"\n";
        let config = Config::from_toml(text, std::path::Path::new("/")).unwrap().config;
        let url = config.alert.webhook.unwrap();
        let notice = Notice::test(Timestamp::UNIX_EPOCH, "relay.example");
        for (answers, tries, want, seconds) in [
            (vec![204], 1, None, 0),
            (vec![503, 429, 200], 3, None, 17),
            (vec![0, 200], 2, None, 32),
            (vec![500; 4], 4, Some("hooks.firm.example has answered 500 Internal Server Error"), 77),
            (vec![404], 1, Some("hooks.firm.example has answered 404 Not Found"), 0),
            // It points elsewhere, which is not followed.
            (vec![302], 1, Some("hooks.firm.example has answered 302 Found"), 0),
            (vec![0; 4], 4, Some("hooks.firm.example has not answered within 30 seconds"), 197),
        ] {
            let hook = Hook { answers: Mutex::new(answers.clone()), bodies: Mutex::default() };
            let start = Instant::now();
            let error = post(&hook, &url, &notice).await.err().map(|error| error.to_string());
            assert_eq!((error.as_deref(), start.elapsed().as_secs()), (want, seconds), "{answers:?}");
            let bodies = hook.bodies.lock().unwrap();
            assert_eq!(bodies.len(), tries, "{answers:?}");
            assert!(bodies.iter().all(|body| *body == notice.to_json().as_bytes()), "the same each time");
        }
    }
}
