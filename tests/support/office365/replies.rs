//! The words of Exchange Online.

use super::{Limit, Rules};

/// A refusal, without CRLF, and whether the connection ends with it.
pub(super) struct Refusal {
    pub(super) text: String,
    pub(super) closes: bool,
}

impl Refusal {
    pub(super) fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), closes: false }
    }

    pub(super) fn closing(text: impl Into<String>) -> Self {
        Self { text: text.into(), closes: true }
    }
}

/// The step of the dialogue at which a trouble shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Any login.
    Login,
    /// A login by password.
    Password,
    /// MAIL.
    Mail,
    /// The final dot.
    Dot,
}

/// What an administrator, or Microsoft, has done to a mailbox or a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    SmtpAuthDisabledForMailbox,
    SmtpAuthDisabledForTenant,
    BasicAuthDisabled,
    BasicAuthGone,
    SecurityDefaults,
    ConditionalAccess,
    /// Logins can't be checked at present.
    AuthBusy,
    ServerBusy,
    SpamBlocked,
    TenantBlocked,
    LowReputation,
    UnregisteredDomain,
    /// The mailbox's own Sent Items.
    MailboxFull,
}

impl Trouble {
    pub(super) fn shows(self) -> (Step, &'static str) {
        match self {
            Self::SmtpAuthDisabledForMailbox => (
                Step::Login,
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]",
            ),
            Self::SmtpAuthDisabledForTenant => (
                Step::Login,
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]",
            ),
            Self::BasicAuthDisabled => (
                Step::Password,
                "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]",
            ),
            Self::BasicAuthGone => {
                (Step::Password, "550 5.7.30 Basic authentication is not supported for Client Submission.")
            }
            Self::SecurityDefaults => (
                Step::Password,
                "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator. [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]",
            ),
            Self::ConditionalAccess => (
                Step::Login,
                "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator. [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]",
            ),
            Self::AuthBusy => (
                Step::Login,
                "454 4.7.0 Temporary authentication failure [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]",
            ),
            Self::ServerBusy => (
                Step::Mail,
                "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719) [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]",
            ),
            Self::SpamBlocked => (Step::Dot, "550 5.1.8 Access denied, bad outbound sender AS(42004)"),
            Self::TenantBlocked => (Step::Dot, "550 5.7.705 Access denied, tenant has exceeded threshold"),
            Self::LowReputation => {
                (Step::Dot, "550 5.7.708 Access denied, traffic not accepted from this IP.")
            }
            Self::UnregisteredDomain => (
                Step::Dot,
                "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains.",
            ),
            Self::MailboxFull => (
                Step::Dot,
                "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded",
            ),
        }
    }
}

/// What a client hears that has overrun a limit.
pub(super) fn overrun(limit: Limit, rules: &Rules) -> Refusal {
    const TOO_FAST: &str = "4.4.2 Message submission rate for this client has exceeded the configured limit";
    match limit {
        Limit::Starts | Limit::Ends if rules.hangs_up => Refusal::closing(format!("421 {TOO_FAST}")),
        Limit::Starts | Limit::Ends => Refusal::of(format!("432 {TOO_FAST}")),
        Limit::Connections => Refusal::of(
            "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=AM0PR01MB0036.eurprd01.prod.exchangelabs.com]",
        ),
        Limit::RecipientsPerMessage => Refusal::of(
            "452 4.5.3 Too many recipients (AS780090) [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]",
        ),
        Limit::RecipientsPerDay => Refusal::of(
            "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception with message The message can't be submitted because the sender's submission quota was exceeded. [Hostname=AM0PR01MB0036.eurprd01.prod.exchangelabs.com]",
        ),
        Limit::ExternalRecipients => Refusal::of(
            "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit or TERRL).",
        ),
        Limit::Requests | Limit::Uploaded => unreachable!("Graph alone has these"),
    }
}

pub(super) const NOT_LOGGED_IN: &str =
    "530 5.7.57 Client not authenticated to send mail. [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]";
pub(super) const BAD_LOGIN: &str =
    "535 5.7.3 Authentication unsuccessful [AM0PR01CA0036.eurprd01.prod.exchangelabs.com]";
pub(super) const TOO_LARGE: &str = "552 5.3.4 Message size exceeds fixed maximum message size";

pub(super) fn send_as_denied(mailbox: &str, from: &str) -> String {
    format!("554 5.2.252 SendAsDenied; {mailbox} not allowed to send as {from}")
}
