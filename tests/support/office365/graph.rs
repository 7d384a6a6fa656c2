//! The service over Microsoft Graph: `POST /v1.0/users/{mailbox}/sendMail` with a message in base64.
//!
//! There is no envelope: a message goes to whomever its header names. Who that is, is read by a parser that the relay's
//! header editing does not use, and as a careless server reads it: all fields of a name count, and Resent fields too.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mail_parser::{HeaderName, HeaderValue as FieldValue, MessageParser};
use mailsluice::web::{self, HttpClient, HttpError, HttpTerms};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::replies::Step;
use super::tokens::{Audience, Standing};
use super::{Limit, Objection, Office365, State, Submitted};

/// What becomes of one request beyond what the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incident {
    /// The message is taken, and the answer is lost.
    TakenAnswerLost,
    /// The request is lost on its way.
    RequestLost,
    /// The message is taken, and this is the answer.
    TakenBut(u16),
    /// This is the answer, with this code of an error, and this Retry-After.
    Refused(u16, &'static str, Option<&'static str>),
    /// The message is taken after so long.
    Slow(Duration),
}

/// An answer that says no.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    retry_after: Option<String>,
}

/// What the answer to a request is.
#[derive(Debug)]
pub enum Answer {
    /// This.
    Given(Response<Vec<u8>>),
    /// The connection breaks before it.
    Lost,
}

/// What a request wants.
struct Submission {
    user: String,
    content: Vec<u8>,
    /// Octets of the request.
    size: u64,
}

/// A request that is under way, for as long as somebody waits for it.
struct UnderWay {
    service: Office365,
    user: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(mailbox) = self.service.state().mailboxes.get_mut(&self.user) {
            mailbox.requests -= 1;
        }
    }
}

impl Office365 {
    /// A token for Graph that may send by these mailboxes.
    pub fn issue_graph_token(&self, users: &[&str], lifetime: Duration) -> String {
        self.state().tokens.issue(Audience::Graph, users, Instant::now() + lifetime)
    }

    /// From now on no token is good that was issued before.
    pub fn revoke_tokens(&self) {
        self.state().tokens.revoke_all();
    }

    /// From now on nobody can reach Graph, or everybody can.
    pub fn set_graph_unreachable(&self, unreachable: bool) {
        self.state().graph_unreachable = unreachable;
    }

    /// What becomes of the next requests for mail, one each.
    pub fn upset_graph(&self, incidents: impl IntoIterator<Item = Incident>) {
        self.state().incidents.extend(incidents);
    }

    /// Answers a request to Graph. Who does not wait for the answer has sent all the same, once the message is taken.
    pub async fn graph(&self, request: Request<Vec<u8>>) -> Answer {
        let mut number = 0;
        let refusal = match self.submission(&request, &mut number) {
            Err(refusal) => refusal,
            Ok(submission) => match self.submit(submission).await {
                Ok(answer) => return answer,
                Err(refusal) => refusal,
            },
        };
        Answer::Given(refusal.answer(number))
    }

    /// What who asks for a token is given: one that may send by all mailboxes for an hour.
    pub fn give_token(&self) -> Response<Vec<u8>> {
        let lifetime = Duration::from_hours(1);
        let users: Vec<String> = self.state().mailboxes.keys().cloned().collect();
        let token = self.issue_graph_token(&users.iter().map(String::as_str).collect::<Vec<_>>(), lifetime);
        let granted =
            json!({"access_token": token, "token_type": "Bearer", "expires_in": lifetime.as_secs()});
        let mut answer = answer(200, granted.to_string().into_bytes());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer
    }

    /// What a request asks for, if it is well formed and may ask for it.
    fn submission(&self, request: &Request<Vec<u8>>, number: &mut u64) -> Result<Submission, Refusal> {
        let mut state = self.state();
        state.attempts += 1;
        *number = state.attempts;
        let user = mailbox_of(request.uri().path())
            .filter(|_| request.method() == Method::POST)
            .ok_or_else(|| Refusal::new(404, "ResourceNotFound", "Resource not found for the segment."))?;
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let standing = token.map_or(Standing::Invalid, |token| {
            state.tokens.standing(token, Audience::Graph, &user, Instant::now())
        });
        if standing == Standing::Invalid {
            return Err(Refusal::new(
                401,
                "InvalidAuthenticationToken",
                "Lifetime validation failed, the token is expired.",
            ));
        }
        if request.body().len() > state.rules.request_size {
            return Err(Refusal::new(
                413,
                "RequestEntityTooLarge",
                "The maximum request length was exceeded.",
            ));
        }
        if !state.mailboxes.contains_key(&user) {
            return Err(Refusal::new(
                404,
                "ErrorInvalidUser",
                format!("The requested user '{user}' is invalid."),
            ));
        }
        if standing == Standing::Elsewhere {
            return Err(Refusal::new(
                403,
                "ErrorAccessDenied",
                "Access is denied. Check credentials and try again.",
            ));
        }
        let is_text = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/plain");
        if !is_text {
            return Err(Refusal::new(415, "RequestBodyRead", "A MIME message is sent as text/plain."));
        }
        let content = STANDARD.decode(request.body()).map_err(|_| {
            Refusal::new(
                400,
                "ErrorMimeContentInvalidBase64String",
                "Invalid base64 string for MIME content.",
            )
        })?;
        Ok(Submission { user, content, size: request.body().len() as u64 })
    }

