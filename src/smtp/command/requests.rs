//! The parameters of MAIL and RCPT that ask for reports (RFC 3461) and for priority (RFC 6710).

use super::CommandError;
use crate::mail::{EnvelopeId, MessageRequest, Notify, OriginalRecipient, RecipientRequest, Return};

/// Takes one parameter of MAIL; each may stand once.
pub(super) fn of_message(
    request: &mut MessageRequest,
    key: &str,
    value: Option<&str>,
) -> Result<(), CommandError> {
    match key {
        "RET" => once(&mut request.ret, value.and_then(Return::parse), "RET"),
        "ENVID" => once(&mut request.envelope_id, value.and_then(EnvelopeId::parse), "ENVID"),
        "MT-PRIORITY" => once(&mut request.priority, value.and_then(priority), "MT-PRIORITY"),
        _ => Err(CommandError::UnknownParameter),
    }
}

/// Takes one parameter of RCPT; each may stand once.
pub(super) fn of_recipient(
    request: &mut RecipientRequest,
    key: &str,
    value: Option<&str>,
) -> Result<(), CommandError> {
    match key {
        "NOTIFY" => once(&mut request.notify, value.and_then(Notify::parse), "NOTIFY"),
        "ORCPT" => once(&mut request.original, value.and_then(OriginalRecipient::parse), "ORCPT"),
        _ => Err(CommandError::UnknownParameter),
    }
}

fn once<T>(place: &mut Option<T>, value: Option<T>, name: &'static str) -> Result<(), CommandError> {
    let value = value.ok_or(CommandError::Parameter(name))?;
    place.replace(value).map_or(Ok(()), |_| Err(CommandError::Parameter(name)))
}

/// `-9` to `9`, without a plus or superfluous zeros (RFC 6710 3).
fn priority(text: &str) -> Option<i8> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let negative = digits.len() < text.len();
    let sound = matches!(digits, [b'1'..=b'9']) || (digits == b"0" && !negative);
    if sound { text.parse().ok() } else { None }
}
