//! `mailsluice blacklist import` and `export`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cli::client::{Client, RequestPath};
use crate::cli::context::CliContext;
use crate::cli::failure::{Failure, complain};
use crate::cli::output::count;
use crate::cli::progress::{ProgressUnit, TaskProgress};
use crate::control::blacklist_file::{FileFault, FileLine, ImportReader};
use crate::control::view::ImportAnswer;
use crate::time::{Clock as _, SystemClock};

/// Entries in one request, and octets after which no more are put into it.
const PORTION: usize = 5_000;
const PORTION_OCTETS: usize = 1 << 20;
/// Faults that are told line by line.
const TOLD: u64 = 100;

/// Writes what the relay has to standard output.
pub(super) fn export(client: &Client) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    client.copy(&RequestPath::path(&["blacklist", "export"]), &mut out)?;
    Ok(out.flush()?)
}

/// Hands the entries of a file to the relay, some thousands at once.
pub(super) fn import(path: &Path, client: &Client, context: &CliContext) -> Result<(), Failure> {
    let name = path.display();
    let unreadable = |error: &dyn std::fmt::Display| Failure::new(format!("{name}: {error}"));
    let (input, all) = open(path).map_err(|error| unreadable(&error))?;
    let read = Arc::new(AtomicU64::new(0));
    let input = CountedInput { input, read: read.clone() };
    let mut reader = ImportReader::new(input, SystemClock.wall()).map_err(|error| unreadable(&error))?;
    let mut sent = SentEntries::new(client);
    let progress = match all {
        Some(_) => TaskProgress::of("importing", ProgressUnit::Octets),
        None => TaskProgress::unknown("importing", ProgressUnit::Octets),
    };
    while let Some(row) = reader.next_row().map_err(|error| unreadable(&error))? {
        match row {
            Ok(row) => sent.add(&FileLine::of_import(&row.entry), row.line)?,
            Err(FileFault { line, what }) => sent.fault(line, what, path),
        }
        let done = read.load(Ordering::Relaxed);
        all.map_or_else(|| progress.show_count(done), |all| progress.show(done, all));
    }
    sent.flush(path)?;
    drop(progress);
    let answer = sent.answer;
    context.print_value(&answer, &told(&answer))?;
    if answer.faulty > TOLD {
        complain(&format!("and {} more lines are no entries", answer.faulty - TOLD));
    }
    if answer.faulty == 0 { Ok(()) } else { Err(Failure::Told) }
}

fn told(answer: &ImportAnswer) -> String {
    let ImportAnswer { added, replaced, unchanged, expired, faulty, .. } = answer;
    let mut parts = vec![format!("{} added", count(*added, "entry"))];
    for (number, what) in [
        (replaced, "replaced"),
        (unchanged, "there already"),
        (expired, "expired already, and not taken"),
        (faulty, "not understood"),
    ] {
        if *number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    parts.join(", ")
}

/// A file, and how long it is where that is known.
fn open(path: &Path) -> io::Result<(Box<dyn BufRead>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok((Box::new(BufReader::new(file)), metadata.is_file().then_some(metadata.len())))
}

/// What was handed over so far, and what came of it.
struct SentEntries<'a> {
    client: &'a Client,
    /// What goes next, and the lines from which it comes.
    text: String,
    lines: Vec<u64>,
    answer: ImportAnswer,
}

impl<'a> SentEntries<'a> {
    fn new(client: &'a Client) -> Self {
        Self { client, text: String::new(), lines: Vec::new(), answer: ImportAnswer::default() }
    }

    fn entries(&self) -> u64 {
        let ImportAnswer { added, replaced, unchanged, expired, .. } = self.answer;
        added + replaced + unchanged + expired
    }

    fn add(&mut self, entry: &FileLine<'_>, line: u64) -> Result<(), Failure> {
        if self.text.is_empty() {
            self.text.push_str(FileLine::HEADER);
        }
        entry.write_to(&mut self.text);
        self.lines.push(line);
        if self.lines.len() >= PORTION || self.text.len() >= PORTION_OCTETS {
            self.hand_over()?;
        }
        Ok(())
    }

    fn fault(&mut self, line: u64, what: String, path: &Path) {
        if self.answer.faulty < TOLD {
            complain(&format!("{}:{line}: {what}", path.display()));
        }
        self.answer.fault(line, what);
    }

    /// Hands the rest over.
    fn flush(&mut self, path: &Path) -> Result<(), Failure> {
        self.hand_over().map_err(|failure| {
            let done = self.entries();
            let name = path.display();
            failure.and_so(&format!("of {name} {} had been taken: import it again", count(done, "entry")))
        })
    }

    fn hand_over(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.text);
        let lines = std::mem::take(&mut self.lines);
        let target = RequestPath::path(&["blacklist", "import"]);
        let answer: ImportAnswer = self.client.submit_csv(&target, text)?.value;
        self.answer.added += answer.added;
        self.answer.replaced += answer.replaced;
        self.answer.unchanged += answer.unchanged;
        self.answer.expired += answer.expired;
        // Whatever a relay of another version does not take.
        for fault in answer.faults {
            let place = usize::try_from(fault.line.saturating_sub(2)).unwrap_or(usize::MAX);
            self.answer.fault(lines.get(place).copied().unwrap_or(fault.line), fault.what);
        }
        Ok(())
    }
}

/// An input of which is known how much was read.
struct CountedInput<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: BufRead> io::Read for CountedInput<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for CountedInput<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.read.fetch_add(amount as u64, Ordering::Relaxed);
        self.input.consume(amount);
    }
}
