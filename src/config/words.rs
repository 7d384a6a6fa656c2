//! Words for findings: values in quotes, and the name that was probably meant.

/// A value as a finding shows it: in quotes, escaped, and not too long.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    let short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

/// The name that was probably meant.
pub(super) fn nearest<'n>(typed: &str, names: &[&'n str]) -> Option<&'n str> {
    let typed = typed.to_lowercase();
    let near = |name: &&str| (distance(&typed, name), name.len());
    let best = names.iter().copied().min_by_key(near)?;
    (distance(&typed, best) <= (best.len() / 3).clamp(1, 3)).then_some(best)
}

/// How many letters must be put in, taken out, changed, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(LONGEST).collect(), b.chars().take(LONGEST).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
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
    fn shortens_what_it_quotes() {
        assert_eq!(quoted("a\"\n"), r#""a\"\n""#);
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 63);
    }
}
