//! The log: one line on stdout for each event, as text or JSON.
//!
//! Events come from the `tracing` macros. The field `event` names the event, the other fields are its keys, in the order
//! in which they are given; a field that is `None` is left out. Untrusted text is escaped here and nowhere else, so no
//! event spans lines and nothing in it acts on a terminal.
//!
//! The running relay writes from a thread of its own ([`install_queued`]): a reader that stalls holds up no mail.

pub mod escape;
mod feed;
mod panics;
mod queue;

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::subscriber::{Interest, SetGlobalDefaultError};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

pub use self::feed::{FeedItem, FeedReader, LogFeed, LoggedEvent};
pub use self::panics::log_panics;
pub use self::queue::{LogQueue, LogThread};
use crate::config::{Log, LogFormat, LogLevel};
use crate::time::Clock;

/// The field that names the event.
const EVENT: &str = "event";
/// The name under which a library's events appear.
const LIBRARY: &str = "library";

/// Writes each event as one line.
pub struct LineLayer<W> {
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
    out: Mutex<W>,
    feed: LogFeed,
}

/// Changes format and level while the relay runs.
#[derive(Clone)]
pub struct Control {
    settings: Arc<Settings>,
    /// Where lines wait for the thread that writes them, if there is one.
    queue: Option<LogQueue>,
    feed: LogFeed,
}

#[derive(Debug)]
struct Settings {
    json: AtomicU8,
    level: AtomicU8,
}

/// How long somebody waits for the reader of the log.
const WAIT_WRITTEN: Duration = Duration::from_secs(1);

impl Control {
    /// Puts other settings in force.
    pub fn set(&self, log: Log) {
        self.settings.set(log);
        // Each call site remembers whether anybody wants its events.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Where others read along.
    #[must_use]
    pub fn feed(&self) -> LogFeed {
        self.feed.clone()
    }

    /// Waits until what was logged has been written, for what must not be done before that is known; for a second at most, for
    /// its reader may stall. Blocks the thread.
    pub fn wait_written(&self) {
        if let Some(queue) = &self.queue {
            queue.wait_written(WAIT_WRITTEN);
        }
    }
}

impl Settings {
    fn new(log: Log) -> Self {
        let settings = Self { json: AtomicU8::new(0), level: AtomicU8::new(0) };
        settings.set(log);
        settings
    }

    fn is_json(&self) -> bool {
        self.json.load(Ordering::Relaxed) == 1
    }

    fn set(&self, log: Log) {
        self.json.store(u8::from(log.format == LogFormat::Json), Ordering::Relaxed);
        self.level.store(log.level as u8, Ordering::Relaxed);
    }

    fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            l if l == LogLevel::Error as u8 => Level::ERROR,
            l if l == LogLevel::Warn as u8 => Level::WARN,
            l if l == LogLevel::Info as u8 => Level::INFO,
            l if l == LogLevel::Debug as u8 => Level::DEBUG,
            _ => Level::TRACE,
        }
    }
}

/// Why the process has no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is one already.
    #[error("the process has a log already")]
    Installed(#[from] SetGlobalDefaultError),
    /// The system has no thread for it.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[from] io::Error),
}

/// Makes the log of this process as [`install`] does, but a thread writes to `out`: whoever logs never waits for the
/// reader. What is too much meanwhile is dropped, and a line `log_lost` says how many lines are missing, at any level:
/// they would have been written. The log ends when the [`LogThread`] is dropped.
///
/// # Errors
/// When the process already has one, or the system has no thread for it.
pub fn install_queued<W>(log: Log, clock: Arc<dyn Clock>, out: W) -> Result<(Control, LogThread), LogError>
where
    W: Write + Send + 'static,
{
    let settings = Arc::new(Settings::new(log));
    let (theirs, their_clock) = (settings.clone(), clock.clone());
    let loss_line = Box::new(move |lines| loss_line(&theirs, their_clock.as_ref(), lines));
    let (queue, thread) = LogQueue::start(out, loss_line)?;
    let feed = LogFeed::of_log(queue.lost());
    let out = Mutex::new(queue.clone());
    let layer = LineLayer { settings: settings.clone(), clock, out, feed: feed.clone() };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
    Ok((Control { settings, queue: Some(queue), feed }, thread))
}

/// Makes the log of this process: from now on all events go to `out`, which is written to where they arise.
///
/// # Errors
/// When the process already has one.
pub fn install<W>(log: Log, clock: Arc<dyn Clock>, out: W) -> Result<Control, SetGlobalDefaultError>
where
    W: Write + Send + 'static,
{
    let (layer, control) = LineLayer::new(log, clock, out);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
    Ok(control)
}

impl<W: Write> LineLayer<W> {
    /// A layer that writes to `out`, and what changes its settings. The clock gives the wall time of each line.
    pub fn new(log: Log, clock: Arc<dyn Clock>, out: W) -> (Self, Control) {
        let settings = Arc::new(Settings::new(log));
        let feed = LogFeed::default();
        let control = Control { settings: settings.clone(), queue: None, feed: feed.clone() };
        (Self { settings, clock, out: Mutex::new(out), feed }, control)
    }

