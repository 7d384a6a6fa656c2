//! What the words at a recipient mean.

use super::report::NotTaken;
use crate::smtp::{EnhancedStatus, Reply, parse_status};
use crate::upstream::replies::{ReplyAction, row_for};
use crate::upstream::{Stage, blacklist_candidate};

/// The code of a failure whose code is not told.
const FAILED: u16 = 550;
/// Words that speak of another cause than a mailbox that does not exist, whatever the code beside them.
const OTHER_CAUSES: [&str; 16] = [
    "spam",
    "blocked",
    "blacklist",
    "blocklist",
    "block list",
    "policy",
    "reputation",
    "greylist",
    "quota",
    "mailbox full",
    "mailbox is full",
    "too many",
    "rate limit",
    "not authenticated",
    "authentication required",
    "temporar",
];

/// Whether a text says that a mailbox does not exist: all enhanced status codes in it say so, and no word says otherwise.
pub(super) fn of_text(text: &str) -> Result<(), NotTaken> {
    let codes = FoundCodes::of(text);
    if codes.statuses.is_empty() {
        return Err(NotTaken::NoStatus);
    }
    codes.statuses.iter().try_for_each(|&status| of_status(status, codes.basic, text))
}

/// The same of a text beside a status that stands by itself. A status of no detail is one of a program that knows no others.
pub(super) fn of_status_and_text(status: Option<EnhancedStatus>, text: &str) -> Result<(), NotTaken> {
    let codes = FoundCodes::of(text);
    match status {
        None => of_text(text),
        Some((5, 0, 0)) if !codes.statuses.is_empty() => of_text(text),
        Some(status) => {
            of_status(status, codes.basic, text)?;
            if codes.statuses.is_empty() { Ok(()) } else { of_text(text) }
        }
    }
}

fn of_status(status: EnhancedStatus, basic: Option<u16>, text: &str) -> Result<(), NotTaken> {
    match status.0 {
        5 if basic.is_none_or(|code| code >= 500) => {}
        2 => return Err(NotTaken::NotFailed),
        _ => return Err(NotTaken::Transient),
    }
    let reply = Reply::new(basic.unwrap_or(FAILED), status, text);
    if !blacklist_candidate(&reply) {
        return Err(NotTaken::OtherCause);
    }
    // Before the code there may be names of servers.
    let words = text.find(&format!("{}.{}.{}", status.0, status.1, status.2)).map_or(text, |at| &text[at..]);
    let words = words.to_lowercase();
    let speaks_otherwise = OTHER_CAUSES.iter().any(|cause| words.contains(cause));
    if speaks_otherwise || row_for(Stage::Rcpt, &reply).action != ReplyAction::Bounce {
        return Err(NotTaken::Doubtful);
    }
    Ok(())
}

/// The codes in a text.
struct FoundCodes {
    /// The basic code of a reply before the first enhanced one.
    basic: Option<u16>,
    statuses: Vec<EnhancedStatus>,
}

impl FoundCodes {
    fn of(text: &str) -> Self {
        let mut codes = Self { basic: None, statuses: Vec::new() };
        let mut before = None;
        let words = text.split(|c: char| !c.is_ascii_digit() && c != '.').filter(|word| !word.is_empty());
        for word in words.map(|word| word.trim_end_matches('.')) {
            if let Some(status) = parse_status(word.as_bytes()).filter(|status| matches!(status.0, 2 | 4 | 5))
            {
                if codes.basic.is_none() {
                    codes.basic = before;
                }
                codes.statuses.push(status);
            }
            before = word.parse().ok().filter(|code| (200..600).contains(code));
        }
        codes.basic = codes.basic.or_else(|| leading_code(text));
        codes
    }
}

/// The basic code with which a text begins.
fn leading_code(text: &str) -> Option<u16> {
    let text = text.trim_start();
    let code = text.get(..3)?.parse().ok()?;
    let ends = text[3..].chars().next().is_none_or(|c| !c.is_ascii_digit() && c != '.');
    (ends && (200..600).contains(&code)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_texts() {
        for (text, want) in [
            ("550 5.1.1 <a@b.example>: User unknown", Ok(())),
            ("550-5.1.1 The account\n550 5.1.1 does not exist", Ok(())),
            ("Sorry, no mailbox here by that name. (#5.1.1)", Ok(())),
            ("'550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found'", Ok(())),
            ("host mx[192.0.2.1] said: 550 5.1.1 unknown", Ok(())),
            ("550 User unknown", Err(NotTaken::NoStatus)),
            ("450 4.1.1 unknown for now", Err(NotTaken::Transient)),
            ("450 5.1.1 odd", Err(NotTaken::Transient)),
            ("552 5.2.2 mailbox full", Err(NotTaken::OtherCause)),
            ("550 5.7.1 no", Err(NotTaken::OtherCause)),
            ("550 5.1.2 bad destination system", Err(NotTaken::OtherCause)),
            ("550 5.1.1 unknown, 550 5.7.1 rejected", Err(NotTaken::OtherCause)),
            ("550 5.1.1 Message rejected as SPAM", Err(NotTaken::Doubtful)),
            ("550 5.1.1 over quota", Err(NotTaken::Doubtful)),
            ("host mx.antispam.example said: 550 5.1.1 unknown", Ok(())),
            ("250 2.1.5 ok", Err(NotTaken::NotFailed)),
            ("", Err(NotTaken::NoStatus)),
        ] {
            assert_eq!(of_text(text), want, "{text}");
        }
    }

    #[test]
    fn judges_a_status_beside_a_text() {
        for (status, text, want) in [
            (Some((5, 1, 1)), "550 no such user", Ok(())),
            (Some((5, 1, 1)), "", Ok(())),
            (Some((5, 0, 0)), "550 5.1.1 no such user", Ok(())),
            (Some((5, 0, 0)), "550 no such user", Err(NotTaken::OtherCause)),
            (Some((5, 7, 1)), "550 5.1.1 no such user", Err(NotTaken::OtherCause)),
            (Some((5, 1, 1)), "550 5.7.1 no", Err(NotTaken::OtherCause)),
            (Some((5, 1, 1)), "450 later", Err(NotTaken::Transient)),
            (Some((4, 4, 7)), "", Err(NotTaken::Transient)),
            (None, "550 5.1.1 no such user", Ok(())),
        ] {
            assert_eq!(of_status_and_text(status, text), want, "{status:?} {text}");
        }
    }
}
