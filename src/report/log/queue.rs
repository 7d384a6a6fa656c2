//! Lines of the log on their way to whoever reads it.
//!
//! Events arise in the midst of mail, and whoever reads the log may stall for as long as they please, as container
//! runtimes do. So nobody who has something to log writes it: a [`LogQueue`] takes the line and never waits, and a thread
//! of its own writes. When the queue is full, lines are dropped and counted, and the count is written where they are
//! missing. What is written is whole lines, also when a write fails in the midst of one.
//!
//! A line is written as it comes. Under load, where each would cost a switch of threads and a write, the thread rests between its
//! writes, and those of a moment go together.

use std::io::{self, ErrorKind, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use memchr::{memchr, memchr_iter};

use crate::metrics::Counter;

/// Octets that wait at most; as many may be on their way out.
const MAX_OCTETS: usize = 1 << 20;
/// Lines that wait at most.
const MAX_LINES: u64 = 8192;
/// What a buffer keeps for the next lines, in octets.
const KEPT_OCTETS: usize = 64 << 10;
/// The pause where the system has no room at present and does not let us wait for it (a stdout that another process has
/// made non-blocking).
const NO_ROOM_PAUSE: Duration = Duration::from_millis(50);
/// What comes so soon after a write is one of many.
const SOON: Duration = Duration::from_millis(1);
/// So many writes that followed each other so soon are load.
const LOAD: u32 = 16;
/// How long the thread then rests: lines are written so late at most.
const REST: Duration = Duration::from_millis(2);
/// How long the end of the log waits for its reader.
const END_LIMIT: Duration = Duration::from_secs(1);

/// Says that so many lines are missing, as a line.
pub(super) type LossLine = Box<dyn Fn(u64) -> String + Send>;

/// Takes lines, and never waits for their reader.
#[derive(Clone)]
pub struct LogQueue(Arc<Shared>);

/// The thread that writes. Dropping this ends the log: what waits is still written, for a second at most.
pub struct LogThread {
    shared: Arc<Shared>,
    end_limit: Duration,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or the log ends.
    filled: Condvar,
    /// The thread has ended.
    ended: Condvar,
    /// Nothing waits, and nothing is on its way out.
    emptied: Condvar,
    /// Lines that are missing in the log, in all.
    lost: Arc<Counter>,
}

#[derive(Default)]
struct State {
    waiting: LineBatch,
    /// The thread is writing what it has taken.
    is_writing: bool,
    /// The thread sleeps, and looks by itself whether something has come.
    is_resting: bool,
    /// Somebody waits for what waits.
    is_awaited: bool,
    is_closing: bool,
    has_ended: bool,
}

/// Whole lines, and how many are missing behind them.
#[derive(Default)]
struct LineBatch {
    text: Vec<u8>,
    lines: u64,
    lost: u64,
}

impl LineBatch {
    fn is_empty(&self) -> bool {
        self.lines == 0 && self.lost == 0
    }

    /// Once a line is lost, all are until the thread takes the batch: so the place of the gap is known.
    fn has_room(&self, line: &[u8]) -> bool {
        self.lost == 0 && self.lines < MAX_LINES && self.text.len() + line.len() <= MAX_OCTETS
    }

    /// An empty one that keeps a little memory.
    fn cleared(mut self) -> Self {
        self.text.clear();
        self.text.shrink_to(KEPT_OCTETS);
        Self { text: self.text, ..Self::default() }
    }
}

/// Whether lines come so fast that it is worth while to let them gather.
#[derive(Default)]
struct WritePace {
    /// When the last write ended.
    ended: Option<Instant>,
    /// Writes that followed each other soon.
    in_succession: u32,
}

impl WritePace {
    /// A write of so many lines begins.
    fn begins(&mut self, lines: u64, now: Instant) {
        let is_one_of_many = if self.rests() {
            lines > 1
        } else {
            self.ended.is_some_and(|ended| now.duration_since(ended) < SOON)
        };
        self.in_succession = if is_one_of_many { LOAD.min(self.in_succession + 1) } else { 0 };
    }

    /// It has ended.
    fn ends(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// Whether the thread rests before it looks for more.
    fn rests(&self) -> bool {
        self.in_succession >= LOAD
    }
}

impl LogQueue {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start<W>(out: W, loss_line: LossLine) -> io::Result<(Self, LogThread)>
    where
        W: Write + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        let writer = LineWriter { out, loss_line, rest: Vec::new(), lost: 0, all_lost: shared.lost.clone() };
        let theirs = shared.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || theirs.serve(writer))?;
        Ok((Self(shared.clone()), LogThread { shared, end_limit: END_LIMIT }))
    }

    /// Counts the lines that are missing in the log, since it began.
    pub(super) fn lost(&self) -> Arc<Counter> {
        self.0.lost.clone()
    }

    /// Waits until what was logged has been written, or could not be; at most for so long. Whether it has come to that.
    pub(super) fn wait_written(&self, limit: Duration) -> bool {
        let is_under_way = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let mut state = self.0.state();
        if is_under_way(&mut state) {
            state.is_awaited = true;
            self.0.filled.notify_one();
        }
        let waited = self.0.emptied.wait_timeout_while(state, limit, is_under_way);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Takes a line with its line end, or counts it as lost.
    fn push(&self, line: &[u8]) {
        let mut state = self.0.state();
        let is_news = state.waiting.is_empty() && !state.is_resting;
        if state.waiting.has_room(line) {
            state.waiting.text.extend_from_slice(line);
            state.waiting.lines += 1;
        } else {
            state.waiting.lost += 1;
            self.0.lost.add(1);
        }
        drop(state);
        if is_news {
            self.0.filled.notify_one();
        }
    }
}

/// Takes one line with each call.
impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_closing = true;
        self.shared.filled.notify_one();
        // A reader that still stalls is not waited for: the thread ends with the process.
        let _ = self.shared.ended.wait_timeout_while(state, self.end_limit, |state| !state.has_ended);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes until the log ends.
    fn serve<W: Write>(&self, mut writer: LineWriter<W>) {
        let mut spare = LineBatch::default();
        let mut pace = WritePace::default();
        while let Some(batch) = self.take(spare, pace.rests()) {
            pace.begins(batch.lines, Instant::now());
            writer.write(&batch);
            spare = batch.cleared();
            pace.ends(Instant::now());
        }
        self.state().has_ended = true;
        self.ended.notify_all();
    }

    /// Waits for something to write and takes all of it, leaving an empty batch. `None` when the log has ended.
    fn take(&self, empty: LineBatch, rests: bool) -> Option<LineBatch> {
        let mut state = self.state();
        state.is_writing = false;
        if state.waiting.is_empty() {
            self.emptied.notify_all();
        }
        if rests {
            state.is_resting = true;
            let calm = |state: &mut State| !state.is_closing && !state.is_awaited;
            state =
                self.filled.wait_timeout_while(state, REST, calm).unwrap_or_else(PoisonError::into_inner).0;
            state.is_resting = false;
        }
        let idle = |state: &mut State| state.waiting.is_empty() && !state.is_closing;
        state = self.filled.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        state.is_awaited = false;
        state.is_writing = !state.waiting.is_empty();
        state.is_writing.then(|| mem::replace(&mut state.waiting, empty))
    }
}

