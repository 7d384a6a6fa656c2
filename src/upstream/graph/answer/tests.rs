use std::time::Duration;

use http::Response;
use serde_json::json;

use super::*;
use crate::config::Window;
use crate::upstream::replies::{AppliesTo, Senders, Slow, stated_wait};
use crate::upstream::{DeferralCause, Outcome, classify};

const TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJoYnVzaCJ9.c2lnbmF0dXJl-hush";

fn response(status: u16, code: &str, message: &str) -> Response<Vec<u8>> {
    let body = json!({"error": {"code": code, "message": message,
        "innerError": {"date": "2026-11-26T10:00:00", "request-id": "7c3e"}}});
    let body = if code.is_empty() { Vec::new() } else { body.to_string().into_bytes() };
    Response::builder().status(status).body(body).unwrap()
}

fn asked(token: &SecretString, recipients: usize, as_author: bool) -> RequestFacts<'_> {
    RequestFacts { token, id: "ours", recipients, goes_as_whole: false, as_author }
}

fn results(response: &Response<Vec<u8>>, recipients: usize, as_author: bool) -> Vec<RecipientResult> {
    let token = TOKEN.into();
    let asked = asked(&token, recipients, as_author);
    GraphAnswer::read(response, &asked).results(&asked)
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Sent,
    InDoubt,
    Action(ReplyAction),
}

const STOP: Done = Done::Action(ReplyAction::Stop { scope: AppliesTo::Account });
const STOP_SENDER: Done = Done::Action(ReplyAction::StopSender(Senders::Address));
const DEFER: Done = Done::Action(ReplyAction::DeferStrange);
const BOUNCE: Done = Done::Action(ReplyAction::Bounce);
const SLOW: Done = slow(false);

const fn slow(connections: bool) -> Done {
    let wait = Duration::from_secs(15);
    Done::Action(ReplyAction::Slow(Slow { connections, hard: false, wait, insists: true }))
}

const fn pause(until: Window) -> Done {
    Done::Action(ReplyAction::Pause { scope: AppliesTo::Account, until })
}