    async fn submit(&self, submission: Submission) -> Result<Answer, Refusal> {
        let Submission { user, content, size } = submission;
        let _under_way = self.begin_request(&user, size)?;
        let (think, incident) = {
            let mut state = self.state();
            (state.rules.think, state.incidents.pop_front())
        };
        let think = if let Some(Incident::Slow(long)) = &incident { *long } else { think };
        if !think.is_zero() {
            sleep(think).await;
        }
        match incident {
            Some(Incident::RequestLost) => return Ok(Answer::Lost),
            Some(Incident::Refused(status, code, retry_after)) => {
                let retry_after = retry_after.map(str::to_owned);
                return Err(Refusal { retry_after, ..Refusal::new(status, code, "as the test has it") });
            }
            _ => {}
        }
        self.state().take_request(&user, content)?;
        Ok(match incident {
            Some(Incident::TakenAnswerLost) => Answer::Lost,
            Some(Incident::TakenBut(status)) => {
                Answer::Given(Refusal::new(status, "UnknownError", "").answer(0))
            }
            _ => Answer::Given(answer(202, Vec::new())),
        })
    }

    /// Counts what counts when a request comes.
    fn begin_request(&self, user: &str, size: u64) -> Result<UnderWay, Refusal> {
        let mut guard = self.state();
        let state = &mut *guard;
        if let Err(refusal) = state.free_of(user, |step| step == Step::Mail) {
            return Err(Refusal::new(503, "ErrorServerBusy", refusal.text));
        }
        let (limits, now) = (state.rules.clone(), Instant::now());
        let mailbox = state.mailboxes.get_mut(user).expect("it was looked up");
        let limit = if mailbox.requests >= limits.requests {
            Some(Limit::Requests)
        } else if mailbox.uploaded.is_over(size, limits.uploaded, now) {
            Some(Limit::Uploaded)
        } else if mailbox.starts.is_over(1, limits.per_minute, now) {
            Some(Limit::Starts)
        } else {
            None
        };
        if let Some(limit) = limit {
            return Err(state.overrun_request(user, limit));
        }
        mailbox.uploaded.add(size, now);
        mailbox.starts.add(1, now);
        mailbox.requests += 1;
        drop(guard);
        Ok(UnderWay { service: self.clone(), user: user.to_owned() })
    }
}

/// The service as a relay reaches it, without a network: Graph, and who gives out tokens for it.
pub struct Web(pub Office365);

#[async_trait]
impl HttpClient for Web {
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        _: &HttpTerms<'_>,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        let host = web::host(&request);
        if request.uri().path().ends_with("/token") {
            return Ok(self.0.give_token());
        }
        if self.0.state().graph_unreachable {
            return Err(HttpError::Unreachable { host, reason: "connection refused".to_owned() });
        }
        // What has arrived goes on, whether somebody waits for the answer or not.
        let service = self.0.clone();
        match tokio::spawn(async move { service.graph(request).await }).await {
            Ok(Answer::Given(answer)) => Ok(answer),
            Ok(Answer::Lost) | Err(_) => {
                Err(HttpError::Broken { host, reason: "the connection was reset".to_owned() })
            }
        }
    }
}

/// Answers whoever connects, until the service is no longer wanted. `POST /token` gives a token for all mailboxes.
pub async fn serve(service: Office365, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        let answered = service_fn(move |request| respond(service.clone(), request));
        // A client that hangs up ends it; the record tells what it did until then.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answered));
    }
}

