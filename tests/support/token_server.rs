//! A provider at which people sign in: its answers are written down beforehand, and what it was asked is kept.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// The fields of a request.
pub(crate) type Fields = HashMap<String, String>;

/// What it will say, and what it has heard.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<(u16, Value)>>,
    asked: Mutex<Vec<Fields>>,
}

/// The server; it ends with this.
pub(crate) struct TokenServer {
    /// `http://127.0.0.1:PORT`
    pub(crate) address: String,
    script: Arc<Script>,
    _runtime: Runtime,
}

impl TokenServer {
    /// A server that gives these answers at `/…/token`, one after the other, and the last one from then on. At `/device` it
    /// gives a code.
    pub(crate) fn start(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let script = Arc::new(Script::default());
        script.answers.lock().unwrap().extend(answers);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let device = json!({"device_code": "device-canary", "user_code": "ABCD-EFGH", "expires_in": 900, "interval": 1,
            "verification_uri": format!("{address}/enter")});
        let app = Router::new()
            .route(
                "/device",
                post(move |State(script): State<Arc<Script>>, body: String| async move {
                    script.asked.lock().unwrap().push(fields(&body));
                    Json(device)
                }),
            )
            .fallback(post(token))
            .with_state(script.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, script, _runtime: runtime }
    }

    /// What it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Fields> {
        self.script.asked.lock().unwrap().clone()
    }
}

fn fields(body: &str) -> Fields {
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

async fn token(State(script): State<Arc<Script>>, body: String) -> (StatusCode, Json<Value>) {
    script.asked.lock().unwrap().push(fields(&body));
    let mut answers = script.answers.lock().unwrap();
    let (status, answer) =
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }.unwrap();
    (StatusCode::from_u16(status).unwrap(), Json(answer))
}

/// Tokens for this account; each of them is a canary.
pub(crate) fn tokens(account: &str) -> (u16, Value) {
    use base64::Engine as _;
    let claims = json!({"preferred_username": account}).to_string();
    let id_token = format!("e30.{}.canary", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims));
    let tokens = json!({"access_token": "access-canary", "refresh_token": "refresh-canary", "token_type": "Bearer",
        "expires_in": 3600, "id_token": id_token});
    (200, tokens)
}

/// A refusal.
pub(crate) fn refusal(error: &str, description: &str) -> (u16, Value) {
    (400, json!({"error": error, "error_description": description}))
}