/// Writes whole lines to something that may fail.
struct LineWriter<W> {
    out: W,
    loss_line: LossLine,
    /// What is left of a line that was begun when a write failed: it goes before all else.
    rest: Vec<u8>,
    /// Lines that are missing behind what was written last.
    lost: u64,
    /// Lines that are missing in all.
    all_lost: Arc<Counter>,
}

impl<W: Write> LineWriter<W> {
    /// Writes a batch. What can't be written is lost and counted: the next batch is another try.
    fn write(&mut self, batch: &LineBatch) {
        let unwritten =
            if self.end_begun_line() && self.tell_loss() { self.put(&batch.text) } else { batch.lines };
        self.all_lost.add(unwritten);
        self.lost += unwritten + batch.lost;
        if unwritten == 0 && self.rest.is_empty() {
            self.tell_loss();
        }
        let _ = self.out.flush();
    }

    fn end_begun_line(&mut self) -> bool {
        let mut rest = mem::take(&mut self.rest);
        let written = self.put_octets(&rest);
        rest.drain(..written);
        self.rest = rest;
        self.rest.is_empty()
    }

    /// Writes how many lines are missing, if any are. Returns whether the next line can be written.
    fn tell_loss(&mut self) -> bool {
        if self.lost == 0 {
            return true;
        }
        let line = (self.loss_line)(self.lost);
        if self.put(line.as_bytes()) == 0 {
            self.lost = 0;
        }
        self.lost == 0 && self.rest.is_empty()
    }

    /// Writes whole lines; returns how many of them were not even begun. What is missing of the one that was begun is
    /// kept.
    fn put(&mut self, lines: &[u8]) -> u64 {
        let written = self.put_octets(lines);
        let (done, mut missing) = lines.split_at(written);
        if done.last().is_some_and(|&octet| octet != b'\n') {
            let line_end = memchr(b'\n', missing).map_or(missing.len(), |at| at + 1);
            self.rest = missing[..line_end].to_vec();
            missing = &missing[line_end..];
        }
        memchr_iter(b'\n', missing).count() as u64
    }

    /// Writes until all is written or the system refuses; returns how many octets were.
    fn put_octets(&mut self, octets: &[u8]) -> usize {
        let mut written = 0;
        while written < octets.len() {
            match self.out.write(&octets[written..]) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(NO_ROOM_PAUSE),
                // Nobody reads any more, or the disk is full. There is nowhere to report it.
                Err(_) => break,
            }
        }
        written
    }
}

#[cfg(test)]
mod tests;