/// # Errors
/// An answer that is lost: the connection ends.
async fn respond(
    service: Office365,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    const LONGEST: usize = 64 << 20;
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LONGEST).collect().await?.to_bytes();
    if head.uri.path().ends_with("/token") {
        return Ok(service.give_token().map(|body| Full::new(body.into())));
    }
    match service.graph(Request::from_parts(head, body.into())).await {
        Answer::Given(answer) => Ok(answer.map(|body| Full::new(body.into()))),
        Answer::Lost => Err("the answer is lost".into()),
    }
}

impl State {
    /// Takes the message of a request, or says why not.
    fn take_request(&mut self, user: &str, content: Vec<u8>) -> Result<(), Refusal> {
        if let Err(refusal) = self.free_of(user, |step| step == Step::Dot) {
            return Err(Refusal::new(403, "ErrorMessageSubmissionBlocked", refusal.text));
        }
        let Some(read) = Header::of(&content) else {
            return Err(Refusal::new(400, "ErrorMimeContentInvalid", "The MIME content is invalid."));
        };
        if read.recipients.is_empty() {
            return Err(Refusal::new(400, "ErrorInvalidRecipients", "At least one recipient isn't valid."));
        }
        if read.recipients.len() > self.rules.recipients_per_message {
            self.violate(user, Limit::RecipientsPerMessage);
            return Err(Refusal::new(400, "ErrorExceededMaxRecipientLimit", "Too many recipients."));
        }
        let Header { from, recipients } = read;
        let size = content.len();
        let content: Option<Arc<[u8]>> = Some(content.into());
        let message = Submitted { reverse_path: user.to_owned(), recipients, from, size, content };
        match self.take(user, message) {
            Ok(_) => Ok(()),
            Err(Objection::SendAs) => {
                let denied = "The user account which was used to submit this request does not have the right to send mail on behalf of the specified sending account.";
                Err(Refusal::new(403, "ErrorSendAsDenied", denied))
            }
            Err(Objection::Overrun(limit)) => Err(self.overrun_request(user, limit)),
        }
    }

    fn overrun_request(&mut self, user: &str, limit: Limit) -> Refusal {
        self.violate(user, limit);
        let refusal = match limit {
            Limit::RecipientsPerDay | Limit::ExternalRecipients => Refusal::new(
                429,
                "ErrorSubmissionQuotaExceeded",
                "The message can't be submitted because the sender's submission quota was exceeded.",
            ),
            Limit::Requests => {
                Refusal::new(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
            }
            _ => Refusal {
                retry_after: Some("30".to_owned()),
                ..Refusal::new(429, "TooManyRequests", "Too many requests.")
            },
        };
        let (mailbox, reply) = (user.to_owned(), format!("429 {}: {}", refusal.code, refusal.message));
        self.throttled.push(super::Throttled { at: Instant::now(), mailbox, reply });
        refusal
    }
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    fn answer(self, number: u64) -> Response<Vec<u8>> {
        let Self { status, code, message, retry_after } = self;
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let error = json!({"error": {"code": code, "message": message, "innerError": {"request-id": id}}});
        let mut answer = answer(status, error.to_string().into_bytes());
        if let Some(wait) = retry_after {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_str(&wait).expect("a header value"));
        }
        answer
    }
}

fn answer(status: u16, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

/// The mailbox in a path, in lower case.
fn mailbox_of(path: &str) -> Option<String> {
    let name = path.strip_prefix("/v1.0/users/")?.strip_suffix("/sendMail")?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
    (!name.contains('/')).then(|| name.to_lowercase())
}

/// What the service reads in a header.
struct Header {
    from: String,
    recipients: Vec<String>,
}

impl Header {
    fn of(content: &[u8]) -> Option<Self> {
        const DESTINATIONS: [HeaderName<'_>; 6] = [
            HeaderName::To,
            HeaderName::Cc,
            HeaderName::Bcc,
            HeaderName::ResentTo,
            HeaderName::ResentCc,
            HeaderName::ResentBcc,
        ];
        let message = MessageParser::new().parse(content)?;
        let mut recipients: Vec<String> = Vec::new();
        for field in message.headers().iter().filter(|field| DESTINATIONS.contains(&field.name)) {
            for address in addresses(&field.value) {
                if !recipients.iter().any(|known| known.eq_ignore_ascii_case(&address)) {
                    recipients.push(address);
                }
            }
        }
        let from = message.from().and_then(|from| from.first()?.address()).unwrap_or_default();
        Some(Self { from: from.to_lowercase(), recipients })
    }
}

fn addresses(value: &FieldValue<'_>) -> Vec<String> {
    let FieldValue::Address(list) = value else { return Vec::new() };
    list.iter().filter_map(|one| one.address()).map(str::to_owned).collect()
}
