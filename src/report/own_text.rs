//! Texts of our own mail: whatever they hold, they break out of nothing.

/// A text for a header field: it stays one line.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
