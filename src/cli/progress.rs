//! How far something has come that takes long: a line on stderr that changes, where a person looks on, and nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::{count, size};

/// How often a line without news shows that it goes on.
const TICK: Duration = Duration::from_millis(200);

/// Something that takes long. Dropped, its line is gone.
#[derive(Debug)]
pub(super) struct TaskProgress {
    bar: ProgressBar,
    unit: ProgressUnit,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum ProgressUnit {
    /// Octets.
    Octets,
    /// These, in the singular.
    Things(&'static str),
}

impl TaskProgress {
    /// Of something whose extent is known, or will be.
    pub(super) fn of(what: &str, unit: ProgressUnit) -> Self {
        let bar = styled(ProgressBar::new(0), "{prefix} [{bar:30}] {percent:>3} % {msg}");
        Self { bar: bar.with_prefix(what.to_owned()), unit }
    }

    /// Of something of which nobody knows how much there is.
    pub(super) fn unknown(what: &str, unit: ProgressUnit) -> Self {
        let bar = styled(ProgressBar::new_spinner(), "{spinner} {prefix} {msg} ({elapsed})");
        let bar = bar.with_prefix(what.to_owned());
        bar.enable_steady_tick(TICK);
        Self { bar, unit }
    }

    /// So many are done, of so many.
    pub(super) fn show(&self, done: u64, all: u64) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_length(all);
        self.bar.set_position(done.min(all));
        self.bar.set_message(format!("of {}", self.words(all)));
    }

    /// So many are done, of nobody knows how many.
    pub(super) fn show_count(&self, done: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(self.words(done));
        }
    }

    fn words(&self, number: u64) -> String {
        match self.unit {
            ProgressUnit::Octets => size(number),
            ProgressUnit::Things(noun) => count(number, noun),
        }
    }
}

impl Drop for TaskProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar that looks so; on stderr, and only at a terminal.
fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is sound");
    bar.with_style(style.progress_chars("=> "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests have no terminal: nothing is written, and nothing fails.
    #[test]
    fn nobody_looks_on() {
        for unit in [ProgressUnit::Octets, ProgressUnit::Things("message")] {
            let known = TaskProgress::of("x", unit);
            known.show(1, 0);
            known.show(3, 2);
            let unknown = TaskProgress::unknown("x", unit);
            unknown.show_count(7);
            assert_eq!(
                (known.words(1), unknown.words(2)),
                match unit {
                    ProgressUnit::Octets => (size(1), size(2)),
                    ProgressUnit::Things(_) => ("1 message".to_owned(), "2 messages".to_owned()),
                }
            );
        }
    }
}
