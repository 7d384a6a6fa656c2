//! Aligned tables for people, as wide as their terminal.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

use super::viewer::Viewer;
use super::wrapping::{columns, hanging, narrowest, wrapped};
use crate::report::log::escape::printable;

/// Between two columns.
const GAP: usize = 2;
/// Before the lines below a row.
const INDENT: &str = "    ";
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
    /// The columns that stand below the rows when there is no room for them, those first that go first.
    folding: Vec<&'static str>,
    rows: Vec<TableRow>,
    /// How wide each column is at least, when the table goes on where another one has ended; then it has no heads.
    goes_on: Option<Vec<usize>>,
}

/// How a table is laid out.
struct Shape {
    /// The columns that stand beside each other.
    columns: Vec<usize>,
    /// Those that stand below the rows.
    folded: Vec<usize>,
    /// How wide each column is.
    widths: Vec<usize>,
}

#[derive(Debug)]
struct TableRow {
    cells: Vec<String>,
    notes: Vec<String>,
}

impl TextTable {
    /// A table with these column heads.
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), folding: Vec::new(), rows: Vec::new(), goes_on: None }
    }

    /// The same, of which these columns go below the rows, one after the other, until the terminal is wide enough for the rest.
    pub(super) fn folding(self, heads: &[&'static str]) -> Self {
        Self { folding: heads.to_vec(), ..self }
    }

    /// The same, which goes on where a table of these widths has ended.
    pub(super) fn going_on(self, widths: Vec<usize>) -> Self {
        Self { goes_on: Some(widths), ..self }
    }

    /// How wide the columns would be if there were room, for the table that goes on behind this one.
    pub(super) fn widths(&self) -> Vec<usize> {
        let before = |column: usize| self.goes_on.as_ref().and_then(|widths| widths.get(column)).copied();
        let width = |column| self.widest(column, columns).max(before(column).unwrap_or(0));
        (0..self.heads.len()).map(width).collect()
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

    /// The table as lines. Nothing is cut off: what has no room beside the other columns goes below, and what is too wide
    /// goes on in the next line.
    pub(super) fn render(&self, viewer: &Viewer) -> String {
        let Shape { columns, folded, widths } = self.shape(viewer.width());
        let lines = self.layout(&columns, &widths);
        let mut rows = lines.split(|line| line.starts_with(MARK));
        let mut out = String::new();
        let mut push = |line: &str| {
            out.push_str(line.trim_end());
            out.push('\n');
        };
        let heads = rows.next().unwrap_or_default();
        for line in heads.iter().filter(|_| self.goes_on.is_none()) {
            push(line);
        }
        for (row, lines) in self.rows.iter().zip(rows) {
            for line in lines {
                push(line);
            }
            for note in self.below(row, &folded, viewer.width()).iter().chain(&row.notes) {
                let note = format!("{INDENT}{note}");
                match viewer.width() {
                    Some(width) => wrapped(&note, width).iter().for_each(|line| push(line)),
                    None => push(&note),
                }
            }
        }
        out
    }

    /// Which columns stand where, and how wide they are.
    fn shape(&self, width: Option<u16>) -> Shape {
        let all: Vec<usize> = (0..self.heads.len()).collect();
        let mut widths = self.widths();
        let (mut stay, mut folded) = (all, Vec::new());
        let Some(width) = width.map(usize::from) else {
            return Shape { columns: stay, folded, widths };
        };
        let total = |stay: &[usize], widths: &[usize]| {
            stay.iter().map(|&i| widths[i]).sum::<usize>() + GAP * (stay.len().max(1) - 1)
        };
        for head in &self.folding {
            if total(&stay, &widths) <= width {
                break;
            }
            let (out, still) = stay.into_iter().partition(|&i| self.heads[i] == *head);
            stay = still;
            folded.extend::<Vec<usize>>(out);
        }
        folded.sort_unstable();
        // The last columns hold the longest texts.
        for &i in stay.iter().rev() {
            let surplus = total(&stay, &widths).saturating_sub(width);
            if surplus > 0 {
                widths[i] = widths[i].saturating_sub(surplus).max(self.widest(i, narrowest));
            }
        }
        Shape { columns: stay, folded, widths }
    }

    /// The most that a cell of a column, or its head, needs.
    fn widest(&self, column: usize, need: impl Fn(&str) -> usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.cells.get(column)).map(|cell| need(cell));
        cells.max().unwrap_or(0).max(columns(self.heads[column]))
    }

    /// The lines of these columns with marks between the rows.
    fn layout(&self, columns: &[usize], widths: &[usize]) -> Vec<String> {
        let mut table = Table::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled);
        // Where the heads are not shown they make the columns as wide as those of the table before.
        let as_before = |i: usize| if self.goes_on.is_some() { widths[i] } else { 0 };
        table.set_header(columns.iter().map(|&i| format!("{:<1$}", self.heads[i], as_before(i))));
        for row in &self.rows {
            let cell = |&i: &usize| {
                let text = row.cells.get(i).map_or("", String::as_str);
                hanging("", text, u16::try_from(widths[i]).unwrap_or(u16::MAX), 0).join("\n")
            };
            table.add_row(columns.iter().map(cell));
        }
        let last = columns.len().saturating_sub(1);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { GAP as u16 }));
        }
        table.lines().collect()
    }

    /// The cells that have no room beside the others, as few lines as have room for them.
    fn below(&self, row: &TableRow, folded: &[usize], width: Option<u16>) -> Vec<String> {
        let room = usize::from(width.unwrap_or(u16::MAX)).saturating_sub(INDENT.len());
        let mut lines: Vec<String> = Vec::new();
        for &i in folded {
            let Some(cell) = row.cells.get(i).filter(|cell| !cell.is_empty()) else { continue };
            let cell = format!("{}: {cell}", self.heads[i].to_lowercase());
            match lines.last_mut() {
                Some(line) if columns(line) + 2 + columns(&cell) <= room => {
                    line.push_str("; ");
                    line.push_str(&cell);
                }
                _ => lines.push(cell),
            }
        }
        lines
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
    450
      \\u001b[2Jlater\\r\\nF
      ORGED
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
    fn goes_on_where_another_one_has_ended() {
        let mut next = TextTable::new(&["ID", "FROM", "WAITS FOR"]).going_on(table().widths());
        next.row(&["4".into(), "a@b".into(), "limit".into()]);
        next.row(&["55555".into(), "a@b".into(), String::new()]);
        let want = "\
4      a@b                  limit
55555  a@b
";
        assert_eq!(next.render(&viewer()), want);
    }

    #[test]
    fn fits_any_terminal() {
        for width in 1..=120 {
            let text = table().render(&viewer().with_width(width));
            // An address of 19 columns is not broken.
            let too_wide = text.lines().any(|line| width > 24 && line.chars().count() > usize::from(width));
            assert!(!too_wide, "{width}:\n{text}");
        }
    }
}
