//! Requests over HTTP: what the sign-ins need of a client, and the one that goes to the network.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use secrecy::ExposeSecret;

use crate::config::Proxy;

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a request may take, with its connection and its answer.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The longest answer, in octets.
pub const LONGEST_ANSWER: usize = 1 << 20;
/// Proxies whose clients are kept; with more, all are made anew.
const MOST_PROXIES: usize = 16;

/// Sends requests and waits for the whole answer: [`REQUEST_LIMIT`] and [`LONGEST_ANSWER`] at most, without following
/// redirects, and by the proxy that is handed in alone.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// The answer to a request, whatever its status.
    ///
    /// # Errors
    /// When there is none. Neither the request nor the answer is in it.
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        proxy: Option<&Proxy>,
    ) -> Result<Response<Vec<u8>>, HttpError>;
}

/// Why there is no answer. It is the network's or the server's fault: another try may do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// It could not be reached, or the connection broke.
    #[error("{host} cannot be reached ({reason})")]
    Unreachable {
        /// Whom we wanted to reach.
        host: String,
        /// What the system, TLS or the proxy says.
        reason: String,
    },
    /// The answer did not come in time.
    #[error("{host} has not answered within {} seconds", REQUEST_LIMIT.as_secs())]
    TimedOut {
        /// Whom we had asked.
        host: String,
    },
    /// The answer is longer than anything that was asked for.
    #[error("the answer of {host} is longer than {LONGEST_ANSWER} octets")]
    TooLong {
        /// Whom we had asked.
        host: String,
    },
}

/// Sends a request by a client, and waits for [`REQUEST_LIMIT`] at most, whatever client it is.
///
/// # Errors
/// As [`HttpClient::send`].
pub(super) async fn send(
    client: &dyn HttpClient,
    request: Request<Vec<u8>>,
    proxy: Option<&Proxy>,
) -> Result<Response<Vec<u8>>, HttpError> {
    let host = host(&request);
    let answer = tokio::time::timeout(REQUEST_LIMIT, client.send(request, proxy)).await;
    answer.unwrap_or(Err(HttpError::TimedOut { host }))
}

/// Whom a request goes to.
pub(super) fn host(request: &Request<Vec<u8>>) -> String {
    request.uri().host().unwrap_or("the server").to_owned()
}

/// The client that goes to the network. TLS is verified by this machine's authorities.
#[derive(Debug, Default)]
pub struct WebClient {
    /// A client for each proxy, by its URL, which may hold a password; for no proxy, by the empty text.
    clients: Mutex<HashMap<String, reqwest::Client>>,
}

impl WebClient {
    fn client(&self, proxy: Option<&Proxy>) -> Result<reqwest::Client, reqwest::Error> {
        let url = proxy.map(Proxy::url);
        let key = url.as_ref().map_or("", ExposeSecret::expose_secret);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(key) {
            return Ok(client.clone());
        }
        // Tokens come once an hour: a connection that is kept until then only breaks.
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("mailsluice/", env!("CARGO_PKG_VERSION")));
        let builder = match &url {
            Some(url) => builder.proxy(reqwest::Proxy::all(url.expose_secret())?),
            None => builder,
        };
        let client = builder.build()?;
        if clients.len() >= MOST_PROXIES {
            clients.clear();
        }
        clients.insert(key.to_owned(), client.clone());
        Ok(client)
    }
}

#[async_trait]
impl HttpClient for WebClient {
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        proxy: Option<&Proxy>,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        let host = host(&request);
        let failed = |error: reqwest::Error| failure(&host, error);
        let client = self.client(proxy).map_err(failed)?;
        let mut answer =
            client.execute(reqwest::Request::try_from(request).map_err(failed)?).await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(HttpError::TooLong { host });
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

/// What went wrong, without the URL: it may hold more than a host.
fn failure(host: &str, error: reqwest::Error) -> HttpError {
    let host = host.to_owned();
    if error.is_timeout() {
        return HttpError::TimedOut { host };
    }
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    HttpError::Unreachable { host, reason: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each connection with these octets; with its URL.
    async fn server(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(&answer).await;
            }
        });
        url
    }

    fn post(url: &str) -> Request<Vec<u8>> {
        Request::post(url).body(b"a=b".to_vec()).unwrap()
    }

    #[tokio::test]
    async fn takes_any_answer_of_reasonable_length() {
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", 2 << 20, "x".repeat(2 << 20));
        let refused = "HTTP/1.1 400 no\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}";
        let elsewhere = "HTTP/1.1 302 go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        let client = WebClient::default();
        let ask = async |answer: &str| client.send(post(&server(answer.into()).await), None).await;
        let answer = ask(refused).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (400, &b"{}"[..]));
        assert_eq!(answer.headers()["retry-after"], "7");
        assert_eq!(ask(elsewhere).await.unwrap().status().as_u16(), 302);
        assert_eq!(ask(&long).await.unwrap_err(), HttpError::TooLong { host: "127.0.0.1".to_owned() });
        let broken = ask("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await.unwrap_err();
        assert!(matches!(broken, HttpError::Unreachable { .. }), "{broken}");
    }

    #[tokio::test]
    async fn says_why_it_is_not_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token?hush", listener.local_addr().unwrap());
        drop(listener);
        let error = WebClient::default().send(post(&url), None).await.unwrap_err().to_string();
        assert!(error.starts_with("127.0.0.1 cannot be reached (Connection refused"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }

    #[tokio::test]
    async fn goes_by_the_proxy() {
        let proxy = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy".to_vec()).await;
        let proxy = Proxy::parse(proxy.trim_end_matches("/token")).unwrap();
        let client = WebClient::default();
        for _ in 0..2 {
            let answer = client.send(post("http://token.example/t"), Some(&proxy)).await.unwrap();
            assert_eq!(answer.body(), b"proxy");
        }
    }
}
