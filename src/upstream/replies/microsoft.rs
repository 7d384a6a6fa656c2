//! Office 365 (Exchange Online), High Volume Email, Azure Communication Services.

use std::time::Duration;

use super::row::{AppliesTo, Codes, Provider, ROW, ReplyAction, Row, Senders, Slow, StatusPattern};
use crate::config::Window;
use crate::upstream::error::Stage;

use StatusPattern::{Details, Exact, Meaning};

/// A refusal behind the login.
const SENDING: Row = Row { provider: Provider::Microsoft, ..ROW };
/// A refusal of a login.
const LOGIN: Row = Row { stages: Stage::Auth..=Stage::Auth, ..SENDING };
/// A policy that refuses logins (535 5.7.139).
const POLICY: Row = Row {
    codes: Codes::Of(&[535]),
    status: Exact(5, 7, 139),
    action: ReplyAction::Stop { scope: AppliesTo::Account },
    ..LOGIN
};
const SLOW: Slow = Slow { connections: false, hard: false, wait: Duration::from_mins(1), insists: false };

const LOGIN_REFUSED: &str = "the login was refused: check user and password; or Microsoft wants OAuth, as it ends logins by \
     password: set oauth in place of password, then `mailsluice connect`";
const TOKEN_REFUSED: &str = "the token was refused: SMTP AUTH must be on for the mailbox (Set-CASMailbox -Identity MAILBOX \
     -SmtpClientAuthenticationDisabled $false; wait up to an hour), and user must be the mailbox that signed in, or one that it \
     has the right to (Add-MailboxPermission); an app needs SMTP.SendAsApp with admin consent, and Add-MailboxPermission for \
     the object id of its enterprise application";
const TOKEN_EXPIRED: &str = "the token has expired or is about to: a new one is fetched; where that is refused, too, set this \
     machine's clock right";
const NOT_PERMITTED: &str = "the account may not send as this From: give it the right (Add-RecipientPermission SENDER \
     -Trustee ACCOUNT -AccessRights SendAs), or route this sender to its own account";
const SUBMISSION_QUOTA: &str = "the mailbox has sent to the 10,000 recipients that Office 365 allows in 24 hours: its mail waits; \
     set per_day = { recipients = 10000 }, or add accounts";
const TENANT_LIMIT: &str = "the tenant has sent to as many external recipients as it may in 24 hours (TERRL): all its accounts \
     wait; set shared_limits.per_day to the tenant's limit, more accounts do not help";
const ADDRESS_RATE: &str = "Office 365 takes less mail from this machine's address for a while (throttling or greylisting); \
     it goes on more slowly";
const RELAY_DENIED: &str = "the connector or Direct Send refuses this machine: compare the inbound connector's IP address or \
     certificate with this machine's, and the recipient's domain with the tenant's accepted domains";
const TENANT_BLOCKED: &str = "Microsoft has blocked sending for this tenant: an administrator must ask support to lift it, and find \
     what sent the spam";
const SPAM_BLOCKED: &str = "the mailbox is blocked for spam: make sure that nobody else uses it, then unblock it under \
     https://security.microsoft.com/restrictedentities";

