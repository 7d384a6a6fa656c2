//! Reads the log of what a test does in its thread.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use mailsluice::config::{Log, LogFormat, LogLevel};
use mailsluice::report::log;
use mailsluice::time::SystemClock;

/// What the log has said.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

thread_local! {
    static PAPER: RefCell<Option<Paper>> = const { RefCell::new(None) };
}

/// The log is the process's; each line goes to the paper of the thread that writes it. (One log for each thread would not
/// do: whether an event is wanted is remembered for the whole process.)
struct ToPaper;

impl Write for ToPaper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        PAPER.with_borrow(|paper| {
            if let Some(Paper(text)) = paper {
                text.lock().unwrap().extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Ends the listening when it is dropped.
pub(crate) struct Listening;

impl Drop for Listening {
    fn drop(&mut self) {
        PAPER.set(None);
    }
}

impl Paper {
    /// Begins to listen, until the guard is dropped.
    pub(crate) fn listen() -> (Self, Listening) {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let settings = Log { format: LogFormat::Text, level: LogLevel::Info, subject: false };
            log::install(settings, Arc::new(SystemClock), ToPaper).unwrap();
        });
        let paper = Self::default();
        PAPER.set(Some(paper.clone()));
        (paper, Listening)
    }

    /// The lines so far, without time and level.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned()).collect()
    }
}
