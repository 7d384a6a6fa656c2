//! Aligned tables for people.

use crate::report::log::escape::printable;

/// Between two columns.
const GAP: &str = "  ";
/// The widest cell, in characters; longer ones end in `…`.
const MAX_CELL: usize = 60;
/// The longest line below a row, in characters.
const MAX_NOTE: usize = 240;

/// Rows of cells, each with lines below it. Cells and lines may hold untrusted text: it is escaped here.
#[derive(Debug)]
pub(super) struct TextTable {
    rows: Vec<TableRow>,
}

#[derive(Debug, Default)]
struct TableRow {
    cells: Vec<String>,
    notes: Vec<String>,
}

impl TextTable {
    /// A table with these column heads.
    pub(super) fn new(heads: &[&str]) -> Self {
        Self {
            rows: vec![TableRow { cells: heads.iter().map(ToString::to_string).collect(), notes: vec![] }],
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: &[String]) {
        let cells = cells.iter().map(|cell| cut(&printable(cell), MAX_CELL)).collect();
        self.rows.push(TableRow { cells, notes: vec![] });
    }

    /// Adds an indented line below the last row.
    pub(super) fn note(&mut self, text: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(cut(&printable(text), MAX_NOTE));
        }
    }

    /// The table as lines. Empty columns take no more than their head.
    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|i| {
                self.rows.iter().filter_map(|row| row.cells.get(i)).map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width_of_column) in row.cells.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width_of_column - width(cell)));
                line.push_str(GAP);
            }
            out.push_str(line.trim_end());
            out.push('\n');
            for note in &row.notes {
                out.push_str("    ");
                out.push_str(note);
                out.push('\n');
            }
        }
        out
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, at_most: usize) -> String {
    if width(text) <= at_most {
        return text.to_owned();
    }
    text.chars().take(at_most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_and_escapes() {
        let mut table = TextTable::new(&["ID", "FROM", "WAITS FOR"]);
        table.row(&["1".into(), "müller@firm.example".into(), "retry".into()]);
        table.note("450 \u{1b}[2Jlater\r\nFORGED");
        table.row(&["222".into(), "x@\u{202e}b".into(), String::new()]);
        let want = "\
ID   FROM                 WAITS FOR
1    müller@firm.example  retry
    450 \\u001b[2Jlater\\r\\nFORGED
222  x@\\u202eb
";
        assert_eq!(table.render(), want);
    }

    #[test]
    fn long_cells_are_cut() {
        let mut table = TextTable::new(&["A"]);
        table.row(&["é".repeat(100)]);
        let text = table.render();
        assert_eq!(text.lines().nth(1).unwrap(), format!("{}…", "é".repeat(59)));
    }
}
