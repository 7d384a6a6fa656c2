//! The machine: what ends, how much room there is, what time it is, who can read what.

use std::time::Duration;

use jiff::Timestamp;

use super::diagnosis::{Check, Diagnosis, Notes};
use crate::alert::{Disk, DiskVerdict, MAKE_ROOM};
use crate::expiry::{Expiry, ExpiryVerdict};

/// No relay of this version has run before.
const MADE: &str = "2026-06-01T00:00:00Z";
/// How far the time of a file may be ahead of the clock.
const SKEW: Duration = Duration::from_mins(10);

/// Whether it ends soon.
#[must_use]
pub fn judge_expiry(ends: &Expiry, now: Timestamp) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::Expiry, &ends.subject);
    match ends.verdict(now) {
        ExpiryVerdict::Over(text) => notes.fault(text, &ends.action),
        ExpiryVerdict::Soon(text) => notes.warning(text, &ends.action),
        ExpiryVerdict::Later(text) => notes.ok(text),
    }
    notes.done()
}

/// Whether there is room for mail.
#[must_use]
pub fn judge_disk(disk: &Disk) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::Disk, &disk.path);
    match disk.verdict() {
        DiskVerdict::Full(text) => notes.fault(text, MAKE_ROOM),
        DiskVerdict::Tight(text) => notes.warning(text, MAKE_ROOM),
        DiskVerdict::Enough(text) => notes.ok(text),
    }
    notes.done()
}

/// Whether the clock can be right. `newest` is when a file of ours was last written.
#[must_use]
pub fn judge_clock(now: Timestamp, newest: Option<Timestamp>) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::Clock, "this machine");
    let remedy = "set the clock, and have it kept by NTP (timedatectl set-ntp true)";
    let made: Timestamp = MADE.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    if now < made {
        notes.fault(format!("the clock says {now}, a time before this program was made"), remedy);
    } else if let Some(newest) =
        newest.filter(|newest| newest.duration_since(now).as_secs() > SKEW.as_secs() as i64)
    {
        notes.fault(format!("the clock says {now}, and data was last written at {newest}"), remedy);
    } else {
        notes.ok(format!("the clock says {now}"));
    }
    notes.done()
}

/// Whether others can read or change what is in a folder of ours, by its mode.
#[must_use]
pub fn judge_mode(path: &str, mode: u32) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::Modes, path);
    let shown = format!("{:04o}", mode & 0o7777);
    if mode & 0o022 != 0 {
        notes.fault(format!("others can write in it (mode {shown})"), format!("chmod 0700 {path}"));
    } else if mode & 0o055 != 0 {
        notes.warning(format!("others can read it (mode {shown})"), format!("chmod 0700 {path}"));
    } else {
        notes.ok(format!("nobody else has access (mode {shown})"));
    }
    notes.done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ExpiryKind;
    use crate::doctor::Level;
    use crate::time::Validity;

    fn only(found: &[Diagnosis]) -> Level {
        let [finding] = found else { panic!("{found:?}") };
        assert!(finding.level == Level::Ok || finding.remedy.is_some(), "{finding:?}");
        finding.level
    }

    #[test]
    fn ends_are_told() {
        let now: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
        for (at, want) in [
            ("2026-11-25T00:00:00Z", Level::Fault),
            ("2026-11-27T00:00:00Z", Level::Warning),
            ("2026-12-26T00:00:00Z", Level::Warning),
            ("2026-12-27T00:00:00Z", Level::Ok),
        ] {
            let (kind, subject, action) = (ExpiryKind::Secret, "oauth m365".to_owned(), "renew".to_owned());
            let (what, upstream) = ("client secret", None);
            let validity = Validity::until(at.parse().unwrap());
            let ends = Expiry { kind, subject, what, upstream, validity, action };
            assert_eq!(only(&judge_expiry(&ends, now)), want, "{at}");
        }
    }

    #[test]
    fn room_is_told() {
        for (free, needed, want) in
            [(99, 100, Level::Fault), (100, 100, Level::Warning), (400, 100, Level::Ok), (0, 0, Level::Ok)]
        {
            let disk =
                Disk { path: "/var/lib/mailsluice".to_owned(), free: free << 20, needed: needed << 20 };
            assert_eq!(only(&judge_disk(&disk)), want, "{free} of {needed}");
        }
    }

    #[test]
    fn a_wrong_clock_is_told() {
        for (now, newest, want) in [
            ("1970-01-01T00:02:00Z", None, Level::Fault),
            ("2026-11-26T00:00:00Z", None, Level::Ok),
            ("2026-11-26T00:00:00Z", Some("2026-11-26T00:09:00Z"), Level::Ok),
            ("2026-11-26T00:00:00Z", Some("2026-11-26T00:11:00Z"), Level::Fault),
        ] {
            let newest = newest.map(|newest| newest.parse().unwrap());
            assert_eq!(only(&judge_clock(now.parse().unwrap(), newest)), want, "{now} {newest:?}");
        }
    }

    #[test]
    fn open_folders_are_told() {
        for (mode, want) in [
            (0o40700, Level::Ok),
            (0o40750, Level::Warning),
            (0o40755, Level::Warning),
            (0o40770, Level::Fault),
            (0o41777, Level::Fault),
        ] {
            assert_eq!(only(&judge_mode("data", mode)), want, "{mode:o}");
        }
    }
}
