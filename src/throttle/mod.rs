//! throttle (scaffold)
#![allow(missing_docs)]
use crate::config::Window;
use crate::time::Moment;

#[derive(Debug, Clone)]
pub struct LimitLine {
    pub upstream: String,
    pub account: String,
    pub window: Window,
    pub messages_used: u64,
    pub messages_limit: Option<u32>,
    pub recipients_used: u64,
    pub recipients_limit: Option<u32>,
    pub next_free: Option<Moment>,
}

#[derive(Debug, Default)]
pub struct Throttle(pub std::sync::Mutex<Vec<LimitLine>>);

impl Throttle {
    pub fn show(&self, _now: Moment) -> Vec<LimitLine> {
        self.0.lock().expect("no panic").clone()
    }
    pub fn reset(&self, upstream: &str, windows: &[Window]) {
        self.0.lock().expect("no panic").retain(|l| l.upstream != upstream || !windows.contains(&l.window));
    }
}
