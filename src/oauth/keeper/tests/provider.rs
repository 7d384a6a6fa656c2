//! A provider of tokens.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use serde_json::json;

use crate::oauth::testing::{self, Answer};
use crate::oauth::token::AccessToken;
use crate::web::{HttpClient, HttpError, HttpTerms};

/// What becomes of a refresh token when another is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotation {
    /// It stays good.
    Lenient,
    /// It is good no more.
    Strict,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Down,
    Slow,
    Garbage,
    Busy,
}

#[derive(Default)]
struct Books {
    refresh: HashSet<String>,
    access: HashSet<String>,
    issued: u32,
    asked: u32,
    trouble: Option<(Trouble, u32)>,
    holds_answer: bool,
    at_once: u32,
    most_at_once: u32,
}

pub(super) struct TokenProvider {
    rotation: Rotation,
    books: Arc<Mutex<Books>>,
}

/// A request under way, until it is answered or given up.
struct UnderWay(Arc<Mutex<Books>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().unwrap().at_once -= 1;
    }
}

impl TokenProvider {
    pub(super) fn new(rotation: Rotation) -> Self {
        Self { rotation, books: Arc::default() }
    }

    /// A person signs in.
    pub(super) fn grant(&self) -> String {
        let mut books = self.books();
        books.issued += 1;
        let token = format!("hush-refresh-{}", books.issued);
        books.refresh.insert(token.clone());
        token
    }

    /// So many requests fail so.
    pub(super) fn fail_next(&self, trouble: Option<Trouble>, times: u32) {
        self.books().trouble = trouble.map(|trouble| (trouble, times));
    }

    pub(super) fn heal(&self) {
        self.books().trouble = None;
    }

    /// The next answer is issued, but never arrives.
    pub(super) fn hold_next_answer(&self) {
        self.books().holds_answer = true;
    }

    pub(super) fn is_good(&self, token: &AccessToken) -> bool {
        self.books().access.contains(token.expose())
    }

    pub(super) fn issued(&self) -> u32 {
        self.books().issued
    }

    pub(super) fn asked(&self) -> u32 {
        self.books().asked
    }

    pub(super) fn most_at_once(&self) -> u32 {
        self.books().most_at_once
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn begin(&self) -> (UnderWay, Option<Trouble>) {
        let mut books = self.books();
        books.asked += 1;
        books.at_once += 1;
        books.most_at_once = books.most_at_once.max(books.at_once);
        let trouble = match &mut books.trouble {
            Some((trouble, times)) if *times > 0 => {
                *times -= 1;
                Some(*trouble)
            }
            _ => None,
        };
        (UnderWay(self.books.clone()), trouble)
    }

    /// The answer, and whether it arrives.
    fn issue(&self, presented: &str) -> (Answer, bool) {
        let mut books = self.books();
        if !books.refresh.contains(presented) {
            return (testing::json(400, &json!({"error": "invalid_grant"})), true);
        }
        if self.rotation == Rotation::Strict {
            books.refresh.remove(presented);
        }
        books.issued += 1;
        let (access, refresh) =
            (format!("hush-access-{}", books.issued), format!("hush-refresh-{}", books.issued));
        books.access.insert(access.clone());
        books.refresh.insert(refresh.clone());
        let answer = json!({"access_token": access, "refresh_token": refresh, "token_type": "Bearer",
            "expires_in": 3600});
        (testing::json(200, &answer), !std::mem::take(&mut books.holds_answer))
    }
}

#[async_trait]
impl HttpClient for TokenProvider {
    async fn send(&self, request: Request<Vec<u8>>, _: &HttpTerms<'_>) -> Answer {
        let (_under_way, trouble) = self.begin();
        let host = "token.example".to_owned();
        match trouble {
            Some(Trouble::Down) => return Err(HttpError::Unreachable { host, reason: "refused".to_owned() }),
            Some(Trouble::Slow) => tokio::time::sleep(Duration::from_mins(2)).await,
            Some(Trouble::Garbage) => return Ok(Response::new(b"<p>hush-page</p>".to_vec())),
            Some(Trouble::Busy) => return testing::json(503, &json!({})),
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
        let presented = url::form_urlencoded::parse(request.body()).find(|(key, _)| key == "refresh_token");
        let presented = presented.map(|(_, token)| token.into_owned()).unwrap_or_default();
        let (answer, arrives) = self.issue(&presented);
        if !arrives {
            std::future::pending::<()>().await;
        }
        answer
    }
}
