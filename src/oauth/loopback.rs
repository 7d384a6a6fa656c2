//! The address on this machine to which a browser comes back after a sign-in (RFC 8252 7.3).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY};
use http::{Method, Request, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

use super::interactive::{Authorization, RedirectError};

/// How long a browser may take for one request.
const VISIT_LIMIT: Duration = Duration::from_secs(10);
/// Connections at the same time: a browser opens some on suspicion.
const MAX_VISITS: usize = 8;
/// The longest head of a request, in octets.
const LONGEST_HEAD: usize = 64 * 1024;

/// What a browser brought.
type Brought = Result<SecretString, RedirectError>;

/// Listens for the browser, on this machine alone, at a port that is free.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    port: u16,
}

impl Loopback {
    /// Begins to listen.
    ///
    /// # Errors
    /// When no port is to be had.
    pub async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until a browser brings the answer to this sign-in, and takes one. What else comes is refused: a page that somebody
    /// made up can neither give us a code nor end the wait. For how long to wait is the caller's affair.
    ///
    /// # Errors
    /// When the provider's answer is no.
    pub async fn receive(&self, begun: &Arc<Authorization>) -> Brought {
        let (bring, mut brought) = mpsc::channel(1);
        let free = Arc::new(Semaphore::new(MAX_VISITS));
        let mut visits = JoinSet::new();
        loop {
            let arrival = async {
                let permit = free.clone().acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            tokio::select! {
                Some(answer) = brought.recv() => {
                    // The page that says so goes out first; connections that say nothing are dropped in time.
                    let all = async { while visits.join_next().await.is_some() {} };
                    let _ = timeout(VISIT_LIMIT, all).await;
                    return answer;
                }
                (permit, accepted) = arrival => {
                    let Ok((stream, _)) = accepted else { continue };
                    let visit = Visit { begun: begun.clone(), port: self.port, bring: bring.clone() };
                    visits.spawn(async move {
                        let _permit = permit;
                        let _ = timeout(VISIT_LIMIT, visit.serve(stream)).await;
                    });
                }
                Some(_) = visits.join_next() => {}
            }
        }
    }
}

/// One connection of a browser.
struct Visit {
    begun: Arc<Authorization>,
    port: u16,
    bring: mpsc::Sender<Brought>,
}

impl Visit {
    fn serve(self, stream: TcpStream) -> impl Future<Output = Result<(), hyper::Error>> {
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let answer = self.answer(&request);
            async { Ok::<_, Infallible>(answer) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(VISIT_LIMIT)
            .keep_alive(false)
            .max_buf_size(LONGEST_HEAD);
        http.serve_connection(TokioIo::new(stream), service)
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<String> {
        const NOTHING: &str = "There is nothing here.";
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        // Another name that leads here is somebody's trick (DNS rebinding).
        let is_ours = ["127.0.0.1", "localhost"].iter().any(|name| host == format!("{name}:{}", self.port));
        if !is_ours || request.method() != Method::GET || request.uri().path() != "/" {
            return page(StatusCode::NOT_FOUND, NOTHING);
        }
        let address = format!("http://{host}/?{}", request.uri().query().unwrap_or_default());
        let Ok(address) = Url::parse(&address) else { return page(StatusCode::NOT_FOUND, NOTHING) };
        let answer = self.begun.code(&address);
        let words = match &answer {
            Ok(_) => "You have signed in and may close this window. What follows is in the terminal.",
            Err(RedirectError::Refused(_)) => {
                "The sign-in has failed. Why, and what to do, is in the terminal."
            }
            Err(_) => {
                const ANOTHER: &str = "This is not the answer to the sign-in that waits. Take the link that Mailsluice shows now.";
                return page(StatusCode::BAD_REQUEST, ANOTHER);
            }
        };
        // One answer is enough: a second one finds the channel full.
        let _ = self.bring.try_send(answer);
        page(StatusCode::OK, words)
    }
}

/// A page of fixed words: nothing of a request is ever on it.
fn page(status: StatusCode, words: &'static str) -> Response<String> {
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Mailsluice</title><p>{words}</p></html>\n"
    );
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'")
        .header(REFERRER_POLICY, "no-referrer")
        .header(CACHE_CONTROL, "no-store")
        .body(body)
        .expect("fixed header fields are valid")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::oauth::testing::{self, Scripted};
    use crate::oauth::{Resource, TokenEndpoint};
    use crate::time::{SystemClock, Timeline};
    use secrecy::ExposeSecret as _;

    async fn visit(port: u16, head: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn takes_the_answer_to_this_sign_in_alone() {
        let timeline = Timeline::resume(Arc::new(SystemClock), None);
        let sign_in = Arc::new(testing::sign_in("authorization_code"));
        let endpoint = TokenEndpoint::new(sign_in, Scripted::new([]), timeline);
        let loopback = Loopback::open().await.unwrap();
        let port = loopback.port();
        let redirect = Url::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        let begun = Arc::new(endpoint.authorization(Resource::Smtp, &redirect).unwrap());
        let state = begun.url.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
        let waiting = tokio::spawn(async move { loopback.receive(&begun).await });
        // Connections on which nothing comes keep nobody from the door.
        let mut silent = Vec::new();
        for _ in 0..MAX_VISITS - 1 {
            silent.push(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap());
        }
        let own = format!("Host: 127.0.0.1:{port}");
        for (head, want) in [
            (format!("GET /favicon.ico HTTP/1.1\r\n{own}"), "404"),
            (format!("POST /?code=c&state={state} HTTP/1.1\r\n{own}"), "404"),
            (format!("GET /?code=c&state={state} HTTP/1.1\r\nHost: evil.example:{port}"), "404"),
            (format!("GET /?code=c&state={state} HTTP/1.1"), "404"),
            (format!("GET /?code=hush&state=<script> HTTP/1.1\r\n{own}"), "400"),
            (format!("GET /?code=hush HTTP/1.1\r\n{own}"), "400"),
            (format!("GET / HTTP/1.1\r\n{own}"), "400"),
            (format!("GET /?code=hush-code&state={state} HTTP/1.1\r\n{own}"), "200"),
        ] {
            let answer = visit(port, &head).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {want}")), "{head}: {answer}");
            assert!(!answer.contains("hush") && !answer.contains("<script>"), "{answer}");
        }
        drop(silent);
        assert_eq!(waiting.await.unwrap().unwrap().expose_secret(), "hush-code");
    }
}
