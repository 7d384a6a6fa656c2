//! Reads the log of what a test does in its thread.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use mailsluice::config::{Log, LogFormat, LogLevel};
use mailsluice::report::log;
use mailsluice::time::SystemClock;

/// What the log has said.
#[derive(Clone, Default)]
pub(crate) struct Paper {
    text: Arc<Mutex<Vec<u8>>>,
    /// Whether what is below the level `info` is read, too.
    reads_all: bool,
}

thread_local! {
    static PAPER: RefCell<Option<Paper>> = const { RefCell::new(None) };
}

/// The log is the process's; each line goes to the paper of the thread that writes it. (One log for each thread would not
/// do: whether an event is wanted is remembered for the whole process.)
struct ToPaper;

impl Write for ToPaper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        PAPER.with_borrow(|paper| {
            if let Some(paper) = paper {
                paper.text.lock().unwrap().extend_from_slice(bytes);
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
    #[allow(dead_code, reason = "some tests read all")]
    pub(crate) fn listen() -> (Self, Listening) {
        Self::default().begin()
    }

    /// The same at level `trace`.
    #[allow(dead_code, reason = "not every test reads all")]
    pub(crate) fn listen_to_all() -> (Self, Listening) {
        Self { reads_all: true, ..Self::default() }.begin()
    }

    fn begin(self) -> (Self, Listening) {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let settings = Log { format: LogFormat::Text, level: LogLevel::Trace, subject: false };
            log::install(settings, Arc::new(SystemClock), ToPaper).unwrap();
        });
        PAPER.set(Some(self.clone()));
        (self, Listening)
    }

    /// The lines so far, without time and level.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter_map(|line| {
            let (level, event) = line.split_once(' ')?.1.split_once(' ')?;
            (self.reads_all || !matches!(level, "DEBUG" | "TRACE")).then(|| event.to_owned())
        });
        lines.collect()
    }
}
