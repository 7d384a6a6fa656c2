//! Talks to the running relay over its control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::failure::Failure;
use crate::control::socket::reachable;
use crate::control::view::ErrorBody;

/// The root of the interface.
const ROOT: &str = "/api/v1";
/// For the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole exchange; the relay itself gives up a little earlier.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(90);
/// The largest answer, in octets.
const MAX_ANSWER: usize = 512 * 1024 * 1024;

/// A way to one relay. Each request has a connection of its own.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    /// The configuration files that were looked for in vain.
    tried: Vec<PathBuf>,
}

/// An answer, as it came and as it was understood.
#[derive(Debug)]
pub(super) struct ApiAnswer<T> {
    /// The JSON.
    pub(super) raw: String,
    /// What it says.
    pub(super) value: T,
}

/// Path and query of a request, each part encoded.
#[derive(Debug)]
pub(super) struct RequestPath(String);

impl RequestPath {
    /// A path below the root of the interface, from its segments.
    pub(super) fn path(segments: &[&str]) -> Self {
        let mut target = ROOT.to_owned();
        for segment in segments {
            target.push('/');
            target.extend(utf8_percent_encode(segment, RESERVED));
        }
        Self(target)
    }

    /// Adds a parameter to the query when it has a value.
    pub(super) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.extend(utf8_percent_encode(value, RESERVED));
        }
        self
    }
}

/// All but the unreserved characters (RFC 3986 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Client {
    /// Of the relay that listens at this socket; `tried` are the configuration files that were looked for in vain.
    pub(super) fn new(socket: PathBuf, tried: Vec<PathBuf>) -> Self {
        Self { socket, tried }
    }

    /// Reads something.
    pub(super) fn get<T: DeserializeOwned>(&self, target: &RequestPath) -> Result<ApiAnswer<T>, Failure> {
        understand(&self.exchange(&Method::GET, target, None)?)
    }

    /// Reads octets.
    pub(super) fn get_octets(&self, target: &RequestPath) -> Result<Bytes, Failure> {
        self.exchange(&Method::GET, target, None)
    }

    /// Does something without further words.
    pub(super) fn command<T: DeserializeOwned>(
        &self,
        method: &Method,
        target: &RequestPath,
    ) -> Result<ApiAnswer<T>, Failure> {
        understand(&self.exchange(method, target, None)?)
    }

    /// Hands something over.
    pub(super) fn submit<T: DeserializeOwned>(
        &self,
        method: &Method,
        target: &RequestPath,
        body: &impl Serialize,
    ) -> Result<ApiAnswer<T>, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::Failed(error.into()))?;
        understand(&self.exchange(method, target, Some(body))?)
    }

    fn exchange(
        &self,
        method: &Method,
        target: &RequestPath,
        body: Option<Vec<u8>>,
    ) -> Result<Bytes, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Failed(error.into()))?;
        let exchange = async {
            let stream = self.connect().await?;
            timeout(EXCHANGE_TIMEOUT, converse(stream, method, target, body))
                .await
                .map_err(|_| Failure::new("the relay does not answer: look into its log"))?
        };
        let (status, body) = runtime.block_on(exchange)?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    }

    async fn connect(&self) -> Result<UnixStream, Failure> {
        let attempt = async {
            let (path, _folder) = reachable(&self.socket)?;
            timeout(CONNECT_TIMEOUT, UnixStream::connect(path)).await?
        };
        attempt.await.map_err(|error| unreachable_relay(&self.socket, &self.tried, &error))
    }
}

fn unreachable_relay(socket: &Path, tried: &[PathBuf], error: &io::Error) -> Failure {
    let path = socket.display();
    let said = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if is_locked(socket) => {
            "the relay is stopping (or starting): try again in a moment".to_owned()
        }
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!(
                "cannot reach the relay at {path}: is it running? start it with: mailsluice run (one that was started with \
                 another data_dir is found by --data-dir)"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "cannot reach the relay at {path}: permission denied; run this as the relay's user, as a member of its \
                 control_group, or as root"
            )
        }
        _ => format!("cannot reach the relay at {path}: {error}"),
    };
    if tried.is_empty() {
        return Failure::new(said);
    }
    let tried: Vec<String> = tried.iter().map(|file| file.display().to_string()).collect();
    let advice = "name the relay's folder by --data-dir, or its configuration by --config";
    Failure::new(format!("{said}; no configuration was found at {}: {advice}", tried.join(" or ")))
}

/// Whether a relay holds the lock of the folder in which the socket should be.
fn is_locked(socket: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let lock = std::fs::File::open(socket.with_file_name("lock"));
    // One that we get is given back at once, with the file.
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}

async fn converse(
    stream: UnixStream,
    method: &Method,
    target: &RequestPath,
    body: Option<Vec<u8>>,
) -> Result<(StatusCode, Bytes), Failure> {
    let broken = |error: hyper::Error| {
        Failure::Failed(anyhow::Error::new(error).context("the connection to the relay broke"))
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends when the sender is dropped or the runtime with it.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(&target.0)
        .header(HOST, "mailsluice")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .expect("method, encoded target and fixed header fields are valid");
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body =
        body.map_err(|error| Failure::new(format!("the relay's answer could not be read: {error}")))?;
    Ok((status, body.to_bytes()))
}

fn understand<T: DeserializeOwned>(body: &[u8]) -> Result<ApiAnswer<T>, Failure> {
    let raw = String::from_utf8_lossy(body).into_owned();
    match serde_json::from_str(&raw) {
        Ok(value) => Ok(ApiAnswer { raw, value }),
        Err(error) => Err(Failure::new(format!(
            "the relay's answer is not understood ({error}): is it of another version than this command?"
        ))),
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(told) if status == StatusCode::UNPROCESSABLE_ENTITY => Failure::Configuration(told.error),
        Ok(told) if status == StatusCode::BAD_REQUEST => Failure::Wrong(told.error),
        Ok(told) => Failure::new(told.error),
        Err(_) => Failure::new(format!("the relay answered with {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_relay_that_stops_from_none() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let said = || match unreachable_relay(&socket, &[], &io::ErrorKind::NotFound.into()) {
            Failure::Failed(error) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(said().contains("is it running?"), "{}", said());
        let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
        assert!(said().contains("is it running?"), "{}", said());
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(said().starts_with("the relay is stopping"), "{}", said());
    }

    #[test]
    fn targets_are_encoded() {
        let target = RequestPath::path(&["queue", "../x y"])
            .with("a", None)
            .with("b", Some("ü&="))
            .with("c", Some("+"));
        assert_eq!(target.0, "/api/v1/queue/..%2Fx%20y?b=%C3%BC%26%3D&c=%2B");
    }
}
