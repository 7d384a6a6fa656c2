//! The control interface as a request finds it, without a socket: what the command line does, a test does by it.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use mailsluice::control::{ApiState, SharedState, api};
use serde_json::Value;

use super::simulation::Simulation;

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
            version: "9.9.9",
            wakeups: context.wakeups.clone(),
            statuses: context.statuses.clone(),
            router: context.router.clone(),
            accounts: context.accounts.clone(),
            estimate: Arc::new(self.estimate()),
            sign_ins: core.sign_ins.clone(),
            test_mode: core.test_mode.clone(),
            reloads: tokio::sync::mpsc::channel(1).0,
        }))
    }
}
