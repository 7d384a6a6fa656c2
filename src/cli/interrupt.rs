//! Ctrl-C: who waits for something can give up, and what was begun ends in good order.
//!
//! Once somebody has listened for it, Ctrl-C ends the process no longer by itself: from then on every long wait listens.

use std::io::{self, BufRead, IsTerminal as _, Write as _};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::failure::Failure;

/// The longest line, in octets; a redirected address with its code may be long.
const LONGEST: u64 = 64 * 1024;

/// What came of reading a line.
#[derive(Debug)]
pub(super) enum Typed {
    /// The line, without the white space around it.
    Line(String),
    /// The input has ended (Ctrl-D).
    Nothing,
    /// The time was over.
    TooLate,
}

/// Does something; `None` when a person presses Ctrl-C before it is done. It is listened for before the work begins.
pub(super) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    let done = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => None,
        done = work => Some(done),
    };
    if done.is_none() && io::stderr().is_terminal() {
        // What comes next is not to stand behind what the terminal shows of the key.
        let _ = writeln!(io::stderr());
    }
    done
}

/// The next line of stdin, be it a terminal or not.
///
/// Where there is no limit, a person may think for as long as they like. A reader that hangs is left alone: it ends with the
/// process.
pub(super) async fn typed_line(limit: Option<Duration>) -> Result<Typed, Failure> {
    let (bring, brought) = oneshot::channel();
    let read = move || {
        let _ = bring.send(read_line(io::stdin().lock()));
    };
    thread::Builder::new().spawn(read).map_err(|error| Failure::Failed(error.into()))?;
    match timeout(limit.unwrap_or(Duration::MAX), brought).await {
        Err(_) => Ok(Typed::TooLate),
        Ok(Ok(Ok(line))) => Ok(line.map_or(Typed::Nothing, Typed::Line)),
        Ok(Ok(Err(error))) => {
            Err(Failure::Failed(anyhow::Error::new(error).context("cannot read the answer")))
        }
        // The reader has gone without a word.
        Ok(Err(_)) => Ok(Typed::Nothing),
    }
}

/// The next line of an input, without the white space around it; `None` at its end.
pub(super) fn read_line(input: impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = input.take(LONGEST).read_until(b'\n', &mut line)?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&line).trim().to_owned()))
}
