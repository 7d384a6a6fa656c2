//! Times and sizes with their unit in the value: `"30s"`, `"35MiB"`.

use std::time::Duration;

use super::ByteSize;

/// The longest time that any key takes. Far below what clocks and timers can hold.
pub(super) const TEN_YEARS: Duration = Duration::from_hours(3_650 * 24);

/// What to write where a time is wanted.
pub(super) const WRITE_TIME: &str =
    r#"write a number and its unit, such as "500ms", "30s", "5m", "2h" or "1d""#;
/// What to write where a time or never is wanted.
pub(super) const WRITE_TIME_OR_NEVER: &str =
    r#"write a number and its unit, such as "4h" or "1d", or "never""#;
/// What to write where a size is wanted.
pub(super) const WRITE_SIZE: &str = r#"write a number and its unit, such as "64KiB", "35MiB" or "1GiB""#;

/// Reads a time such as `30s`. Units: `ms`, `s`, `m`, `h`, `d`, `w`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(milliseconds)?))
}

/// Reads a size such as `35MiB`. Units: none or `B`, `KiB`, `MiB`, `GiB`, and `kB`, `MB`, `GB` of thousands.
pub(super) fn size(text: &str) -> Option<ByteSize> {
    let (number, unit) = split(text)?;
    let octets = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    Some(ByteSize(number.checked_mul(octets)?))
}

/// A time as one would write it.
pub(super) fn show(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let (unit, name) = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit))
        .unwrap_or((1, "ms"));
    format!("{}{name}", milliseconds / unit)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        for (text, want) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("2 h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("1w", Some(604_800_000)),
            ("0s", Some(0)),
            ("30", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5h", None),
            ("1h30m", None),
            ("30S", None),
            ("99999999999999999999s", None),
            ("999999999999999999w", None),
        ] {
            assert_eq!(duration(text), want.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn reads_sizes() {
        for (text, want) in [
            ("1000", Some(1_000)),
            ("7B", Some(7)),
            ("64KiB", Some(65_536)),
            ("35 MiB", Some(36_700_160)),
            ("2GiB", Some(2_147_483_648)),
            ("150MB", Some(150_000_000)),
            ("1 kB", Some(1_000)),
            ("2GB", Some(2_000_000_000)),
            ("35Mb", None),
            ("35M", None),
            ("35 mib", None),
            ("MiB", None),
            ("99999999999999GiB", None),
        ] {
            assert_eq!(size(text), want.map(ByteSize), "{text:?}");
        }
    }

    #[test]
    fn shows_times_as_they_are_written() {
        for text in ["500ms", "30s", "5m", "2h", "5d"] {
            assert_eq!(duration(text).map(show).as_deref(), Some(text));
        }
    }
}
