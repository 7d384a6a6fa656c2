//! The parameters of MAIL and RCPT that ask for reports (RFC 3461) and for priority (RFC 6710).

use super::CommandError;
use crate::mail::{EnvelopeId, MessageRequest, Notify, OriginalRecipient, RecipientRequest, Return};

/// A parameter that breaks its own grammar. It only names things for reports, so that it is passed over, and the mail goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredParameter {
    /// `ENVID` or `ORCPT`.
    pub name: &'static str,
    /// What the client wrote; escape it where it leaves.
    pub value: String,
}

/// Takes one parameter of MAIL; each may stand once.
pub(super) fn of_message(
    request: &mut MessageRequest,
    passed_over: &mut Option<IgnoredParameter>,
    key: &str,
    value: Option<&str>,
) -> Result<(), CommandError> {
    match key {
        "RET" => once(&mut request.ret, value.and_then(Return::parse), "RET"),
        "ENVID" => {
            let id = value.and_then(EnvelopeId::parse).ok_or_else(|| ignored("ENVID", value));
            once_or_ignored(&mut request.envelope_id, passed_over, id, "ENVID")
        }
        "MT-PRIORITY" => once(&mut request.priority, value.and_then(priority), "MT-PRIORITY"),
        _ => Err(CommandError::UnknownParameter),
    }
}

/// Takes one parameter of RCPT; each may stand once.
pub(super) fn of_recipient(
    request: &mut RecipientRequest,
    passed_over: &mut Option<IgnoredParameter>,
    key: &str,
    value: Option<&str>,
) -> Result<(), CommandError> {
    match key {
        "NOTIFY" => once(&mut request.notify, value.and_then(Notify::parse), "NOTIFY"),
        "ORCPT" => {
            let original = value.and_then(OriginalRecipient::parse).ok_or_else(|| ignored("ORCPT", value));
            once_or_ignored(&mut request.original, passed_over, original, "ORCPT")
        }
        _ => Err(CommandError::UnknownParameter),
    }
}

fn ignored(name: &'static str, value: Option<&str>) -> IgnoredParameter {
    IgnoredParameter { name, value: value.unwrap_or_default().to_owned() }
}

/// Takes a value that is sound, or notes the one that is not.
fn once_or_ignored<T>(
    place: &mut Option<T>,
    ignored: &mut Option<IgnoredParameter>,
    value: Result<T, IgnoredParameter>,
    name: &'static str,
) -> Result<(), CommandError> {
    if place.is_some() || ignored.is_some() {
        return Err(CommandError::Parameter(name));
    }
    match value {
        Ok(value) => *place = Some(value),
        Err(unsound) => *ignored = Some(unsound),
    }
    Ok(())
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
