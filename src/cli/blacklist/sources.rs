//! Messages from files: one message each, many in one (mbox), or a Maildir; one after the other, each within bounds.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// The largest message that is read, in octets. Reports are small, but may have the whole mail below them.
const MAX_MESSAGE: usize = 50 << 20;

/// A message, and where it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundMessage {
    /// The file; of several in one with the number.
    pub(super) place: String,
    /// `None` when it is too large.
    pub(super) content: Option<Vec<u8>>,
}

/// Hands all messages of a file, a Maildir or standard input (`-`) to `take`.
pub(super) fn each_message<E: From<io::Error>>(
    path: &Path,
    take: &mut dyn FnMut(FoundMessage) -> Result<(), E>,
) -> Result<(), E> {
    if path == Path::new("-") {
        return split("standard input", &mut io::stdin().lock(), take);
    }
    if !fs::metadata(path)?.is_dir() {
        return in_file(path, take);
    }
    for file in files_of(path)? {
        in_file(&file, take)?;
    }
    Ok(())
}

/// The files of a Maildir (`cur` and `new`), or of a folder with a file for each message; by name.
fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let maildir: Vec<PathBuf> =
        ["cur", "new"].map(|name| folder.join(name)).into_iter().filter(|path| path.is_dir()).collect();
    let folders = if maildir.is_empty() { vec![folder.to_owned()] } else { maildir };
    let mut files = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !is_hidden && path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn in_file<E: From<io::Error>>(
    path: &Path,
    take: &mut dyn FnMut(FoundMessage) -> Result<(), E>,
) -> Result<(), E> {
    let file = match File::open(path) {
        Ok(file) => file,
        // A program has taken it away meanwhile, or moved it from `new` to `cur`.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    split(&path.display().to_string(), &mut BufReader::new(file), take)
}

/// Takes the messages out of an input: all that begin with a `From ` line, or the only one.
fn split<E: From<io::Error>>(
    name: &str,
    input: &mut dyn BufRead,
    take: &mut dyn FnMut(FoundMessage) -> Result<(), E>,
) -> Result<(), E> {
    let (mut number, mut is_mbox, mut is_behind_empty) = (0_u64, false, true);
    let mut content = Growing::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without end is taken in pieces.
        input.take(64 << 10).read_until(b'\n', &mut line)?;
        let is_begin = is_behind_empty && line.starts_with(b"From ") && (is_mbox || number == 0);
        if line.is_empty() || (is_begin && number > 0) {
            let place = if is_mbox { format!("{name} (message {number})") } else { name.to_owned() };
            if number > 0 {
                take(FoundMessage { place, content: std::mem::take(&mut content).end() })?;
            }
        }
        if line.is_empty() {
            return Ok(());
        }
        if is_begin {
            number += 1;
            is_mbox = true;
        } else {
            number = number.max(1);
            content.add(if is_mbox { unescaped(&line) } else { &line });
        }
        is_behind_empty = line.trim_ascii().is_empty();
    }
}

/// A line of an mbox as it was in the message: `>From ` there is `From `.
fn unescaped(line: &[u8]) -> &[u8] {
    let marks = line.iter().take_while(|&&octet| octet == b'>').count();
    if marks > 0 && line[marks..].starts_with(b"From ") { &line[1..] } else { line }
}

/// A message while it is read.
#[derive(Default)]
struct Growing {
    octets: Vec<u8>,
    is_too_large: bool,
}

impl Growing {
    fn add(&mut self, line: &[u8]) {
        if self.octets.len() + line.len() > MAX_MESSAGE {
            self.is_too_large = true;
            self.octets = Vec::new();
        }
        if !self.is_too_large {
            self.octets.extend_from_slice(line);
        }
    }

    fn end(self) -> Option<Vec<u8>> {
        (!self.is_too_large).then_some(self.octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(input: &[u8]) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut take = |message: FoundMessage| -> io::Result<()> {
            all.push((message.place, String::from_utf8(message.content.unwrap()).unwrap()));
            Ok(())
        };
        split("f", &mut &input[..], &mut take).unwrap();
        all
    }

    #[test]
    fn splits_what_has_many() {
        for (input, want) in [
            (&b""[..], &[][..]),
            (b"A: 1\n\nFrom me\n", &[("f", "A: 1\n\nFrom me\n")]),
            (
                b"From a Mon\nA: 1\n\n>From me\n>>From you\nFrom where?\n\nFrom b Tue\nB: 2\n",
                &[
                    ("f (message 1)", "A: 1\n\nFrom me\n>From you\nFrom where?\n\n"),
                    ("f (message 2)", "B: 2\n"),
                ],
            ),
        ] {
            let want: Vec<_> = want.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect();
            assert_eq!(found(input), want);
        }
    }

    #[test]
    fn what_is_too_large_is_passed_over() {
        let mut large = b"From a\n".to_vec();
        large.resize(MAX_MESSAGE + 100, b'x');
        large.extend_from_slice(b"\n\nFrom b\nB: 2\n");
        let mut sizes = Vec::new();
        let mut take = |message: FoundMessage| -> io::Result<()> {
            sizes.push(message.content.map(|content| content.len()));
            Ok(())
        };
        split("f", &mut &large[..], &mut take).unwrap();
        assert_eq!(sizes, [None, Some(5)]);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
    fn a_maildir_is_read_as_one() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in
            [("cur/1", "A: 1\n"), ("new/2", "A: 2\n"), ("tmp/3", "A: 3\n"), ("cur/.x", "A: 4\n")]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let mut all = Vec::new();
        let mut take = |message: FoundMessage| -> io::Result<()> {
            all.push(message.content.unwrap());
            Ok(())
        };
        each_message(folder.path(), &mut take).unwrap();
        assert_eq!(all, [b"A: 1\n", b"A: 2\n"]);
    }
}