    /// Our own events at the configured level, those of libraries only when something is wrong.
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level =
            if is_ours(metadata) { self.settings.level() } else { self.settings.level().min(Level::WARN) };
        metadata.is_event() && *metadata.level() <= level
    }
}

impl<S: Subscriber, W: Write + Send + 'static> Layer<S> for LineLayer<W> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.settings.level()))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = if self.settings.is_json() {
            json_line(event, self.clock.as_ref())
        } else {
            text_line(event, self.clock.as_ref())
        };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere to report that the log itself can't be written; the relay goes on.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        drop(out);
        self.feed.tell(|| {
            let mut json = if self.settings.is_json() { line } else { json_line(event, self.clock.as_ref()) };
            json.truncate(json.trim_end().len());
            LoggedEvent { name: EventName::of(event), json }
        });
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target == "mailsluice" || target.starts_with("mailsluice::")
}

/// `time LEVEL event key=value…`
fn text_line(event: &Event<'_>, clock: &dyn Clock) -> String {
    let mut line = String::with_capacity(256);
    write_to(&mut line, format_args!("{:.3} {} ", clock.wall(), event.metadata().level()));
    let name = EventName::of(event);
    push_text(&mut line, &name);
    if name == LIBRARY {
        line.push_str(" target=");
        push_text(&mut line, event.metadata().target());
    }
    event.record(&mut TextFields(&mut line));
    line.push('\n');
    line
}

/// Writes a JSON object with `time`, `level`, `event` and the other keys.
fn json_line(event: &Event<'_>, clock: &dyn Clock) -> String {
    let mut line = String::with_capacity(384);
    let level = event.metadata().level();
    write_to(&mut line, format_args!(r#"{{"time":"{:.3}","level":"{level}","event":"#, clock.wall()));
    let name = EventName::of(event);
    escape::push_quoted(&mut line, &name);
    if name == LIBRARY {
        line.push_str(r#","target":"#);
        escape::push_quoted(&mut line, event.metadata().target());
    }
    event.record(&mut Json(&mut line));
    line.push_str("}\n");
    line
}

/// The line that says how many lines are missing.
fn loss_line(settings: &Settings, clock: &dyn Clock, lines: u64) -> String {
    let wall = clock.wall();
    if settings.is_json() {
        format!("{{\"time\":\"{wall:.3}\",\"level\":\"WARN\",\"event\":\"log_lost\",\"lines\":{lines}}}\n")
    } else {
        format!("{wall:.3} WARN log_lost lines={lines}\n")
    }
}

fn write_to(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

fn push_text(out: &mut String, value: &str) {
    if escape::is_plain(value) {
        out.push_str(value);
    } else {
        escape::push_quoted(out, value);
    }
}

/// Finds the name, wherever among the fields it stands.
struct EventName(Option<String>);

impl EventName {
    fn of(event: &Event<'_>) -> String {
        if !is_ours(event.metadata()) {
            return LIBRARY.to_owned();
        }
        let mut name = Self(None);
        event.record(&mut name);
        name.0.unwrap_or_else(|| "note".to_owned())
    }
}

impl Visit for EventName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == EVENT {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == EVENT {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

/// Appends ` key=value` for each field.
struct TextFields<'a>(&'a mut String);

impl TextFields<'_> {
    fn key(&mut self, field: &Field) -> bool {
        if field.name() == EVENT {
            return false;
        }
        self.0.push(' ');
        self.0.push_str(field.name());
        self.0.push('=');
        true
    }
}

impl Visit for TextFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.key(field) {
            push_text(self.0, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.key(field) {
            return;
        }
        let start = self.0.len();
        write_to(self.0, format_args!("{value:?}"));
        if !escape::is_plain(&self.0[start..]) {
            let raw = self.0.split_off(start);
            escape::push_quoted(self.0, &raw);
        }
    }
}

/// Appends `,"key":value` for each field; numbers and truth values stay what they are.
struct Json<'a>(&'a mut String);

impl Json<'_> {
    fn put(&mut self, field: &Field, write: impl FnOnce(&mut String)) {
        if field.name() == EVENT {
            return;
        }
        self.0.push(',');
        escape::push_quoted(self.0, field.name());
        self.0.push(':');
        write(self.0);
    }
}

impl Visit for Json<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |out| escape::push_quoted(out, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |out| escape::push_quoted(out, &format!("{value:?}")));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |out| write_to(out, format_args!("{value}")));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |out| write_to(out, format_args!("{value}")));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |out| out.push_str(if value { "true" } else { "false" }));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON knows neither infinity nor NaN.
        self.put(field, |out| {
            if value.is_finite() { write_to(out, format_args!("{value}")) } else { out.push_str("null") }
        });
    }
}

#[cfg(test)]
mod tests;
