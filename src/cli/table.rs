//! Aligned tables for people, as wide as their terminal.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

use super::viewer::Viewer;
use crate::report::log::escape::printable;

/// Between two columns.
const GAP: u16 = 2;
/// Before the lines below a row.
const INDENT: u16 = 4;
/// Stands between the rows while the table is laid out, so that each row's lines are known. No cell holds it.
const MARK: char = '\u{0}';
/// No lines but the marks.
const STYLE: TableStyle = {
    let marks = LineStyle::none().fill(MARK);
    TableStyle::new().header_separator(marks).row_separator(marks)
};

/// Rows of cells, each with lines below it. Cells and lines may hold untrusted text: it is escaped here.
#[derive(Debug)]
pub(super) struct TextTable {
    heads: Vec<&'static str>,
    /// The columns that stand below the rows when there is no room for them.
    folding: Vec<&'static str>,
    rows: Vec<TableRow>,
}

#[derive(Debug)]
struct TableRow {
    cells: Vec<String>,
    notes: Vec<String>,
}

impl TextTable {
    /// A table with these column heads.
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), folding: Vec::new(), rows: Vec::new() }
    }

    /// The same, of which these columns go below the rows when the terminal is too narrow for all.
    pub(super) fn folding(self, heads: &[&'static str]) -> Self {
        Self { folding: heads.to_vec(), ..self }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: &[String]) {
        let cells = cells.iter().map(|cell| printable(cell)).collect();
        self.rows.push(TableRow { cells, notes: vec![] });
    }

    /// Adds an indented line below the last row.
    pub(super) fn note(&mut self, text: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(printable(text));
        }
    }

    /// The table as lines. Nothing is cut off: what is too wide goes on in the next line.
    pub(super) fn render(&self, viewer: &Viewer) -> String {
        let all: Vec<usize> = (0..self.heads.len()).collect();
        let (mut columns, mut folded) = (all, Vec::new());
        if viewer.width().is_some_and(|width| self.layout(&columns, None).1 > width) {
            (folded, columns) = columns.into_iter().partition(|&i| self.folding.contains(&self.heads[i]));
        }
        let lines: Vec<String> = self.layout(&columns, viewer.width()).0;
        let mut rows = lines.split(|line| line.starts_with(MARK));
        let mut out = String::new();
        let mut push = |line: &str, indent: u16| {
            out.extend(std::iter::repeat_n(' ', usize::from(indent)));
            out.push_str(line.trim_end());
            out.push('\n');
        };
        for line in rows.next().unwrap_or_default() {
            push(line, 0);
        }
        for (row, lines) in self.rows.iter().zip(rows) {
            for line in lines {
                push(line, 0);
            }
            for note in self.folded(row, &folded).iter().chain(&row.notes) {
                for line in wrapped(note, viewer.width()) {
                    push(&line, INDENT);
                }
            }
        }
        out
    }

    /// The lines of these columns with marks between the rows, and how wide they would like to be.
    fn layout(&self, columns: &[usize], width: Option<u16>) -> (Vec<String>, u16) {
        let mut table = Table::new();
        table.load_style(STYLE);
        table.set_header(columns.iter().map(|&i| self.heads[i]));
        for row in &self.rows {
            table.add_row(columns.iter().map(|&i| row.cells.get(i).map_or("", String::as_str)));
        }
        arrange(&mut table, width);
        let wanted = table.column_max_content_widths();
        let gaps = GAP * (wanted.len().max(1) - 1) as u16;
        (table.lines().collect(), wanted.into_iter().fold(gaps, u16::saturating_add))
    }

    /// The cells that have no room beside the others, in one line.
    fn folded(&self, row: &TableRow, columns: &[usize]) -> Option<String> {
        let cell = |&i: &usize| row.cells.get(i).filter(|cell| !cell.is_empty()).map(|cell| (i, cell));
        let cells: Vec<String> = columns
            .iter()
            .filter_map(cell)
            .map(|(i, cell)| format!("{}: {cell}", self.heads[i].to_lowercase()))
            .collect();
        (!cells.is_empty()).then(|| cells.join("; "))
    }
}

/// A text in lines that fit, broken between words.
fn wrapped(text: &str, width: Option<u16>) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.add_row([text]);
    arrange(&mut table, width.map(|width| width.saturating_sub(INDENT).max(1)));
    table.lines().collect()
}

fn arrange(table: &mut Table, width: Option<u16>) {
    let arrangement = match width {
        Some(_) => ContentArrangement::Dynamic,
        None => ContentArrangement::Disabled,
    };
    table.set_content_arrangement(arrangement);
    if let Some(width) = width {
        table.set_width(width);
    }
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { GAP }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer() -> Viewer {
        Viewer::utc("2026-11-22T07:00:00Z")
    }

    fn table() -> TextTable {
        let mut table = TextTable::new(&["ID", "FROM", "WAITS FOR"]).folding(&["WAITS FOR"]);
        table.row(&["1".into(), "müller@firm.example".into(), "retry".into()]);
        table.note("450 \u{1b}[2Jlater\r\nFORGED");
        table.row(&["222".into(), "x@\u{202e}b".into(), String::new()]);
        table.row(&["3".into(), "山田@firm.example".into(), "limit".into()]);
        table
    }

    #[test]
    fn aligns_and_escapes() {
        let want = "\
ID   FROM                 WAITS FOR
1    müller@firm.example  retry
    450 \\u001b[2Jlater\\r\\nFORGED
222  x@\\u202eb
3    山田@firm.example    limit
";
        assert_eq!(table().render(&viewer()), want);
        assert_eq!(table().render(&viewer().with_width(80)), want);
    }

    #[test]
    fn what_has_no_room_goes_below_and_nothing_is_cut_off() {
        let want = "\
ID   FROM
1    müller@firm.example
    waits for: retry
    450 \\u001b[2Jlater\\r\\
    nFORGED
222  x@\\u202eb
3    山田@firm.example
    waits for: limit
";
        assert_eq!(table().render(&viewer().with_width(25)), want);
    }

    #[test]
    fn long_cells_go_on_in_the_next_line() {
        let mut table = TextTable::new(&["A", "B"]);
        table.row(&["x".into(), "é".repeat(100)]);
        let text = table.render(&viewer().with_width(53));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, ["A  B", &format!("x  {}", "é".repeat(50)), &format!("   {}", "é".repeat(50))]);
    }

    #[test]
    fn fits_any_terminal() {
        for width in 1..=120 {
            let text = table().render(&viewer().with_width(width));
            let too_wide = text.lines().any(|line| width > 20 && line.chars().count() > usize::from(width));
            assert!(!too_wide, "{width}:\n{text}");
        }
    }
}
