//! The simulated Graph itself: it must see what a relay does wrong.

use std::time::Duration;

use axum::http::{Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::sleep;

use super::client::Client;
use super::support::office365::graph::{Answer, Incident};
use super::support::office365::{Limit, Office365, Rules};
use super::support::simulation::secs;

const USER: &str = "mailer@firm.example";
const HOUR: Duration = Duration::from_hours(1);

fn service(rules: Rules) -> (Office365, String) {
    let service = Office365::with_mailboxes(rules, &[USER, "other@firm.example"]);
    let token = service.issue_graph_token(&[USER], HOUR);
    (service, token)
}

fn request(user: &str, token: &str, message: &str) -> Request<Vec<u8>> {
    let path = format!("https://graph.microsoft.com/v1.0/users/{}/sendMail", user.replace('@', "%40"));
    let request = Request::post(path).header("authorization", format!("Bearer {token}"));
    request.header("content-type", "text/plain").body(STANDARD.encode(message).into_bytes()).unwrap()
}

async fn send(service: &Office365, token: &str, message: &str) -> Response<Vec<u8>> {
    match service.graph(request(USER, token, message)).await {
        Answer::Given(answer) => answer,
        Answer::Lost => panic!("no answer"),
    }
}

fn code(answer: &Response<Vec<u8>>) -> (u16, String) {
    let error: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    (answer.status().as_u16(), error["error"]["code"].as_str().unwrap_or_default().to_owned())
}

fn message(to: &str) -> String {
    format!("From: {USER}\r\nTo: {to}\r\nSubject: x\r\n\r\nx\r\n")
}

#[tokio::test(start_paused = true)]
async fn delivers_to_whomever_the_header_names() {
    let (service, token) = service(Rules::default());
    let header = "From: mailer@firm.example\r\nTo: \"a, b\" <a@x.example>, Team: b@x.example, (c) c@x.example;\r\n\
        to: d@x.example\r\nCC: A@x.example\r\nBcc: =?utf-8?q?e=40x?= <e@x.example>\r\nResent-To: f@x.example\r\n\r\n";
    let answer = send(&service, &token, header).await;
    assert_eq!((answer.status(), answer.body().len()), (StatusCode::ACCEPTED, 0));
    let delivered = &service.delivered()[0];
    let want = ["a", "b", "c", "d", "e", "f"].map(|name| format!("{name}@x.example"));
    assert_eq!(delivered.recipients, want);
    assert_eq!(delivered.content.as_deref(), Some(header.as_bytes()));
    assert_eq!((delivered.mailbox.as_str(), delivered.from.as_str()), (USER, USER));
}

#[tokio::test(start_paused = true)]
async fn says_what_is_wrong_with_a_request() {
    let rules = Rules { request_size: 400, recipients_per_message: 2, ..Rules::default() };
    let (service, token) = service(rules);
    service.send_as(USER, &[]);
    let elsewhere = service.issue_graph_token(&["other@firm.example"], HOUR);
    let smtp = service.issue_token(USER, HOUR);
    let fine = message("a@x.example");
    for (name, (user, token, text), want) in [
        ("no token", (USER, "", &fine), (401, "InvalidAuthenticationToken")),
        ("one for SMTP", (USER, &smtp, &fine), (401, "InvalidAuthenticationToken")),
        ("one for another mailbox", (USER, &elsewhere, &fine), (403, "ErrorAccessDenied")),
        ("nobody's mailbox", ("who@firm.example", &token, &fine), (404, "ErrorInvalidUser")),
        ("nobody to go to", (USER, &token, &"From: a@b\r\n\r\n".to_owned()), (400, "ErrorInvalidRecipients")),
        ("too many", (USER, &token, &message("a@x, b@x, c@x")), (400, "ErrorExceededMaxRecipientLimit")),
        ("too large", (USER, &token, &"x".repeat(400)), (413, "RequestEntityTooLarge")),
        (
            "somebody else",
            (USER, &token, &"From: chief@firm.example\r\nTo: a@x.example\r\n\r\n".to_owned()),
            (403, "ErrorSendAsDenied"),
        ),
    ] {
        let Answer::Given(answer) = service.graph(request(user, token, text)).await else { panic!("{name}") };
        assert_eq!(code(&answer), (want.0, want.1.to_owned()), "{name}");
    }
    assert_eq!(service.messages(), 0);
    sleep(HOUR).await;
    assert_eq!(code(&send(&service, &token, &fine).await).0, 401, "it has expired");
    let token = service.issue_graph_token(&[USER], HOUR);
    assert_eq!(code(&send(&service, &token, &fine).await).0, 202);
    service.revoke_tokens();
    assert_eq!(code(&send(&service, &token, &fine).await).0, 401);
}

#[tokio::test(start_paused = true)]
async fn counts_requests_octets_and_minutes() {
    let rules = Rules { think: secs(10), requests: 2, uploaded: 400, per_minute: 5, ..Rules::default() };
    let (service, token) = service(rules.clone());
    let fine = message("a@x.example");
    let three = || async {
        tokio::join!(
            send(&service, &token, &fine),
            send(&service, &token, &fine),
            send(&service, &token, &fine)
        )
    };
    let (one, other, third) = three().await;
    assert_eq!([&one, &other, &third].map(|answer| code(answer).0), [202, 202, 429]);
    assert_eq!(code(&third).1, "ApplicationThrottled");
    // Each is 96 octets in base64.
    for want in [202, 202, 429] {
        assert_eq!(code(&send(&service, &token, &fine).await).0, want);
    }
    let octets: Vec<_> = service.violations().iter().map(|violation| violation.limit).collect();
    assert_eq!(octets, [Limit::Requests, Limit::Uploaded]);
    service.set_rules(Rules { uploaded: u64::MAX, think: Duration::ZERO, ..rules });
    assert_eq!(code(&send(&service, &token, &fine).await).0, 202);
    let refused = send(&service, &token, &fine).await;
    assert_eq!(
        (code(&refused).1.as_str(), refused.headers()["retry-after"].as_bytes()),
        ("TooManyRequests", &b"30"[..])
    );
    // Over SMTP, the same minute is full.
    assert_eq!(&Client::login(&service, USER).await.send(USER, 1).await[..3], "421");
    assert_eq!(service.throttled().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn incidents_happen_once() {
    let (service, token) = service(Rules::default());
    let fine = message("a@x.example");
    service.upset_graph([
        Incident::RequestLost,
        Incident::TakenAnswerLost,
        Incident::TakenBut(504),
        Incident::Refused(429, "TooManyRequests", Some("Thu, 01 Jan 2099 00:00:00 GMT")),
    ]);
    for taken in [0, 1] {
        assert!(matches!(service.graph(request(USER, &token, &fine)).await, Answer::Lost));
        assert_eq!(service.messages(), taken);
    }
    assert_eq!(code(&send(&service, &token, &fine).await), (504, "UnknownError".to_owned()));
    let refused = send(&service, &token, &fine).await;
    assert_eq!(code(&refused).0, 429);
    assert!(refused.headers()["retry-after"].to_str().unwrap().contains("2099"));
    assert_eq!(code(&send(&service, &token, &fine).await).0, 202);
    assert_eq!((service.messages(), service.violations().len()), (3, 0));
    // Who goes away early has not sent, and takes nobody's place.
    service.set_rules(Rules { requests: 1, ..Rules::default() });
    service.upset_graph([Incident::Slow(secs(60))]);
    let gone = tokio::time::timeout(secs(1), service.graph(request(USER, &token, &fine))).await;
    assert!(gone.is_err());
    assert_eq!(code(&send(&service, &token, &fine).await).0, 202);
    assert_eq!(service.messages(), 4);
}
