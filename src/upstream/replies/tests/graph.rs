//! What Microsoft Graph says, as its answers are put into replies (`upstream::graph`).

use super::*;

const fn busy(connections: bool) -> ReplyAction {
    ReplyAction::Slow(Slow { connections, hard: false, wait: Duration::from_secs(15), insists: true })
}

#[rustfmt::skip]
pub(super) const SAID: &[(Stage, &str, ReplyAction)] = &[
    (Auth, "535 5.7.8 401 InvalidAuthenticationToken: Access token has expired or is not yet valid. (request 7c3e)", Refresh),
    (Request, "450 4.1.8 404 ErrorInvalidUser: The requested user 'x@firm.example' is invalid. (request 7c3e)", STOP_SENDER),
    (Request, "550 5.1.8 not sent: the filter of the upstream does not cover the mailbox <ceo@firm.example>", STOP_SENDER),
    (Request, "451 4.7.1 403 ErrorSendAsDenied: The user account which was used to submit this request does not have the right to send mail on behalf of the specified sending account. (request 7c3e)", STOP_SENDER),
    (Request, "451 4.7.1 403 ErrorAccessDenied: Access is denied. Check credentials and try again. (request 7c3e)", STOP),
    (Request, "451 4.3.0 404 MailboxNotEnabledForRESTAPI: The mailbox is either inactive, soft-deleted, or is hosted on-premise. (request 7c3e)", STOP),
    (Request, "451 4.3.0 404 ErrorInvalidUser: The requested user 'x@firm.example' is invalid. (request 7c3e)", STOP),
    (Request, "451 4.3.0 404 Request_ResourceNotFound: Resource 'x' does not exist or one of its queried reference-property objects are not present. (request 7c3e)", STOP),
    (Request, "452 4.2.2 507 ErrorQuotaExceeded: The process failed to get the correct properties. (request 7c3e)", STOP),
    (Request, "451 4.7.1 403 ErrorAccountSuspend: Account suspended. Follow the instructions in your Inbox to verify your account. (request 7c3e)", STOP),
    (Request, "451 4.7.1 403 ErrorMessageSubmissionBlocked: Cannot send mail. Follow the instructions in your Inbox to verify your account. (request 7c3e)", STOP),
    (Request, "550 5.1.3 400 ErrorInvalidRecipients: At least one recipient is not valid. (request 7c3e)", Bounce),
    (Request, "451 4.5.3 400 ErrorInvalidRecipients: At least one recipient is not valid. (request 7c3e)", Split),
    (Request, "451 4.3.0 400 ErrorExceededMaxRecipientLimit: The number of recipients exceeds the limit. (request 7c3e)", Split),
    (Request, "552 5.3.4 413 Payload Too Large: no reason is given (request 7c3e)", Bounce),
    (Request, "550 5.7.1 400 ErrorMessageBlocked: The message was blocked. (request 7c3e)", Bounce),
    (Request, "451 4.3.2 429 ErrorSubmissionQuotaExceeded: The submission quota was exceeded. (request 7c3e)", PAUSE),
    (Request, "451 4.3.0 400 ErrorExceededMessageLimit: The message limit was exceeded. (request 7c3e)", PAUSE),
    (Request, "451 4.3.0 400 ErrorExceededHourlyMessageLimit: The hourly limit was exceeded. (request 7c3e)", ReplyAction::Pause { scope: AppliesTo::Account, until: Window::HOUR }),
    (Request, "451 4.3.2 429 ApplicationThrottled: Application is over its MailboxConcurrency limit. (request 7c3e)", busy(true)),
    (Request, "451 4.3.2 429 TooManyRequests, retry after 30 seconds: Too many requests. (request 7c3e)", busy(false)),
    (Request, "451 4.3.2 503 ErrorServerBusy: The server is too busy. (request 7c3e)", busy(false)),
    (Request, "451 4.3.0 400 ErrorMimeContentInvalidBase64String: Invalid base64 string for MIME content. (request 7c3e)", DeferStrange),
    (Request, "451 4.3.0 400 ErrorSomethingNew: Who knows. (request 7c3e)", DeferStrange),
];
