use std::collections::VecDeque;
use std::time::Instant;

use super::*;

/// What the writer met, and what it has written.
#[derive(Default)]
struct Reader {
    stalls: bool,
    text: Vec<u8>,
    writes: usize,
    /// What the next writes do: take so many octets, or fail. All is taken when it is empty.
    script: VecDeque<Result<usize, ErrorKind>>,
}

#[derive(Clone, Default)]
struct Pipe(Arc<(Mutex<Reader>, Condvar)>);

impl Pipe {
    fn scripted(script: &[Result<usize, ErrorKind>]) -> Self {
        let pipe = Self::default();
        pipe.reader().script.extend(script);
        pipe
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.0.0.lock().unwrap()
    }

    fn stall(&self, stalls: bool) {
        self.reader().stalls = stalls;
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.reader().text.clone()).unwrap()
    }

    /// Waits until as many writes have begun.
    fn wait_for_writes(&self, writes: usize) {
        let limit = Duration::from_secs(20);
        let waited = self.0.1.wait_timeout_while(self.reader(), limit, |reader| reader.writes < writes);
        assert!(!waited.unwrap().1.timed_out(), "no {writes} writes");
    }
}

impl Write for Pipe {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut reader = self.reader();
        reader.writes += 1;
        self.0.1.notify_all();
        reader = self.0.1.wait_while(reader, |reader| reader.stalls).unwrap();
        let taken = reader.script.pop_front().unwrap_or(Ok(octets.len()))?.min(octets.len());
        reader.text.extend_from_slice(&octets[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(pipe: &Pipe) -> (LogQueue, LogThread) {
    LogQueue::start(pipe.clone(), Box::new(|lines| format!("lost {lines}\n"))).unwrap()
}

/// Hands batches to a writer in this thread; the text that is written then.
fn written(script: &[Result<usize, ErrorKind>], batches: &[(&str, u64)]) -> (String, usize) {
    let pipe = Pipe::scripted(script);
    let loss_line = Box::new(|lines| format!("lost {lines}\n"));
    let mut writer =
        LineWriter { out: pipe.clone(), loss_line, rest: Vec::new(), lost: 0, all_lost: Arc::default() };
    for (text, lost) in batches {
        let lines = text.matches('\n').count() as u64;
        writer.write(&LineBatch { text: text.as_bytes().to_vec(), lines, lost: *lost });
    }
    let tried = pipe.reader().writes;
    (pipe.text(), tried)
}

#[test]
fn a_reader_that_stalls_holds_up_nobody_and_is_told_what_is_missing() {
    let pipe = Pipe::default();
    pipe.stall(true);
    let (queue, thread) = start(&pipe);
    queue.push(b"first\n");
    pipe.wait_for_writes(1);
    let line = format!("{}\n", "x".repeat(1023));
    let most = MAX_OCTETS / line.len();
    (0..most + 10).for_each(|_| queue.push(line.as_bytes()));
    // There would be room for it, but it would stand before the gap.
    queue.push(b"short\n");
    assert_eq!(queue.0.state().waiting.text.len(), MAX_OCTETS);
    pipe.stall(false);
    // The second write is what waited, the third the count.
    pipe.wait_for_writes(3);
    queue.push(b"last\n");
    drop(thread);
    assert_eq!(pipe.text(), format!("first\n{}lost 11\nlast\n", line.repeat(most)));
}

#[test]
fn many_short_lines_are_bounded_too() {
    let pipe = Pipe::default();
    pipe.stall(true);
    let (queue, thread) = start(&pipe);
    queue.push(b"first\n");
    pipe.wait_for_writes(1);
    (0..MAX_LINES + 5).for_each(|_| queue.push(b"x\n"));
    pipe.stall(false);
    drop(thread);
    assert_eq!(pipe.text(), format!("first\n{}lost 5\n", "x\n".repeat(MAX_LINES as usize)));
    assert_eq!(queue.lost().get(), 5);
}

#[test]
fn a_line_that_never_fits_is_counted() {
    let pipe = Pipe::default();
    let (queue, thread) = start(&pipe);
    queue.push(&vec![b'x'; MAX_OCTETS + 1]);
    drop(thread);
    assert_eq!(pipe.text(), "lost 1\n");
}

#[test]
fn the_end_does_not_wait_for_a_reader_that_stalls() {
    let pipe = Pipe::default();
    pipe.stall(true);
    let (queue, mut thread) = start(&pipe);
    thread.end_limit = Duration::from_millis(50);
    queue.push(b"unread\n");
    let begun = Instant::now();
    drop(thread);
    assert!(begun.elapsed() >= Duration::from_millis(50), "it waits a little");
    assert!(begun.elapsed() < Duration::from_secs(10));
    pipe.stall(false);
}

#[test]
fn nothing_is_lost_at_the_end_and_no_line_is_torn() {
    const THREADS: usize = 8;
    const LINES: usize = 500;
    // Each write takes three octets.
    let pipe = Pipe::scripted(&[Ok(3); 1000]);
    let (queue, thread) = start(&pipe);
    thread::scope(|scope| {
        for name in 0..THREADS {
            let mut queue = queue.clone();
            scope.spawn(move || {
                for number in 0..LINES {
                    queue.write_all(format!("thread {name} line {number}\n").as_bytes()).unwrap();
                }
            });
        }
    });
    drop(thread);
    let text = pipe.text();
    for name in 0..THREADS {
        let begin = format!("thread {name} line ");
        let numbers = text.lines().filter_map(|line| line.strip_prefix(&begin)?.parse().ok());
        assert_eq!(numbers.collect::<Vec<usize>>(), (0..LINES).collect::<Vec<_>>());
    }
    assert_eq!(text.lines().count(), THREADS * LINES);
}

#[test]
fn what_cannot_be_written_is_counted_and_a_line_that_was_begun_is_ended() {
    use ErrorKind::{BrokenPipe, Interrupted, StorageFull, WouldBlock};
    for (script, batches, want) in [
        // Nothing of the first batch, all of the second.
        (&[Err(StorageFull)][..], &[("a\nb\n", 0), ("c\n", 0)][..], "lost 2\nc\n"),
        // Torn in the first line, then in its rest, then in the count.
        (
            &[Ok(2), Err(StorageFull), Ok(1), Err(StorageFull), Ok(3), Ok(2), Ok(2), Err(StorageFull)],
            &[("abcdef\ng\n", 0), ("h\n", 1), ("i\n", 0), ("j\n", 0)],
            "abcdef\nlost 3\nlost 1\nj\n",
        ),
        // At the end of a line.
        (&[Ok(2), Err(BrokenPipe)], &[("a\nb\nc\n", 0), ("d\n", 0)], "a\nlost 2\nd\n"),
        // What was dropped stands behind what was not.
        (&[], &[("a\n", 3), ("b\n", 0)], "a\nlost 3\nb\n"),
        (&[Err(StorageFull)], &[("a\n", 3), ("b\n", 2)], "lost 4\nb\nlost 2\n"),
        // No failures at all.
        (&[Err(Interrupted), Ok(1), Err(WouldBlock)], &[("ab\n", 0)], "ab\n"),
    ] {
        assert_eq!(written(script, batches).0, want, "{script:?}");
    }
}

#[test]
fn when_nobody_reads_any_more_each_batch_is_tried_once() {
    let script = vec![Err(ErrorKind::BrokenPipe); 100];
    assert_eq!(written(&script, &[("a\n", 0), ("b\n", 0), ("c\n", 0)]), (String::new(), 3));
    let pipe = Pipe::scripted(&script);
    let (queue, thread) = start(&pipe);
    queue.push(b"a\n");
    pipe.wait_for_writes(1);
    drop(thread);
    assert_eq!(pipe.reader().writes, 1);
}

#[test]
fn who_waits_for_the_log_waits_until_it_is_written() {
    let limit = Duration::from_secs(20);
    let pipe = Pipe::default();
    let (mut queue, _thread) = start(&pipe);
    assert!(queue.wait_written(limit), "nothing is to be written");
    for line in ["one\n", "two\n"] {
        queue.write_all(line.as_bytes()).unwrap();
        assert!(queue.wait_written(limit));
        assert!(pipe.text().ends_with(line));
    }
    pipe.stall(true);
    queue.write_all(b"three\n").unwrap();
    pipe.wait_for_writes(3);
    assert!(!queue.wait_written(Duration::ZERO), "it is on its way out");
    queue.write_all(b"four\n").unwrap();
    pipe.stall(false);
    assert!(queue.wait_written(limit));
    assert_eq!(pipe.text(), "one\ntwo\nthree\nfour\n");
}

#[test]
fn the_thread_rests_under_load_alone() {
    let begun = Instant::now();
    let at = |micros| begun + Duration::from_micros(micros);
    let mut pace = WritePace::default();
    let mut write = |lines, from, until| {
        pace.begins(lines, at(from));
        pace.ends(at(until));
        pace.rests()
    };
    // A line now and then is written as it comes, and so are a few in succession.
    for n in 0..100 {
        assert!(!write(1, n * 1_000, n * 1_000));
    }
    for n in 1..LOAD.into() {
        assert!(!write(1, 99_000 + n * 300, 99_000 + n * 300 + 10), "{n}");
    }
    assert!(write(1, 110_000 - 6_000, 110_000 - 6_000), "{LOAD} are load");
    // As long as several come while it rests it goes on.
    for n in 1..50 {
        assert!(write(2, 104_000 + n * 2_000, 104_000 + n * 2_000));
    }
    assert!(!write(1, 300_000, 300_000), "one is not");
    assert!(!write(1, 300_500, 300_500));
}

#[test]
fn what_is_awaited_under_load_is_written_at_once_and_in_order() {
    let pipe = Pipe::default();
    let (mut queue, thread) = start(&pipe);
    let mut expected = String::new();
    for n in 0..2_000 {
        let line = format!("line {n}\n");
        queue.write_all(line.as_bytes()).unwrap();
        expected.push_str(&line);
        if n % 100 == 0 {
            assert!(queue.wait_written(Duration::from_secs(20)));
            assert_eq!(pipe.text(), expected);
        }
    }
    drop(thread);
    assert_eq!(pipe.text(), expected);
}
