use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::mpsc;
use url::Url;

use super::*;
use crate::config::Timeouts;
use crate::content::SplitContent;
use crate::mail::{Body, QueueId, ReversePath};
use crate::oauth::{AccessToken, Resource, SignIns, TokenFeed, TokenState, TokenUser};
use crate::upstream::{ConnectStep, Requests, TokenLogin, Watched};

type Answered = Result<Response<Vec<u8>>, HttpError>;

/// Gives one answer after the other; with none left it answers never.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Answered>>,
    asked: Mutex<Vec<Request<Vec<u8>>>>,
}

#[async_trait]
impl HttpClient for Scripted {
    async fn send(&self, request: Request<Vec<u8>>, terms: &HttpTerms<'_>) -> Answered {
        assert!(terms.keeps_connection);
        self.asked.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Scripted {
    /// Method, path and login of each request.
    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let login = |request: &Request<Vec<u8>>| {
            let login =
                request.headers().get("authorization").map(|login| login.to_str().unwrap().to_owned());
            login.unwrap_or_default()
        };
        asked
            .iter()
            .map(|request| format!("{} {} {}", request.method(), request.uri().path(), login(request)))
            .collect()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "other answers are faults")]
fn answer(status: u16, code: &str) -> Answered {
    let body = if code.is_empty() { Vec::new() } else { json!({"error": {"code": code}}).to_string().into() };
    Ok(Response::builder().status(status).header("request-id", "7c3e").body(body).unwrap())
}

struct World {
    http: Arc<Scripted>,
    feed: TokenFeed,
    client: Arc<GraphClient>,
    hub: Arc<DialogueHub>,
}

fn world(answers: impl IntoIterator<Item = Answered>, mailbox: GraphMailbox) -> World {
    let http =
        Arc::new(Scripted { answers: Mutex::new(answers.into_iter().collect()), ..Scripted::default() });
    let sign_ins = SignIns::new(http.clone());
    let feed = sign_ins.feed("m365", Resource::Graph);
    feed.set(ready("hush-1"));
    let graph = Graph {
        preset: None,
        mailbox,
        base_url: Url::parse("http://127.0.0.1:1").unwrap(),
        large: None,
        proxy: None,
        timeouts: Timeouts::default(),
    };
    let token = sign_ins.handle("m365", Resource::Graph);
    let login = TokenLogin::new("office@firm.example".to_owned(), token, TokenUser::default());
    let filter = vec![Filter::parse("firm.example").unwrap()];
    let hub = Arc::new(DialogueHub::new("graph"));
    let client = GraphClient::new(graph, filter, Some(Credentials::Token(login)), sign_ins.http());
    World { http, feed, client: Arc::new(client.heard_in(hub.clone())), hub }
}

fn office() -> GraphMailbox {
    GraphMailbox::Address(Address::parse("office@firm.example").unwrap())
}

fn ready(token: &str) -> TokenState {
    TokenState::Ready(AccessToken::new(token.into()))
}

async fn send(
    world: &World,
    content: &[u8],
    delivery: DeliveredBy,
) -> Result<TransactionResult, ConnectError> {
    send_as(world, content, delivery, false).await
}

async fn send_as(
    world: &World,
    content: &[u8],
    delivery: DeliveredBy,
    goes_as_whole: bool,
) -> Result<TransactionResult, ConnectError> {
    let recipients = ["b@dest.example", "c@dest.example"].map(|to| Address::parse(to).unwrap());
    let message = Outgoing {
        queue_id: &QueueId::new(0, 0),
        reverse_path: &ReversePath::Null,
        envelope: &recipients,
        recipients: &recipients,
        body: Body::SevenBit,
        smtputf8: false,
        content: &SplitContent::memory(content.into()),
        delivery,
        requests: Requests::default(),
        goes_as_whole,
    };
    let mut link = world.client.open().await?;
    let result = link.send(&message).await;
    assert!(!link.is_under_way());
    result.map_err(|error| match error {
        SendError::Unreachable(error) => error,
        SendError::Unread(error) => panic!("{error}"),
    })
}

const MAIL: &[u8] = b"From: a@firm.example\r\nTo: b@dest.example\r\n\r\nhush-body\r\n";

#[tokio::test]
async fn one_request_for_all_recipients() {
    let world = world([answer(202, "")], office());
    let result = send(&world, MAIL, DeliveredBy::Header).await.unwrap();
    assert_eq!(result.recipients.len(), 2);
    for each in &result.recipients {
        assert_eq!(each.to_string(), "250 2.0.0 202 accepted (request 7c3e)");
        assert!(each.is_taken());
    }
    assert_eq!(world.http.asked(), ["POST /v1.0/users/office@firm.example/sendMail Bearer hush-1"]);
}

#[tokio::test]
async fn what_was_not_made_for_it_never_leaves() {
    let world = world([], office());
    let result = send(&world, MAIL, DeliveredBy::Envelope).await.unwrap();
    assert!(result.recipients.iter().all(|each| each.answer == Answer::Failed(DialogueFault::NotByHeader)));
    assert!(world.http.asked().is_empty());
}

#[tokio::test]
async fn the_author_is_the_mailbox_where_the_filter_covers_it() {
    let world = world([answer(202, "")], GraphMailbox::From);
    assert!(send(&world, MAIL, DeliveredBy::Header).await.unwrap().recipients[0].is_taken());
    let foreign = send(&world, b"From: ceo@big.example\r\n\r\n", DeliveredBy::Header).await.unwrap();
    let reply = foreign.recipients[0].refusal().unwrap();
    assert!(reply.to_string().starts_with("550 5.1.8 not sent: "), "{reply}");
    assert_eq!(world.http.asked(), ["POST /v1.0/users/a@firm.example/sendMail Bearer hush-1"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_is_in_doubt_and_not_repeated() {
    let broken = HttpError::Broken { host: "h".to_owned(), reason: "reset".to_owned() };
    for answers in [vec![], vec![Err(broken)], vec![answer(504, "")], vec![answer(200, "")]] {
        let world = world(answers, office());
        let result = send(&world, MAIL, DeliveredBy::Header).await.unwrap();
        for each in &result.recipients {
            assert!(each.possible_duplicate(), "{each}");
        }
        assert_eq!(world.http.asked().len(), 1);
    }
}

#[tokio::test]
async fn who_is_not_reached_has_nothing_of_the_message() {
    let down = HttpError::Unreachable { host: "h".to_owned(), reason: "Connection refused".to_owned() };
    let error = send(&world([Err(down)], office()), MAIL, DeliveredBy::Header).await.unwrap_err();
    assert_eq!((error.stage, error.needs_a_person()), (Stage::Connect, false));
    assert_eq!(error.to_string(), "127.0.0.1: at connecting: no connection: Connection refused");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    for (second, is_taken) in [(answer(202, ""), true), (answer(401, "InvalidAuthenticationToken"), false)] {
        let first = answer(401, "InvalidAuthenticationToken");
        let World { http, mut feed, client, hub } = world([first, second], office());
        let keeper = tokio::spawn(async move {
            let renewal = feed.renewal().await.unwrap();
            assert_eq!(renewal.refused.expose(), "hush-1");
            feed.set(ready("hush-2"));
            let _ = renewal.done.send(());
            feed
        });
        let spare = world([], office()).feed;
        let world = World { http, feed: spare, client, hub };
        let result = send(&world, MAIL, DeliveredBy::Header).await;
        let path = "POST /v1.0/users/office@firm.example/sendMail Bearer";
        assert_eq!(world.http.asked(), [format!("{path} hush-1"), format!("{path} hush-2")]);
        match result {
            Ok(result) => assert!(is_taken && result.recipients[0].is_taken()),
            Err(error) => {
                assert!(!is_taken && matches!(error.cause, ConnectCause::LoginRefused(_)), "{error}");
                assert!(
                    error.to_string().contains("at AUTH: 535 5.7.8 401 InvalidAuthenticationToken"),
                    "{error}"
                );
                assert!(!error.to_string().contains("hush"), "{error}");
            }
        }
        keeper.await.unwrap();
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let sign_ins = SignIns::new(Arc::new(Scripted::default()));
    let world = world([], office());
    let _nobody = sign_ins.feed("other", Resource::Graph);
    let login =
        TokenLogin::new(String::new(), sign_ins.handle("other", Resource::Graph), TokenUser::default());
    let client = GraphClient::new(
        world.client.graph.clone(),
        Vec::new(),
        Some(Credentials::Token(login)),
        world.http.clone(),
    );
    let error =
        send(&World { client: Arc::new(client), ..world }, MAIL, DeliveredBy::Header).await.unwrap_err();
    assert!(error.no_token().is_some(), "{error}");
}

#[tokio::test]
async fn who_looks_on_sees_neither_token_nor_content() {
    let world = world([answer(403, "ErrorAccessDenied")], office());
    let mut watch = world.hub.watch();
    let _ = send(&world, MAIL, DeliveredBy::Header).await.unwrap();
    let mut lines = Vec::new();
    while let Watched::Line(line) = watch.next().await {
        lines.push(format!("{} {}", line.speaker.name(), line.text));
        if line.text == "the connection is closed" {
            break;
        }
    }
    let text = lines.join("\n");
    for want in [
        "client POST /v1.0/users/office@firm.example/sendMail",
        "client content-type: text/plain",
        "client client-request-id: ",
        "client [content, 55 octets]",
        "server 403 Forbidden",
        "server request-id: 7c3e",
        "none 403 ErrorAccessDenied: no reason is given (request 7c3e)",
    ] {
        assert!(text.contains(want), "{want} is missing:\n{text}");
    }
    assert!(!text.contains("hush") && !text.contains("authorization"), "{text}");
}

#[tokio::test]
async fn a_probe_sends_nothing() {
    let claims = "eyJyb2xlcyI6WyJNYWlsLlNlbmQiXX0";
    let world = world([answer(404, "")], office());
    world.feed.set(ready(&format!("e30.{claims}.c2ln")));
    let (steps, mut told) = mpsc::channel::<ConnectStep>(20);
    world.client.probe(&Observer::of_steps(steps)).await.unwrap();
    let mut shown = Vec::new();
    while let Some(step) = told.recv().await {
        shown.push(format!("{}: {}", step.name.name(), step.outcome.unwrap()));
    }
    assert_eq!(
        shown,
        [
            "resolve: 127.0.0.1",
            "connect: answers requests (HTTP 404), without TLS",
            "sign_in: there is a token with Mail.Send; mail goes as office@firm.example",
        ]
    );
    assert_eq!(world.http.asked(), ["GET /v1.0/ "]);
}
