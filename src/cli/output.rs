//! Writes to stdout. A reader that has gone away (`| head`) ends the command quietly.

use std::io::{self, IsTerminal as _, Write as _};

use super::failure::Failure;
use crate::report::log::escape::{printable, printable_json};

/// Writes lines whose untrusted parts have been escaped already; ends with a line end.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Writes one JSON text, escaped so that nothing in it acts on a terminal.
pub(super) fn json(raw: &str) -> Result<(), Failure> {
    text(&printable_json(raw.trim_end()))
}

/// An array in JSON that is written piece by piece.
#[derive(Debug, Default)]
pub(super) struct JsonArray {
    /// Whether an entry is written.
    has_entries: bool,
}

impl JsonArray {
    /// Writes the entries of an array behind those that are written.
    pub(super) fn add(&mut self, raw: &str) -> Result<(), Failure> {
        let entries = raw.trim().strip_prefix('[').and_then(|raw| raw.strip_suffix(']')).unwrap_or_default();
        if entries.trim().is_empty() {
            return Ok(());
        }
        let mark = if self.has_entries { "," } else { "[" };
        self.has_entries = true;
        let mut out = io::stdout().lock();
        out.write_all(mark.as_bytes())?;
        out.write_all(printable_json(entries).as_bytes())?;
        Ok(out.flush()?)
    }

    /// Ends the array.
    pub(super) fn end(self) -> Result<(), Failure> {
        text(if self.has_entries { "]" } else { "[]" })
    }
}

/// Writes octets as they are.
pub(super) fn octets(octets: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(octets)?;
    Ok(out.flush()?)
}

/// Writes the content of a message: as it is into a file or a pipe, escaped line by line on a terminal.
pub(super) fn content(content: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if !out.is_terminal() {
        out.write_all(content)?;
        return Ok(out.flush()?);
    }
    for line in content.split(|&b| b == b'\n') {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        writeln!(out, "{}", printable(&line))?;
    }
    Ok(out.flush()?)
}

/// A size that can be read at a glance: `812 B`, `9.8 KiB`, `12 MiB`.
pub(super) fn size(octets: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if octets < 1024 {
        return format!("{octets} B");
    }
    let mut value = octets as f64 / 1024.0;
    let mut unit = 0;
    // 1023.5 would be written as 1024.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `1 message`, `2 messages`, `2 entries`.
pub(super) fn count(n: u64, noun: &str) -> String {
    match noun {
        _ if n == 1 => format!("{n} {noun}"),
        "entry" => format!("{n} entries"),
        "address" => format!("{n} addresses"),
        _ => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        for (octets, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_240, "10 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (35 << 20, "35 MiB"),
            (3 << 29, "1.5 GiB"),
        ] {
            assert_eq!(size(octets), want);
        }
    }
}
