//! Requests over HTTP: what is asked of a client, and the one that goes to the network.
//!
//! Requests, answers and proxies are known here, and never what they mean: sign-ins ask for tokens by it, upstreams send mail.

mod client;
mod error;
mod retry_after;

pub use client::WebClient;
pub use error::HttpError;
pub use retry_after::retry_after;

use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};

use crate::config::Proxy;

/// The longest answer, in octets.
pub const LONGEST_ANSWER: usize = 1 << 20;

/// On what terms a request is made.
#[derive(Debug, Clone, Copy)]
pub struct HttpTerms<'a> {
    /// Who connects in our place.
    pub proxy: Option<&'a Proxy>,
    /// How long a new connection may take.
    pub connect_limit: Duration,
    /// How long all of it may take, with the connection and the answer.
    pub limit: Duration,
    /// Whether the connection is kept for the next request to the same host on the same terms.
    pub keeps_connection: bool,
}

/// Sends requests and waits for the whole answer, [`LONGEST_ANSWER`] at most: once, on the terms that are handed in, without
/// following redirects.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// The answer to a request, whatever its status.
    ///
    /// # Errors
    /// When there is none. Neither the request nor the answer is in it.
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        terms: &HttpTerms<'_>,
    ) -> Result<Response<Vec<u8>>, HttpError>;
}

/// Sends a request by a client, and waits for no longer than the terms allow, whatever client it is.
///
/// # Errors
/// As [`HttpClient::send`].
pub async fn send(
    client: &dyn HttpClient,
    request: Request<Vec<u8>>,
    terms: &HttpTerms<'_>,
) -> Result<Response<Vec<u8>>, HttpError> {
    let host = host(&request);
    let answer = tokio::time::timeout(terms.limit, client.send(request, terms)).await;
    answer.unwrap_or(Err(HttpError::TimedOut { host, limit: terms.limit }))
}

/// Whom a request goes to.
#[must_use]
pub fn host(request: &Request<Vec<u8>>) -> String {
    request.uri().host().unwrap_or("the server").to_owned()
}
