//! Commands as a person types them.

use std::path::Path;

use super::context::CliContext;
use crate::report::log::escape::printable;

/// A command that reads the same configuration.
pub(super) fn command(words: &str, context: &CliContext) -> String {
    let file = context.config.as_deref().map(|file| format!(" --config {}", shell_word(file)));
    format!("mailsluice {words}{}", file.unwrap_or_default())
}

/// A path, quoted where a shell would make something else of it.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", printable(&text).replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_a_shell_would_change() {
        for (path, want) in [
            ("/etc/mailsluice/m.toml", "/etc/mailsluice/m.toml"),
            ("my file", "'my file'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), want);
        }
    }
}
