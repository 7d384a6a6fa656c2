//! Panics in the log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};

/// From now on a panic is an event of the log, `panic`, instead of text on stderr, whose reader may stall as that of the
/// log. With `RUST_BACKTRACE` set it says how it came to it.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| log_panic(panic, &Backtrace::capture())));
}

fn log_panic(panic: &PanicHookInfo<'_>, backtrace: &Backtrace) {
    let thread = std::thread::current();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        event = "panic",
        reason = panic.payload_as_str().unwrap_or("a value that is no text"),
        place = panic.location().map(ToString::to_string),
        thread = thread.name(),
        backtrace,
    );
}
