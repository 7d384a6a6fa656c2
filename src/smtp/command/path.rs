//! The path of MAIL and RCPT (RFC 5321 4.1.2) and the parameters behind it.

use crate::mail::lexical::outside;

/// What separates words; a tab is met kindly.
pub(super) const WHITE: [char; 2] = [' ', '\t'];

/// Splits `FROM:<path> parameters` into the path, without brackets and source route, and the parameters.
/// `None` when it is not of that form.
pub(super) fn split<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let head = argument.get(..keyword.len()).filter(|head| head.eq_ignore_ascii_case(keyword))?;
    let rest = argument[head.len()..].trim_start_matches(WHITE).strip_prefix(':')?.trim_start_matches(WHITE);
    let (path, parameters) = match rest.strip_prefix('<') {
        Some(inside) => {
            let end = unquoted(inside, b">")?;
            (strip_route(&inside[..end])?, &inside[end + 1..])
        }
        None if rest.is_empty() => return None,
        None => rest.split_at(unquoted(rest, b" \t").unwrap_or(rest.len())),
    };
    let apart = parameters.is_empty() || parameters.starts_with(WHITE);
    apart.then_some((path, parameters))
}

/// The first octet outside of a quoted string that is one of these.
fn unquoted(text: &str, wanted: &[u8]) -> Option<usize> {
    outside(text.as_bytes()).find(|(_, b)| wanted.contains(b)).map(|(at, _)| at)
}

/// `@a,@b:u@d` becomes `u@d` (RFC 5321 4.1.2: a source route is accepted and ignored).
fn strip_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    // A colon may also stand in an address literal of the route itself.
    let mut bracketed = false;
    let colon = path.bytes().position(|b| {
        match b {
            b'[' => bracketed = true,
            b']' => bracketed = false,
            _ => {}
        }
        b == b':' && !bracketed
    })?;
    let hop = |hop: &str| hop.len() > 1 && hop.starts_with('@');
    let mailbox = &path[colon + 1..];
    (!mailbox.is_empty() && path[..colon].split(',').all(hop)).then_some(mailbox)
}

/// Parameters whose value their own reader judges, whatever it is.
const FREE: [&str; 2] = ["ENVID", "ORCPT"];

/// The parameters `KEY[=VALUE]` (RFC 5321 4.1.2, `Mail-parameters`); `None` for one that breaks the grammar.
pub(super) fn parameters(text: &str) -> impl Iterator<Item = Option<(&str, Option<&str>)>> {
    text.split(WHITE).filter(|word| !word.is_empty()).map(|word| {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        };
        let key_ok = key.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let value_ok = FREE.iter().any(|free| key.eq_ignore_ascii_case(free))
            || value.is_none_or(|v| !v.is_empty() && !v.contains('='));
        (key_ok && value_ok).then_some((key, value))
    })
}
