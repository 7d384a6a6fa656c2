//! The blacklist as a file: CSV (RFC 4180) with the columns `address`, `reason`, `source`, `added`, `expires`, in any order below a
//! header line that names them, or in this order without one. What an export writes, an import reads as it was.
//!
//! Files come from spreadsheets, too: a byte-order mark, line ends of any kind, semicolons or tabs instead of commas, other columns.

mod columns;
mod records;
mod terms;
mod writer;

pub use columns::{FileFault, ImportReader, ImportRow, UnusableFile};
pub use terms::{lifetime_end, listed_learned, listed_pattern, listed_reason};
pub use writer::FileLine;

/// Before a field that a spreadsheet would take for a formula, so that none of what strangers have written is carried out there.
const GUARD: char = '\'';

/// Whether a spreadsheet would take a text for a formula, or a reader could not tell whether its first mark is a guard.
fn needs_guard(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', GUARD])
}

/// A field without its guard.
fn without_guard(text: &str) -> &str {
    text.strip_prefix(GUARD).filter(|rest| needs_guard(rest)).unwrap_or(text)
}
