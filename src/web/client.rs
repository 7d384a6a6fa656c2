//! The client that goes to the network.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::{ExposeSecret, SecretString};

use super::{HttpClient, HttpError, HttpTerms, LONGEST_ANSWER, host};
use crate::config::Proxy;
use crate::dns::HostLookups;

/// Kinds of clients that are kept; with more, all are made anew.
const MOST_CLIENTS: usize = 16;
/// How long a connection is kept that nothing goes over. One that is kept for longer breaks while it is used.
const IDLE_LIMIT: Duration = Duration::from_secs(20);

/// The client that goes to the network. TLS is verified by this machine's authorities.
#[derive(Default)]
pub struct WebClient {
    lookups: HostLookups,
    clients: Mutex<HashMap<ClientKey, reqwest::Client>>,
}

/// What a client of the library is made for. The URL of the proxy may hold a password; without a proxy it is empty.
#[derive(PartialEq, Eq, Hash)]
struct ClientKey {
    proxy: String,
    connect_limit: Duration,
    keeps_connection: bool,
}

impl WebClient {
    /// Shares the look-ups of hosts with others.
    #[must_use]
    pub fn new(lookups: HostLookups) -> Self {
        Self { lookups, clients: Mutex::default() }
    }

    fn client(&self, terms: &HttpTerms<'_>) -> Result<reqwest::Client, reqwest::Error> {
        let url = terms.proxy.map(Proxy::url);
        let key = ClientKey {
            proxy: url.as_ref().map_or_else(String::new, |url| url.expose_secret().to_owned()),
            connect_limit: terms.connect_limit,
            keeps_connection: terms.keeps_connection,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = build(terms, url.as_ref(), self.lookups.clone())?;
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn build(
    terms: &HttpTerms<'_>,
    proxy: Option<&SecretString>,
    lookups: HostLookups,
) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(lookups)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(terms.connect_limit)
        .pool_idle_timeout(IDLE_LIMIT)
        .pool_max_idle_per_host(if terms.keeps_connection { usize::MAX } else { 0 })
        .user_agent(concat!("mailsluice/", env!("CARGO_PKG_VERSION")));
    let builder = match proxy {
        Some(url) => builder.proxy(reqwest::Proxy::all(url.expose_secret())?),
        None => builder,
    };
    builder.build()
}

impl Resolve for HostLookups {
    /// The library puts the port of the URL in the place of 0.
    fn resolve(&self, name: Name) -> Resolving {
        let lookups = self.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(lookups.addresses(name.as_str(), 0).await?.into_iter());
            Ok(addresses)
        })
    }
}

/// What it holds may be passwords.
impl std::fmt::Debug for WebClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebClient").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for WebClient {
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        terms: &HttpTerms<'_>,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        let host = host(&request);
        let failed = |error: reqwest::Error| failure(&host, terms, error);
        let client = self.client(terms).map_err(failed)?;
        let mut request = reqwest::Request::try_from(request).map_err(failed)?;
        *request.timeout_mut() = Some(terms.limit);
        let mut answer = client.execute(request).await.map_err(failed)?;
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
fn failure(host: &str, terms: &HttpTerms<'_>, error: reqwest::Error) -> HttpError {
    let host = host.to_owned();
    let is_unsent = error.is_connect() || error.is_builder();
    if error.is_timeout() && is_unsent {
        let reason = format!("no connection within {} seconds", terms.connect_limit.as_secs());
        return HttpError::Unreachable { host, reason };
    }
    if error.is_timeout() {
        return HttpError::TimedOut { host, limit: terms.limit };
    }
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let reason = cause.to_string();
    if is_unsent { HttpError::Unreachable { host, reason } } else { HttpError::Broken { host, reason } }
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

    fn terms(proxy: Option<&Proxy>) -> HttpTerms<'_> {
        let limit = Duration::from_secs(30);
        HttpTerms { proxy, connect_limit: limit, limit, keeps_connection: false }
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
        let ask = async |answer: &str| client.send(post(&server(answer.into()).await), &terms(None)).await;
        let answer = ask(refused).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (400, &b"{}"[..]));
        assert_eq!(answer.headers()["retry-after"], "7");
        assert_eq!(ask(elsewhere).await.unwrap().status().as_u16(), 302);
        assert_eq!(ask(&long).await.unwrap_err(), HttpError::TooLong { host: "127.0.0.1".to_owned() });
        let broken = ask("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await.unwrap_err();
        assert!(matches!(broken, HttpError::Broken { .. }), "{broken}");
    }

    #[tokio::test]
    async fn says_why_it_is_not_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token?hush", listener.local_addr().unwrap());
        drop(listener);
        let error = WebClient::default().send(post(&url), &terms(None)).await.unwrap_err().to_string();
        assert!(error.starts_with("127.0.0.1 cannot be reached (Connection refused"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }

    #[tokio::test]
    async fn goes_by_the_proxy() {
        let proxy = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy".to_vec()).await;
        let proxy = Proxy::parse(proxy.trim_end_matches("/token")).unwrap();
        let client = WebClient::default();
        for _ in 0..2 {
            let answer = client.send(post("http://token.example/t"), &terms(Some(&proxy))).await.unwrap();
            assert_eq!(answer.body(), b"proxy");
        }
    }
}
