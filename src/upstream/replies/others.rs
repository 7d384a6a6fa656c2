//! Google and Amazon.
//!
//! Replies of Google end with the mark `gsmtp`, which keeps its codes apart from those of others.

use std::time::Duration;

use super::row::{AppliesTo, Codes, Provider, ROW, ReplyAction, Row, Slow, StatusPattern};
use crate::config::Window;
use crate::upstream::error::Stage;

const GOOGLE: Row = Row { provider: Provider::Google, ..ROW };
const AMAZON: Row = Row { provider: Provider::Amazon, ..ROW };
/// Google's mark.
const GSMTP: &[&str] = &[" gsmtp"];

const fn slow(seconds: u64, connections: bool) -> ReplyAction {
    ReplyAction::Slow(Slow { connections, hard: false, wait: Duration::from_secs(seconds), insists: false })
}

const TOKEN_REFUSED: &str = "Google refuses the token: user must be the account that signed in, with the scope \
     https://mail.google.com/ (a service account needs domain-wide delegation for it); `mailsluice connect` signs in anew";
const ADDRESS_RATE: &str =
    "Google takes less mail from this address for a while: lower per_minute or connections";

pub(super) static ROWS: &[Row] = &[
    Row {
        stages: Stage::Greeting..=Stage::FinalDot,
        codes: Codes::Of(&[421]),
        status: StatusPattern::Exact(4, 7, 28),
        text: &["unusual rate of", " gsmtp"],
        action: ReplyAction::Slow(Slow {
            connections: false,
            hard: true,
            wait: Duration::from_mins(10),
            insists: false,
        }),
        advice: "Google sees unsolicited mail coming from here and holds it off: look at what is sent, lists first; \
                 see https://support.google.com/mail/?p=UnsolicitedRateLimitError",
        ..GOOGLE
    },
    Row {
        stages: Stage::Greeting..=Stage::FinalDot,
        codes: Codes::Of(&[421]),
        status: StatusPattern::Exact(4, 3, 0),
        text: GSMTP,
        action: slow(60, false),
        advice: ADDRESS_RATE,
        ..GOOGLE
    },
    Row {
        stages: Stage::Greeting..=Stage::FinalDot,
        codes: Codes::Of(&[421]),
        status: StatusPattern::Exact(4, 4, 5),
        text: GSMTP,
        action: slow(60, false),
        advice: ADDRESS_RATE,
        ..GOOGLE
    },
    Row {
        stages: Stage::Greeting..=Stage::FinalDot,
        codes: Codes::Of(&[421]),
        status: StatusPattern::Exact(4, 7, 0),
        text: GSMTP,
        action: slow(60, false),
        advice: ADDRESS_RATE,
        ..GOOGLE
    },
    Row {
        codes: Codes::Of(&[450]),
        status: StatusPattern::Exact(4, 2, 1),
        text: &["peak smtp relay limit"],
        action: slow(60, false),
        advice: "the SMTP relay of Workspace takes less per second than this: lower per_minute",
        ..GOOGLE
    },
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Of(&[454]),
        status: StatusPattern::Exact(4, 7, 0),
        text: &["too many login attempts"],
        action: ReplyAction::Unavailable { scope: AppliesTo::Account },
        advice: "too many logins in a short time; it is tried again more slowly, the password need not be wrong",
        token_advice: Some(
            "too many logins in a short time; it is tried again more slowly, the token need not be wrong",
        ),
        ..GOOGLE
    },
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Of(&[535]),
        status: StatusPattern::Exact(5, 7, 8),
        text: GSMTP,
        action: ReplyAction::Refresh,
        advice: "Google refuses the login: it takes no account password here, make an app password \
                 (https://myaccount.google.com/apppasswords) or use OAuth",
        token_advice: Some(TOKEN_REFUSED),
        ..GOOGLE
    },
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Of(&[534]),
        text: &["web browser", "webloginrequired"],
        action: ReplyAction::Refresh,
        advice: "Google takes a login from this machine for suspect until somebody has signed in as this user at a browser \
                 (https://accounts.google.com); an app password (https://myaccount.google.com/apppasswords) or OAuth spares \
                 that",
        token_advice: Some(
            "Google takes a login from this machine for suspect until somebody has signed in as this user at a browser \
             (https://accounts.google.com); then `mailsluice connect` signs in anew",
        ),
        ..GOOGLE
    },
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Of(&[534]),
        status: StatusPattern::Exact(5, 7, 9),
        text: GSMTP,
        action: ReplyAction::Refresh,
        advice: "Google wants an app password (https://myaccount.google.com/apppasswords) or OAuth for this account",
        token_advice: Some(TOKEN_REFUSED),
        ..GOOGLE
    },
    Row {
        codes: Codes::Of(&[550]),
        status: StatusPattern::Exact(5, 4, 5),
        text: &["daily"],
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::DAY },
        advice: "this account has sent what Google allows in 24 hours: set per_day to the limit of your edition",
        ..GOOGLE
    },
    Row {
        codes: Codes::Of(&[550]),
        status: StatusPattern::Exact(5, 7, 1),
        text: &["daily smtp relay limit exceeded", "daily smtp relay sending limit exceeded"],
        action: ReplyAction::Pause { scope: AppliesTo::Upstream, until: Window::DAY },
        advice: "the Workspace customer has sent what the SMTP relay allows in 24 hours: set shared_limits.per_day",
        ..GOOGLE
    },
    Row {
        codes: Codes::Of(&[454]),
        text: &["daily message quota exceeded"],
        action: ReplyAction::Pause { scope: AppliesTo::Upstream, until: Window::DAY },
        advice: "the AWS account has sent its SES quota of 24 hours: set shared_limits.per_day, or ask for more",
        ..AMAZON
    },
    Row {
        codes: Codes::Of(&[454]),
        text: &["maximum sending rate exceeded"],
        action: slow(1, false),
        advice: "SES takes fewer messages per second than this: set shared_limits.per_minute to 60 times its rate",
        ..AMAZON
    },
    Row {
        stages: Stage::Greeting..=Stage::FinalDot,
        codes: Codes::Of(&[421]),
        text: &["too many concurrent smtp connections"],
        action: slow(5, true),
        advice: "SES takes fewer connections at the same time: lower connections",
        ..AMAZON
    },
];
