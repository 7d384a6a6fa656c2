//! Words for findings: values in quotes, and the name that was probably meant.

/// A value as a finding shows it: in quotes, escaped, and not too long.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    let short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

/// The name that was probably meant: the one that the fewest letters must be put in, taken out, changed or swapped for.
pub(super) fn nearest<'n>(typed: &str, names: &[&'n str]) -> Option<&'n str> {
    let typed = typed.to_lowercase();
    let distance = |name: &str| strsim::osa_distance(&typed, name);
    let best = names.iter().copied().min_by_key(|name| (distance(name), name.len()))?;
    (distance(best) <= (best.len() / 3).clamp(1, 3)).then_some(best)
}

/// All names in quotes: `"a", "b" or "c"`.
pub(super) fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_what_was_meant() {
        let names = ["port", "host", "password", "retry_min", "retry_max", "filter"];
        for (typed, want) in [
            ("prot", Some("port")),
            ("Host", Some("host")),
            ("pasword", Some("password")),
            ("passwrod", Some("password")),
            ("retry_mim", Some("retry_min")),
            ("filters", Some("filter")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &names), want, "{typed}");
        }
    }

    #[test]
    fn lists_names() {
        for (names, want) in [(&[][..], ""), (&["a"], r#""a""#), (&["a", "b", "c"], r#""a", "b" or "c""#)] {
            assert_eq!(one_of(names.iter().copied()), want);
        }
    }

    #[test]
    fn shortens_what_it_quotes() {
        assert_eq!(quoted("a\"\n"), r#""a\"\n""#);
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 63);
    }
}
