//! Microsoft Graph, scripted: it gives the answers that it was told to, and keeps what it has taken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use mailsluice::web::{HttpClient, HttpError, HttpTerms};
use serde_json::json;
use tokio::time::Instant;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// This status, with this code of an error and this Retry-After.
    Answer(u16, &'static str, Option<&'static str>),
    /// The message is taken, and the answer never comes.
    TakenAnswerLost,
    /// The connection breaks.
    Broken,
    /// Nothing is there.
    Unreachable,
}

/// A request that has come.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at: Instant,
    /// `/v1.0/users/office@firm.example/sendMail`
    pub path: String,
    pub token: String,
    /// The message.
    pub content: String,
    /// Whether it was taken.
    pub is_taken: bool,
}

/// The service; clones are the same one.
#[derive(Clone, Default)]
pub struct ScriptedGraph(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    steps: VecDeque<Step>,
    /// What follows when there are no steps; `None` is 202.
    then: Option<Step>,
    tokens: Vec<String>,
    asked: Vec<Asked>,
}

impl ScriptedGraph {
    /// Answers so, one after the other, and then with 202.
    pub fn new(steps: &[Step]) -> Self {
        let script = Script { steps: steps.iter().cloned().collect(), ..Script::default() };
        Self(Arc::new(Mutex::new(script)))
    }

    /// Answers so from now on, once the steps are over; `None` is 202.
    pub fn then(&self, step: Option<Step>) {
        self.0.lock().unwrap().then = step;
    }

    /// Takes these tokens alone.
    pub fn with_tokens(self, tokens: &[&str]) -> Self {
        self.0.lock().unwrap().tokens = tokens.iter().map(|&token| token.to_owned()).collect();
        self
    }

    /// All requests.
    pub fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    /// The messages that it has taken.
    pub fn taken(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.is_taken).collect()
    }

    fn next(&self, request: &Request<Vec<u8>>) -> Step {
        let mut script = self.0.lock().unwrap();
        let login = request.headers().get("authorization").map(|login| login.to_str().unwrap());
        let token = login.and_then(|login| login.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
        let is_known = script.tokens.is_empty() || script.tokens.contains(&token);
        let step = if is_known {
            let next = script.steps.pop_front().or_else(|| script.then.clone());
            next.unwrap_or(Step::Answer(202, "", None))
        } else {
            Step::Answer(401, "InvalidAuthenticationToken", None)
        };
        if step != Step::Unreachable {
            let content = STANDARD.decode(request.body()).unwrap();
            script.asked.push(Asked {
                at: Instant::now(),
                path: request.uri().path().to_owned(),
                token,
                content: String::from_utf8(content).unwrap(),
                is_taken: matches!(step, Step::TakenAnswerLost | Step::Answer(202, ..)),
            });
        }
        step
    }
}

#[async_trait]
impl HttpClient for ScriptedGraph {
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        _: &HttpTerms<'_>,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        let host = "graph.microsoft.com".to_owned();
        match self.next(&request) {
            Step::Answer(status, code, retry_after) => {
                let body = json!({"error": {"code": code, "message": "It says so.",
                    "innerError": {"request-id": "7c3e"}}});
                let body = if code.is_empty() { Vec::new() } else { body.to_string().into_bytes() };
                let response = Response::builder().status(status).header("request-id", "7c3e");
                let response = match retry_after {
                    Some(after) => response.header("Retry-After", after),
                    None => response,
                };
                Ok(response.body(body).unwrap())
            }
            Step::TakenAnswerLost => std::future::pending().await,
            Step::Broken => Err(HttpError::Broken { host, reason: "reset".to_owned() }),
            Step::Unreachable => {
                Err(HttpError::Unreachable { host, reason: "Connection refused".to_owned() })
            }
        }
    }
}
