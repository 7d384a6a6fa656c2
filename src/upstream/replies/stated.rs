//! The time that a reply itself states: "try again in 5 minutes".

use std::time::Duration;

use crate::smtp::Reply;

/// What is stated is believed up to this; a number that is longer means something else.
const MOST: Duration = Duration::from_hours(24);
/// Words that stand before the number.
const BEFORE: [&str; 4] = ["in", "after", "for", "wait"];
/// Only a reply with one of these speaks of when to come back.
const CALLS: [&str; 5] = ["again", "retry", "wait", "come back", "later"];

/// How long the reply asks us to wait, at least a second and at most a day; `None` when it does not say.
///
/// Reads a number with its unit behind "in", "after", "for" or "wait". The text is the upstream's: what can't be read
/// is passed over.
#[must_use]
pub fn stated_wait(reply: &Reply) -> Option<Duration> {
    let text = reply.lower_text();
    if !CALLS.iter().any(|call| text.contains(call)) {
        return None;
    }
    let is_mark = |c: char| c.is_whitespace() || ",.;:()[]!=\"".contains(c);
    let words: Vec<&str> = text.split(is_mark).filter(|word| !word.is_empty()).collect();
    words.iter().enumerate().filter(|(_, word)| BEFORE.contains(word)).find_map(|(at, _)| {
        // "for at least 5 minutes", "in about an hour": few words may stand between.
        words[at + 1..].iter().take(3).enumerate().find_map(|(skip, word)| {
            let unit = words.get(at + 2 + skip).copied().unwrap_or_default();
            length(word, unit)
        })
    })
}

/// `5` `minutes`, `300s`, `an` `hour`.
fn length(number: &str, unit: &str) -> Option<Duration> {
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    let (count, unit) = match (number, &number[digits..]) {
        ("a" | "an" | "one", _) => (1, unit),
        (_, "") => (number.parse::<u64>().ok()?, unit),
        (_, unit) => (number[..digits].parse::<u64>().ok()?, unit),
    };
    let seconds = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600,
        "day" | "days" => 86_400,
        _ => return None,
    };
    let wait = Duration::from_secs(count.checked_mul(seconds)?);
    (wait >= Duration::from_secs(1) && wait <= MOST).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_stated() {
        for (text, want) in [
            ("Greylisted, please try again in 5 minutes", Some(300)),
            ("Too many messages, retry after 60 seconds.", Some(60)),
            ("rate limited; retry after 90s", Some(90)),
            ("Please wait 2 min and try again", Some(120)),
            ("Please try again in about an hour", Some(3_600)),
            ("come back in at least 10 minutes", Some(600)),
            ("blocked for 1 hour, try again later", Some(3_600)),
            ("try again in 1 day", Some(86_400)),
            ("Server busy. Please try again later from [192.0.2.1].", None),
            ("try again in 2 days", None),
            ("try again in 0 seconds", None),
            ("try again in 99999999999999999999 seconds", None),
            ("try again in 18446744073709551615 hours", None),
            ("try again in 5", None),
            ("in 5 minutes", None),
            ("30 messages in 1 minute are allowed", None),
            ("retry in", None),
            ("", None),
        ] {
            let reply = Reply::new(451, (4, 7, 0), text);
            assert_eq!(stated_wait(&reply), want.map(Duration::from_secs), "{text}");
        }
        let lines = ["Rate exceeded, try again".to_owned(), "in 3 minutes".to_owned()];
        assert_eq!(stated_wait(&Reply::bare(421, lines.into())), Some(Duration::from_mins(3)));
    }
}
