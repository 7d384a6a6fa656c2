//! Reads the log of what a test does in its thread.

use std::io::Write;
use std::sync::{Arc, Mutex};

use mailsluice::config::{Log, LogFormat, LogLevel};
use mailsluice::report::log::LineLayer;
use mailsluice::time::SystemClock;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

/// What the log has said.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    /// Begins to listen, until the guard is dropped.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        let paper = Self::default();
        let log = Log { format: LogFormat::Text, level: LogLevel::Info };
        let (layer, _) = LineLayer::new(log, Arc::new(SystemClock), paper.clone());
        (paper, tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)))
    }

    /// The lines so far, without time and level.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned()).collect()
    }
}
