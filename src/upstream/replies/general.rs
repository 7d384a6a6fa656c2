//! Any server (RFC 5321, RFC 3463).

use super::row::{AppliesTo, Codes, ROW, ReplyAction, Row, StatusPattern};
use crate::upstream::error::Stage;

const LOGIN_REFUSED: &str =
    "the upstream refuses the login: check user and password, and whether it may send by SMTP";
const NEEDS_TLS: &str =
    "the upstream takes logins over TLS alone: set security to \"starttls\" (587) or \"tls\" (465)";
const TOKEN_REFUSED: &str = "the upstream refuses the token: check user, and the sign-in's scope; `mailsluice connect` signs \
     in anew";

/// What no other row is about.
pub(super) static LAST: Row =
    Row { advice: "the upstream gave an answer that has no meaning here; it is tried again", ..ROW };

pub(super) static ROWS: &[Row] = &[
    Row {
        stages: Stage::Connect..=Stage::StartTls,
        action: ReplyAction::Unavailable { scope: AppliesTo::Upstream },
        advice: "the upstream takes no connections from here at present; if it stays so, ask its operator",
        ..ROW
    },
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Class(4),
        action: ReplyAction::Unavailable { scope: AppliesTo::Account },
        advice: "the upstream can't check logins at present; user and password need not be wrong",
        token_advice: Some("the upstream can't check logins at present; the token need not be wrong"),
        ..ROW
    },
    // RFC 5248 2.4.
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Class(5),
        status: StatusPattern::Exact(5, 7, 13),
        action: ReplyAction::Stop { scope: AppliesTo::Account },
        advice: "the account is disabled at the upstream: have it enabled there, or use another",
        ..ROW
    },
    // RFC 4954 6.
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Class(5),
        status: StatusPattern::Exact(5, 7, 9),
        action: ReplyAction::Unavailable { scope: AppliesTo::Account },
        advice: "the upstream wants a stronger mechanism of this user: set auth to \"auto\", or to the strongest that it offers",
        ..ROW
    },
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Of(&[538]),
        action: ReplyAction::Unavailable { scope: AppliesTo::Account },
        advice: NEEDS_TLS,
        ..ROW
    },
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Of(&[530]),
        text: &["starttls"],
        action: ReplyAction::Unavailable { scope: AppliesTo::Account },
        advice: NEEDS_TLS,
        ..ROW
    },
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Of(&[535]),
        action: ReplyAction::Refresh,
        advice: LOGIN_REFUSED,
        token_advice: Some(TOKEN_REFUSED),
        ..ROW
    },
    Row {
        stages: Stage::Auth..=Stage::Auth,
        action: ReplyAction::Unavailable { scope: AppliesTo::Account },
        advice: LOGIN_REFUSED,
        token_advice: Some(TOKEN_REFUSED),
        ..ROW
    },
    Row {
        stages: Stage::Rcpt..=Stage::Rcpt,
        codes: Codes::Of(&[552]),
        status: StatusPattern::Meaning(2, 2),
        action: ReplyAction::Retry,
        advice: "the recipient's mailbox is full; it may be emptied before the message expires",
        ..ROW
    },
    Row {
        stages: Stage::Rcpt..=Stage::Rcpt,
        codes: Codes::Of(&[452]),
        status: StatusPattern::Meaning(2, 2),
        action: ReplyAction::Defer,
        advice: "the recipient's mailbox is full; it may be emptied before the message expires",
        ..ROW
    },
    // Old servers say 552 for "too many recipients"; it is to be read as 452 (RFC 5321 4.5.3.1.10).
    Row {
        stages: Stage::Rcpt..=Stage::Rcpt,
        codes: Codes::Of(&[452, 552]),
        action: ReplyAction::Split,
        advice: "too many recipients in one transaction: set recipients_per_message to what the upstream takes",
        ..ROW
    },
    Row {
        codes: Codes::Class(4),
        action: ReplyAction::Defer,
        advice: "a temporary refusal; it is tried again",
        ..ROW
    },
    Row {
        codes: Codes::Of(&[552]),
        status: StatusPattern::Exact(5, 3, 4),
        action: ReplyAction::Bounce,
        advice: "larger than the upstream takes: set message_size, so that it is refused before it is accepted",
        ..ROW
    },
    Row {
        codes: Codes::Class(5),
        status: StatusPattern::Exact(5, 6, 11),
        action: ReplyAction::Bounce,
        advice: "the upstream found a bare line feed, which must not leave this relay: please report it as a defect",
        ..ROW
    },
    Row {
        codes: Codes::Class(5),
        action: ReplyAction::Bounce,
        advice: "refused for good; the sender gets a report",
        ..ROW
    },
];
