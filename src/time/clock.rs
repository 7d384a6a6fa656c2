//! Where the time comes from.

use std::time::Duration;

use jiff::Timestamp;

/// The machine's clocks. Handed in, so that a test can stop, step and advance them.
pub trait Clock: Send + Sync {
    /// The wall clock: what people call the time. It may be stepped at any moment.
    fn wall(&self) -> Timestamp;
    /// Time since the machine was booted, sleep included. It is never stepped (`CLOCK_BOOTTIME`).
    fn since_boot(&self) -> Duration;
    /// What tells one boot from another.
    fn boot_id(&self) -> String;
}

/// The clocks of the machine that we run on.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one home of the wall clock")]
        Timestamp::now()
    }

    fn since_boot(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
    }

    fn boot_id(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    }
}