fn done(response: &Response<Vec<u8>>, as_author: bool) -> Done {
    let results = results(response, 1, as_author);
    match &results[0].answer {
        Answer::Accepted(_) => Done::Sent,
        Answer::Unknown(_) => Done::InDoubt,
        Answer::Refused(reply) => Done::Action(row_for(Stage::Request, reply).action),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_row_of_what_graph_says() {
    for (status, code, message, want) in [
        (202, "", "", Done::Sent),
        (403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.", STOP),
        (403, "ErrorSendAsDenied", "The user account … does not have the right to send mail", STOP_SENDER),
        (404, "MailboxNotEnabledForRESTAPI", "REST API is not yet supported for this mailbox.", STOP),
        (404, "ErrorInvalidUser", "The requested user 'x' is invalid.", STOP),
        (404, "Request_ResourceNotFound", "Resource 'x' does not exist", STOP),
        (400, "ErrorInvalidRecipients", "At least one recipient isn't valid.", BOUNCE),
        (400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.", DEFER),
        (413, "", "", BOUNCE),
        (413, "RequestEntityTooLarge", "too large", BOUNCE),
        (400, "BadRequest", "Maximum request length exceeded.", BOUNCE),
        (400, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size.", BOUNCE),
        (507, "ErrorQuotaExceeded", "The mailbox is full", STOP),
        (500, "ErrorQuotaExceeded", "The mailbox is full", STOP),
        (507, "", "", STOP),
        (429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.", slow(true)),
        (429, "ApplicationThrottled", "Application is over its limit.", SLOW),
        (429, "TooManyRequests", "Too many requests", SLOW),
        (429, "", "", SLOW),
        (429, "ErrorSubmissionQuotaExceeded", "The quota was exceeded.", pause(Window::DAY)),
        (429, "CommandConcurrencyLimitReached", "…", Done::InDoubt),
        (400, "ErrorExceededMessageLimit", "…", pause(Window::DAY)),
        (403, "ErrorExceededHourlyMessageLimit", "…", pause(Window::HOUR)),
        (400, "ErrorExceededMaxRecipientLimit", "…", Done::Action(ReplyAction::Split)),
        (403, "ErrorAccountSuspend", "Account suspended. Follow the instructions.", STOP),
        (403, "ErrorMessageSubmissionBlocked", "…", STOP),
        (400, "ErrorMessageBlocked", "…", BOUNCE),
        (500, "", "", Done::InDoubt),
        (500, "ErrorInternalServerError", "An internal server error occurred.", Done::InDoubt),
        (400, "UnknownError", "", Done::InDoubt),
        (502, "BadGateway", "", Done::InDoubt),
        (504, "ErrorServerBusy", "The operation failed.", Done::InDoubt),
        (504, "", "", Done::InDoubt),
        (599, "", "", Done::InDoubt),
        (503, "", "", SLOW),
        (503, "UnknownError", "", SLOW),
        (500, "ErrorServerBusy", "The server cannot service this request right now.", SLOW),
        (500, "ErrorMailboxStoreUnavailable", "…", SLOW),
        (400, "errormessagethrottled", "…", SLOW),
        (400, "ErrorSomethingNew", "says ErrorAccessDenied: nothing", DEFER),
        (418, "", "", DEFER),
        (403, "", "<html>a proxy</html>", DEFER),
        (200, "", "", Done::InDoubt),
        (204, "", "", Done::InDoubt),
        (302, "", "", Done::InDoubt),
    ] {
        let response = response(status, code, message);
        assert_eq!(done(&response, false), want, "{status} {code} {message}");
    }
}

#[test]
fn where_the_author_is_the_mailbox_a_fault_is_that_senders() {
    for (status, code) in
        [(403, "ErrorAccessDenied"), (404, "ErrorInvalidUser"), (404, "MailboxNotEnabledForRESTAPI")]
    {
        assert_eq!(done(&response(status, code, "no"), true), STOP_SENDER, "{code}");
    }
    assert_eq!(done(&response(403, "ErrorAccountSuspend", "no"), true), STOP);
}

#[test]
fn the_answer_stands_in_the_words() {
    let mut with_header = response(403, "", "");
    with_header.headers_mut().insert("request-id", "9f1a".parse().unwrap());
    for (response, want) in [
        (
            response(403, "ErrorAccessDenied", "Access is\r\ndenied."),
            "451 4.7.1 403 ErrorAccessDenied: Access is denied. (request 7c3e)",
        ),
        (response(413, "", ""), "552 5.3.4 413 Payload Too Large: no reason is given (request ours)"),
        (with_header, "451 4.7.1 403 Forbidden: no reason is given (request 9f1a)"),
        (response(202, "", ""), "250 2.0.0 202 accepted (request ours)"),
        (
            response(504, "UnknownError", ""),
            "at the request: answered 504 UnknownError: no reason is given (request 7c3e), so that it may have been sent",
        ),
    ] {
        assert_eq!(results(&response, 1, false)[0].to_string(), want);
    }
}

#[test]
fn a_pause_that_is_asked_for_is_that_of_a_busy_server_alone() {
    for (status, code, after, want) in [
        (429, "TooManyRequests", "30", Some(30)),
        (503, "", "1", Some(1)),
        (429, "TooManyRequests", "Thu, 26 Nov 2026 10:02:00 GMT", Some(120)),
        (429, "TooManyRequests", "0", None),
        (429, "TooManyRequests", "999999999", Some(86_400)),
        (429, "TooManyRequests", "soon", None),
        (429, "ErrorSubmissionQuotaExceeded", "1", None),
        (403, "ErrorAccessDenied", "7", None),
    ] {
        let mut response = response(status, code, "Retry in 5 hours, it says.");
        response.headers_mut().insert("Retry-After", after.parse().unwrap());
        response.headers_mut().insert("date", "Thu, 26 Nov 2026 10:00:00 GMT".parse().unwrap());
        let reply = results(&response, 1, false)[0].reply().cloned().unwrap();
        let stated = stated_wait(&reply).filter(|_| reply.to_string().contains(", retry after "));
        assert_eq!(stated, want.map(Duration::from_secs), "{code} {after}: {reply}");
    }
}

#[test]
fn a_recipient_that_is_refused_is_found_by_halves() {
    let deferred = Outcome::deferred(DeferralCause::Message);
    let refused = response(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.");
    for (recipients, want) in [
        (1, vec![Outcome::Bounced]),
        (2, vec![deferred, Outcome::Later]),
        (5, vec![deferred, deferred, Outcome::Later, Outcome::Later, Outcome::Later]),
    ] {
        let outcomes: Vec<_> = results(&refused, recipients, false).iter().map(classify).collect();
        assert_eq!(outcomes, want);
    }
}

#[test]
fn nothing_of_the_token_is_shown() {
    for message in [
        format!("bad token {TOKEN}"),
        format!("header 'Bearer {TOKEN}'"),
        "of eyJhdWQiOiJoYnVzaCJ9, it says".to_owned(),
        format!("x{TOKEN}y and (c2lnbmF0dXJl-hush)"),
        format!("{}\u{1b}[2J{TOKEN}", "ü".repeat(400)),
    ] {
        for status in [401, 403, 500] {
            let response = response(status, "InvalidAuthenticationToken", &message);
            let token = TOKEN.into();
            let read = GraphAnswer::read(&response, &asked(&token, 1, false));
            for shown in
                [read.words(), read.login_reply().to_string(), results(&response, 1, false)[0].to_string()]
            {
                for part in ["hush", "eyJhdWQi", "eyJ0eXAi"] {
                    assert!(!shown.contains(part), "{part} in {shown}");
                }
                assert!(shown.chars().count() < 500 && !shown.contains(char::is_control), "{shown}");
            }
        }
    }
}

#[test]
fn a_refused_token_has_advice() {
    let response = response(401, "InvalidAuthenticationToken", "Access token has expired.");
    let token = TOKEN.into();
    let read = GraphAnswer::read(&response, &asked(&token, 1, false));
    assert!(read.is_unauthorized());
    let row = row_for(Stage::Auth, &read.login_reply());
    assert_eq!(row.action, ReplyAction::Refresh);
    assert!(row.advice.contains("Mail.Send of Microsoft Graph"));
}
