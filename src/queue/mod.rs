//! queue (scaffold)
#![allow(missing_docs)]
use crate::time::Moment;

#[derive(Debug, Default)]
pub struct Wake;

impl Wake {
    pub fn wake(&self, _route: &str) {}
    pub fn wake_all(&self) {}
}

#[derive(Debug, Clone)]
pub struct UpstreamStatus {
    pub name: String,
    pub state: &'static str,
    pub reason: String,
    pub until: Option<Moment>,
}

#[derive(Debug, Default)]
pub struct Board(pub std::sync::Mutex<Vec<UpstreamStatus>>);

impl Board {
    pub fn snapshot(&self) -> Vec<UpstreamStatus> {
        self.0.lock().expect("no panic").clone()
    }
}