pub(super) static ROWS: &[Row] = &[
    // Too fast.
    Row {
        codes: Codes::Of(&[432]),
        status: Exact(4, 3, 2),
        text: &["concurrent connections limit exceeded", "sender thread limit exceeded"],
        action: ReplyAction::Slow(Slow { connections: true, wait: Duration::from_secs(5), ..SLOW }),
        advice: "more connections at the same time than Office 365 takes for one mailbox: set connections = 3 or less, and \
                 see that no other program uses the mailbox",
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[421, 432, 451]),
        status: Exact(4, 4, 2),
        text: &["message submission rate for this client has exceeded"],
        action: ReplyAction::Slow(SLOW),
        advice: "more than 30 messages a minute from this mailbox: set per_minute = { messages = 30 }, and see that no other \
                 program sends with it",
        ..SENDING
    },
    Row {
        stages: Stage::Greeting..=Stage::FinalDot,
        codes: Codes::Of(&[451]),
        status: Details(4, 7, 500, 699),
        action: ReplyAction::Slow(Slow { wait: Duration::from_mins(5), ..SLOW }),
        advice: ADDRESS_RATE,
        ..SENDING
    },
    Row {
        stages: Stage::Greeting..=Stage::FinalDot,
        codes: Codes::Class(4),
        status: Details(4, 7, 850, 899),
        action: ReplyAction::Slow(Slow { wait: Duration::from_mins(5), ..SLOW }),
        advice: ADDRESS_RATE,
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[450]),
        status: Exact(4, 5, 127),
        text: &["hour"],
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::HOUR },
        advice: "the hourly limit of Azure Communication Services: set per_hour to what the resource allows, or ask for more",
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[450]),
        status: Exact(4, 5, 127),
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::MINUTE },
        advice: "the limit of Azure Communication Services per minute: set per_minute and per_hour to what the resource \
                 allows, or ask for more",
        ..SENDING
    },
    // Logins.
    Row {
        codes: Codes::Of(&[454]),
        status: Exact(4, 7, 0),
        text: &["temporary authentication failure"],
        action: ReplyAction::Unavailable { scope: AppliesTo::Account },
        advice: "Office 365 can't check logins at present; user and password need not be wrong",
        token_advice: Some("Office 365 can't check logins at present; the token need not be wrong"),
        ..LOGIN
    },
    Row {
        codes: Codes::Of(&[535]),
        status: Exact(5, 7, 3),
        action: ReplyAction::Refresh,
        advice: LOGIN_REFUSED,
        token_advice: Some(TOKEN_REFUSED),
        ..LOGIN
    },
    Row {
        text: &["smtpclientauthentication is disabled for the tenant"],
        advice: "SMTP AUTH is off for the whole tenant: Set-CASMailbox -Identity MAILBOX \
                 -SmtpClientAuthenticationDisabled $false turns it on for this mailbox, Set-TransportConfig \
                 -SmtpClientAuthenticationDisabled $false for all",
        ..POLICY
    },
    Row {
        text: &["smtpclientauthentication is disabled for the mailbox"],
        advice: "SMTP AUTH is off for this mailbox: Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false; \
                 it takes effect within an hour",
        ..POLICY
    },
    Row {
        text: &["basic authentication is disabled"],
        advice: "logins by password are switched off here: use OAuth, or allow basic authentication for SMTP in the \
                 authentication policy",
        token_advice: Some(
            "the tenant takes no login for sending, not by token either: see whether SMTP AUTH is on for it and for this \
             mailbox (Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false)",
        ),
        ..POLICY
    },
    Row {
        text: &["security defaults"],
        advice: "the tenant's security defaults refuse logins by password: use OAuth, or replace them by conditional access \
                 that leaves this mailbox out",
        token_advice: Some(
            "the tenant's security defaults refuse this login: turn SMTP AUTH on for this mailbox alone (Set-CASMailbox \
             -Identity MAILBOX -SmtpClientAuthenticationDisabled $false), or replace them by conditional access",
        ),
        ..POLICY
    },
    Row {
        text: &["did not meet the criteria"],
        advice: "conditional access refuses this login: leave this mailbox, or this machine's address, out of the policy; \
                 the sign-in log in Entra names it",
        ..POLICY
    },
    Row {
        text: &["user credentials were incorrect"],
        action: ReplyAction::Refresh,
        advice: LOGIN_REFUSED,
        token_advice: Some(TOKEN_REFUSED),
        ..POLICY
    },
    Row {
        advice: "a policy of the tenant refuses this login: SMTP AUTH of the mailbox, security defaults or conditional access; \
                 the sign-in log in Entra names it",
        ..POLICY
    },
    Row {
        stages: Stage::Auth..=Stage::FinalDot,
        codes: Codes::Of(&[535, 550]),
        status: Exact(5, 7, 30),
        text: &["basic authentication is not supported"],
        action: ReplyAction::Stop { scope: AppliesTo::Account },
        advice: "Office 365 no longer takes logins by password for sending: use OAuth",
        ..SENDING
    },
    Row {
        stages: Stage::Auth..=Stage::FinalDot,
        codes: Codes::Of(&[530]),
        status: Exact(5, 7, 57),
        action: ReplyAction::Stop { scope: AppliesTo::Account },
        advice: "Office 365 takes no mail without a login here: set user and password, or use the tenant's own host with a \
                 connector",
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[535]),
        status: Details(5, 7, 142, 143),
        action: ReplyAction::Refresh,
        advice: TOKEN_EXPIRED,
        ..LOGIN
    },
    // The sender.
    Row {
        codes: Codes::Of(&[554]),
        status: Exact(5, 2, 252),
        action: ReplyAction::StopSender(Senders::Address),
        advice: NOT_PERMITTED,
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[554]),
        status: Exact(5, 2, 0),
        text: &["sendasdenied"],
        action: ReplyAction::StopSender(Senders::Address),
        advice: NOT_PERMITTED,
        ..SENDING
    },
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 7, 60),
        action: ReplyAction::StopSender(Senders::Address),
        advice: NOT_PERMITTED,
        ..SENDING
    },
    // Limits of a day, with permanent codes.
    Row {
        codes: Codes::Of(&[554]),
        status: Exact(5, 2, 0),
        text: &["submissionquotaexceeded"],
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::DAY },
        advice: SUBMISSION_QUOTA,
        ..SENDING
    },
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 1, 90),
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::DAY },
        advice: SUBMISSION_QUOTA,
        ..SENDING
    },
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 2, 2),
        text: &["submission quota exceeded", "submissionquotaexceeded"],
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::DAY },
        advice: SUBMISSION_QUOTA,
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[550]),
        status: Details(5, 7, 232, 233),
        action: ReplyAction::Pause { scope: AppliesTo::Upstream, until: Window::DAY },
        advice: TENANT_LIMIT,
        ..SENDING
    },
    // The sending mailbox itself: Exchange names its exception. A recipient's full mailbox is another matter.
    Row {
        codes: Codes::Of(&[554]),
        status: Exact(5, 2, 2),
        text: &["quotaexceeded"],
        action: ReplyAction::Stop { scope: AppliesTo::Account },
        advice: "the sending mailbox is full, as each message sent is kept in its Sent Items: empty these, give it an archive, \
                 or set a retention policy",
        ..SENDING
    },
    // Blocked.
    Row {
        codes: Codes::Of(&[550]),
        status: Exact(5, 7, 705),
        action: ReplyAction::Stop { scope: AppliesTo::Upstream },
        advice: TENANT_BLOCKED,
        ..SENDING
    },
    Row {
        stages: Stage::Greeting..=Stage::FinalDot,
        codes: Codes::Of(&[550]),
        status: Exact(5, 7, 708),
        action: ReplyAction::Stop { scope: AppliesTo::Upstream },
        advice: "Microsoft takes no mail from this address of low reputation: ask support to lift it, or send from another \
                 address; new and trial tenants often meet this",
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[550]),
        status: Exact(5, 7, 750),
        action: ReplyAction::Stop { scope: AppliesTo::Upstream },
        advice: "the tenant sends from domains that are not registered in it: add the From's domain to its accepted domains",
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[550]),
        status: Exact(5, 1, 8),
        text: &["bad outbound sender", "recognized as a valid sender"],
        action: ReplyAction::Stop { scope: AppliesTo::Account },
        advice: SPAM_BLOCKED,
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[550]),
        status: Details(5, 7, 501, 503),
        action: ReplyAction::Stop { scope: AppliesTo::Account },
        advice: SPAM_BLOCKED,
        ..SENDING
    },
    // Connectors.
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 7, 64),
        action: ReplyAction::Stop { scope: AppliesTo::Upstream },
        advice: RELAY_DENIED,
        ..SENDING
    },
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 7, 68),
        action: ReplyAction::Stop { scope: AppliesTo::Upstream },
        advice: RELAY_DENIED,
        ..SENDING
    },
    Row {
        codes: Codes::Of(&[550]),
        status: Exact(5, 4, 1),
        text: &["relay access denied"],
        action: ReplyAction::Stop { scope: AppliesTo::Upstream },
        advice: RELAY_DENIED,
        ..SENDING
    },
    // Recipients and messages.
    Row {
        codes: Codes::Of(&[550]),
        status: Exact(5, 4, 1),
        text: &["recipient address rejected"],
        action: ReplyAction::Bounce,
        advice: "there is no such recipient at the tenant",
        ..SENDING
    },
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 7, 703),
        action: ReplyAction::Bounce,
        advice: "the recipient is on the tenant's block list: Tenant Allow/Block List at https://security.microsoft.com",
        ..SENDING
    },
    Row {
        codes: Codes::Class(5),
        status: Details(5, 2, 121, 122),
        action: ReplyAction::Retry,
        advice: "the recipient gets more mail in an hour than Exchange delivers to one mailbox; it is tried again",
        ..SENDING
    },
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 7, 512),
        action: ReplyAction::Bounce,
        advice: "the header has not exactly one good From (RFC 5322 3.6.2): mend the program that makes this mail",
        ..SENDING
    },
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 7, 515),
        action: ReplyAction::StopSender(Senders::Domain),
        advice: "the sender's domain is not authenticated well enough: publish SPF and DMARC, and sign with DKIM for it",
        ..SENDING
    },
    Row {
        stages: Stage::Rcpt..=Stage::Rcpt,
        codes: Codes::Of(&[452]),
        status: Meaning(5, 3),
        action: ReplyAction::Split,
        advice: "more recipients than the mailbox may have in one message (500 unless changed), or more than 200 of one \
                 domain: set recipients_per_message",
        ..SENDING
    },
];
