//! Breaks text for people into lines that fit their terminal: the one place that does.
//!
//! Lines end between words. What a person may want to copy stays in one piece: an address, a host name, a path, a command;
//! so does the distance of a time. Such a piece that is wider than the terminal sticks out: the terminal breaks it, and
//! copying gives it back whole.

use comfy_table::Table;

/// The width for whoever has none: a pipe, a file, a terminal that does not tell.
pub(super) const WIDTH: u16 = 80;
/// How much further in the lines behind the first stand.
const FURTHER: usize = 2;
/// What ends a command in a sentence.
const ENDS: [char; 5] = [')', '.', ',', ';', ':'];
/// A word stays with the number before it when it is no longer, the space included.
const COUNTED: usize = 12;
/// A word that may be broken is broken into parts that are no smaller.
const LEAST: usize = 8;

/// A text as lines of at most `width` columns. It may have an indentation; the lines behind the first stand further in.
pub(super) fn wrapped(text: &str, width: u16) -> Vec<String> {
    let words = text.trim_start_matches(' ');
    let indent = &text[..text.len() - words.len()];
    hanging(indent, words, width, indent.len() + FURTHER)
}

/// The same behind something that stays as it is; the lines behind the first begin with so many spaces.
pub(super) fn hanging(first: &str, text: &str, width: u16, behind: usize) -> Vec<String> {
    let width = usize::from(width);
    if columns(first) + columns(text) <= width {
        return vec![format!("{first}{text}")];
    }
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    let begin = || " ".repeat(behind.min(width / 2));
    for piece in pieces(text) {
        let gap = usize::from(!is_empty);
        if !is_empty && columns(&line) + gap + columns(piece) > width {
            lines.push(std::mem::replace(&mut line, begin()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        is_empty = false;
        let mut rest = piece;
        while columns(&line) + columns(rest) > width && !is_whole(rest) {
            let room = width.saturating_sub(columns(&line)).max(1);
            let (now, later) = rest.split_at(end_of(rest, room));
            line.push_str(now);
            lines.push(std::mem::replace(&mut line, begin()));
            rest = later;
        }
        line.push_str(rest);
    }
    lines.push(line);
    lines
}

/// How narrow a text can be made.
pub(super) fn narrowest(text: &str) -> usize {
    let least = |piece: &str| if is_whole(piece) { columns(piece) } else { columns(piece).min(LEAST) };
    pieces(text).into_iter().map(least).max().unwrap_or(0)
}

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    let mut table = Table::new();
    table.add_row([text]);
    usize::from(table.column_max_content_widths().first().copied().unwrap_or(0))
}

/// Whether a piece is to be copied as a whole.
fn is_whole(piece: &str) -> bool {
    piece.contains(['@', '.', '/', ':', ' '])
}

/// Where the part of a word ends that has room; at least one character has.
fn end_of(word: &str, room: usize) -> usize {
    let ends = word.char_indices().map(|(at, c)| at + c.len_utf8());
    let fits = ends.clone().take_while(|&end| columns(&word[..end]) <= room).last();
    fits.or(ends.clone().next()).unwrap_or(word.len())
}

/// The parts of a text between which a line may end.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_matches(' ');
    while !rest.is_empty() {
        let end = end_of_piece(rest);
        pieces.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(' ');
    }
    pieces
}

/// Where the first piece ends: before a space, but not one within a command, a quotation or the distance of a time, nor one
/// between a number and what it counts.
fn end_of_piece(text: &str) -> usize {
    let word_end = |from: usize| text[from..].find(' ').map_or(text.len(), |at| from + at);
    let mut end = word_end(0);
    let first = &text[..end];
    if first.bytes().all(|b| b.is_ascii_digit()) && end < text.len() {
        let counted = word_end(end + 1);
        return if counted - end <= COUNTED { counted } else { end };
    }
    let is_command = first.trim_start_matches(['(', '`']) == "mailsluice";
    loop {
        let so_far = &text[..end];
        let is_open = if so_far.contains('`') {
            so_far.matches('`').count() % 2 == 1 && text[end..].contains('`')
        } else if is_command {
            !so_far.ends_with(ENDS)
        } else {
            first == "(in" && !so_far.contains(')')
        };
        if !is_open || end == text.len() {
            return end;
        }
        end = word_end(end + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_stays_whole() {
        for (text, want) in [
            ("", &[] as &[&str]),
            ("a  b", &["a", "b"]),
            ("until 07:00:40 (in 1h 3m): full", &["until", "07:00:40", "(in 1h 3m):", "full"]),
            ("say mailsluice queue retry 1HK2", &["say", "mailsluice queue retry 1HK2"]),
            ("it (mailsluice reload) is", &["it", "(mailsluice reload)", "is"]),
            ("then `mailsluice upstream enable a`, or", &["then", "`mailsluice upstream enable a`,", "or"]),
            ("set `enabled = true` in", &["set", "`enabled = true`", "in"]),
            ("= 0 bounced + 13 queued", &["=", "0 bounced", "+", "13 queued"]),
            ("450 averylongwordthatcounts", &["450", "averylongwordthatcounts"]),
            ("an odd ` stays one", &["an", "odd", "`", "stays", "one"]),
            ("mailsluice 0.1.0, up", &["mailsluice 0.1.0,", "up"]),
        ] {
            assert_eq!(pieces(text), want, "{text}");
        }
    }

    #[test]
    fn lines_fit_and_those_behind_stand_further_in() {
        for (text, width, want) in [
            ("short", 20, "short"),
            ("one two three four", 10, "one two\n  three\n  four"),
            ("    one two three four", 12, "    one two\n      three\n      four"),
            ("to somebody@customer.example now", 16, "to\n  somebody@customer.example\n  now"),
            ("ééééé ééééééééééé", 8, "ééééé\n  éééééé\n  ééééé"),
        ] {
            assert_eq!(wrapped(text, width).join("\n"), want, "{text}");
        }
        assert_eq!(hanging("Subject:  ", "one two", 16, 8).join("\n"), "Subject:  one\n        two");
        assert_eq!(narrowest("to a@b.example aaaaaaaaaaaaaaaaaaaa"), 11);
    }

    #[test]
    fn nothing_is_lost_at_any_width() {
        let text = "the account erp@firm.example: 535 5.7.3 no 山田 (mailsluice upstream enable m365) aaaaaaaaaaaaaaaa";
        for width in 1..=120 {
            let lines = wrapped(text, width);
            let together: String = lines.concat().replace(' ', "");
            assert_eq!(together, text.replace(' ', ""), "{width}");
        }
    }
}
