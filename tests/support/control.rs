//! The control interface as a request finds it, without a socket: what the command line does, a test does by it.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use mailsluice::control::{ApiState, ControlSocket, SharedState, api};
use mailsluice::memory::MemoryBudget;
use mailsluice::policy::tokens::ApiTokens;
use mailsluice::report::log::LogFeed;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::simulation::Simulation;
use super::switches::without_a_file;

/// The events of an answer that goes on.
pub struct Events {
    body: Pin<Box<Body>>,
    rest: Vec<u8>,
}

impl Events {
    /// The next one; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|&octet| octet == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let Some(frame) = self.body.frame().await else {
                // What was refused has no line end.
                let rest = std::mem::take(&mut self.rest);
                return (!rest.is_empty()).then(|| serde_json::from_slice(&rest).unwrap());
            };
            self.rest.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
    }
}

/// The interface with the state that was in force when it was asked for. It holds the store.
pub struct Control(SharedState);

impl Control {
    /// Makes a request, and returns the JSON of its answer; one that fails fails the test.
    pub async fn ask(&self, method: &str, path: &str) -> Value {
        let request = hyper::Request::builder().method(method).uri(format!("/api/v1{path}"));
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let service = TowerToHyperService::new(api::router(self.0.clone()));
        let response = service.call(request).await.unwrap();
        let status = response.status();
        let octets = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&octets);
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_slice(&octets).unwrap_or_else(|error| panic!("{method} {path}: {error} {text}"))
    }

    /// Makes a request whose answer goes on, and returns it as it is, to be read.
    pub async fn begin(&self, method: &str, path: &str, body: impl Into<Bytes>) -> (StatusCode, Events) {
        let request = hyper::Request::builder().method(method).uri(format!("/api/v1{path}"));
        let request = request.header("content-type", "application/json");
        let request = request.body(Full::new(body.into())).unwrap();
        let service = TowerToHyperService::new(api::router(self.0.clone()));
        let response = service.call(request).await.unwrap();
        (response.status(), Events { body: Box::pin(response.into_body()), rest: Vec::new() })
    }

    /// The same, read to its end.
    pub async fn follow(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Vec<Value> {
        let (status, mut events) = self.begin(method, path, body).await;
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            all.push(event);
        }
        assert!(status.is_success(), "{method} {path}: {status} {all:?}");
        all
    }

    /// Serves a control socket with this interface until the sender is dropped.
    pub fn serve(&self, data_dir: &Path) -> (oneshot::Sender<()>, JoinHandle<()>) {
        let socket = ControlSocket::bind(data_dir, None).unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(socket.serve(self.0.clone(), async { drop(stopped.await) }));
        (stop, serving)
    }

    /// `mailsluice upstream disable`.
    pub async fn disable(&self, upstream: &str) {
        self.ask("POST", &format!("/upstreams/{upstream}/disable")).await;
    }

    /// `mailsluice upstream enable`.
    pub async fn enable(&self, upstream: &str) {
        self.ask("POST", &format!("/upstreams/{upstream}/enable")).await;
    }

    /// What `queue list` shows under WAITS FOR; empty where it shows nothing.
    pub async fn waits_for(&self) -> Vec<String> {
        let queue = self.ask("GET", "/queue").await;
        let waits = |message: &Value| message["waiting_for"].as_str().unwrap_or_default().to_owned();
        queue.as_array().unwrap().iter().map(waits).collect()
    }
}

impl Simulation {
    /// The control interface of the configuration in force.
    pub fn control(&self) -> Control {
        let core = self.core.as_ref().unwrap();
        let context = &core.context;
        Control(SharedState::new(ApiState {
            store: context.store.clone(),
            timeline: context.timeline.clone(),
            config: context.config.clone(),
            started: core.started,
            is_running: true,
            version: "9.9.9",
            wakeups: context.wakeups.clone(),
            statuses: context.statuses.clone(),
            limit_waits: context.limit_waits.clone(),
            outcomes: context.outcomes.clone(),
            memory: MemoryBudget::new(1 << 20),
            memory_out: context.memory.clone(),
            metrics: context.metrics.clone(),
            router: context.router.clone(),
            transformer: context.transformer.clone(),
            accounts: context.accounts.clone(),
            estimate: Arc::new(self.estimate()),
            sign_ins: core.sign_ins.clone(),
            alerts: core.alerts.clone(),
            test_mode: core.test_mode.clone(),
            kept_switches: core.kept_switches.clone(),
            requests: without_a_file(core.test_mode.clone()),
            tokens: Arc::new(ApiTokens::new(&context.config.api_tokens, context.timeline.clone())),
            events: LogFeed::default(),
        }))
    }
}
