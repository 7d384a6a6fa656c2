//! Talks to the running relay over its control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, LINK};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::at_rest::RelayAtRest;
use super::failure::Failure;
use super::interrupt::unless_interrupted;
pub(super) use super::request_path::RequestPath;
use crate::control::socket::reachable;
use crate::control::view::Problem;

/// For the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole exchange; the relay itself gives up a little earlier.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(90);
/// What there is to say of a relay that has taken a request and says nothing.
const SILENT: &str = "the relay does not answer: look into its log";
/// What bodies of requests are.
const JSON: &str = "application/json";
/// What a file is.
const CSV: &str = "text/csv; charset=utf-8; header=present";
/// The largest answer, in octets.
const MAX_ANSWER: usize = 512 * 1024 * 1024;

/// A way to one relay. Each request has a connection of its own.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    /// The configuration files that were looked for in vain.
    tried: Vec<PathBuf>,
    /// What answers while no relay runs, where that can be answered and may be.
    at_rest: Option<RelayAtRest>,
}

/// What is asked of the relay.
pub(super) struct ApiRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) target: &'a RequestPath,
    /// Octets that go with it.
    pub(super) body: Vec<u8>,
}

/// How an answer that goes on has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// There is no more to say.
    Ended,
    /// A person has pressed Ctrl-C.
    Interrupted,
}

/// A page of a list that may have more.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) answer: ApiAnswer<T>,
    /// Behind which entry the next page begins; none: this is the last.
    pub(super) next: Option<String>,
}

/// What came of an exchange.
struct Exchanged {
    status: StatusCode,
    body: Bytes,
    next: Option<String>,
}

/// An answer, as it came and as it was understood.
#[derive(Debug)]
pub(super) struct ApiAnswer<T> {
    /// The JSON.
    pub(super) raw: String,
    /// What it says.
    pub(super) value: T,
}

impl Client {
    /// Of the relay that listens at this socket; `tried` are the configuration files that were looked for in vain.
    pub(super) fn new(socket: PathBuf, tried: Vec<PathBuf>, at_rest: RelayAtRest) -> Self {
        Self { socket, tried, at_rest: Some(at_rest) }
    }

    /// To whom a relay at rest is no answer, since something is to be done.
    pub(super) fn of_running(self) -> Self {
        Self { at_rest: None, ..self }
    }

    /// Whether it was a relay at rest that has answered.
    pub(super) fn is_at_rest(&self) -> bool {
        self.at_rest.as_ref().is_some_and(RelayAtRest::has_answered)
    }

    /// Reads something.
    pub(super) fn get<T: DeserializeOwned>(&self, target: &RequestPath) -> Result<ApiAnswer<T>, Failure> {
        understand(&self.exchange(&Method::GET, target, None)?)
    }

    /// Reads a page of a list.
    pub(super) fn page<T: DeserializeOwned>(&self, target: &RequestPath) -> Result<Page<T>, Failure> {
        let Exchanged { body, next, .. } = self.receive(JSON, &Method::GET, target, None)?;
        Ok(Page { answer: understand(&body)?, next })
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

    /// Hands a file over.
    pub(super) fn submit_csv<T: DeserializeOwned>(
        &self,
        target: &RequestPath,
        file: String,
    ) -> Result<ApiAnswer<T>, Failure> {
        understand(&self.exchange_of(CSV, &Method::POST, target, Some(file.into_bytes()))?)
    }

    /// Copies octets as they come, however many.
    pub(super) fn copy(&self, target: &RequestPath, to: &mut impl io::Write) -> Result<(), Failure> {
        let copying = async {
            let stream = self.connect().await?;
            let request = ApiRequest { method: &Method::GET, target, body: Vec::new() };
            let response = timeout(EXCHANGE_TIMEOUT, begin(stream, request, JSON));
            let response = response.await.map_err(|_| Failure::new(SILENT))??;
            let status = response.status();
            if !status.is_success() {
                return Err(refusal(status, &collect(response).await?));
            }
            let mut body = response.into_body();
            loop {
                let frame =
                    timeout(EXCHANGE_TIMEOUT, body.frame()).await.map_err(|_| Failure::new(SILENT))?;
                let Some(frame) = frame else { return Ok(()) };
                to.write_all(frame.map_err(broken)?.data_ref().map_or(&[][..], |data| data))?;
            }
        };
        runtime()?.block_on(unless_interrupted(copying)).ok_or_else(|| Failure::new("interrupted"))?
    }

    fn exchange(
        &self,
        method: &Method,
        target: &RequestPath,
        body: Option<Vec<u8>>,
    ) -> Result<Bytes, Failure> {
        self.exchange_of(JSON, method, target, body)
    }

    fn exchange_of(
        &self,
        kind: &'static str,
        method: &Method,
        target: &RequestPath,
        body: Option<Vec<u8>>,
    ) -> Result<Bytes, Failure> {
        Ok(self.receive(kind, method, target, body)?.body)
    }

    fn receive(
        &self,
        kind: &'static str,
        method: &Method,
        target: &RequestPath,
        body: Option<Vec<u8>>,
    ) -> Result<Exchanged, Failure> {
        let request = ApiRequest { method, target, body: body.unwrap_or_default() };
        let exchange = async {
            let stream = self.connect_or_look(method, target).await?;
            let answer = async {
                let response = begin(stream, request, kind).await?;
                let (status, next) = (response.status(), next_page(response.headers()));
                Ok::<_, Failure>(Exchanged { status, next, body: collect(response).await? })
            };
            timeout(EXCHANGE_TIMEOUT, answer).await.map_err(|_| Failure::new(SILENT))?
        };
        let received = runtime()?.block_on(unless_interrupted(exchange)).ok_or_else(interrupted)??;
        let Exchanged { status, body, .. } = &received;
        if status.is_success() { Ok(received) } else { Err(refusal(*status, body)) }
    }

    /// Whether a relay runs.
    ///
    /// # Errors
    /// When that can't be told: one starts or stops just now, or we may not ask it.
    pub(super) fn finds_relay(&self) -> Result<bool, Failure> {
        match runtime()?.block_on(self.try_connect()) {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) && !is_locked(&self.socket) => Ok(false),
            Err(error) => Err(unreachable_relay(&self.socket, &self.tried, &error)),
        }
    }

    /// Asks for something whose answer goes on, and takes it line by line until it ends, or a person ends it by Ctrl-C.
    pub(super) fn follow<T: DeserializeOwned>(
        &self,
        request: ApiRequest<'_>,
        mut take: impl FnMut(T) -> Result<(), Failure>,
    ) -> Result<StreamEnd, Failure> {
        let following = async {
            let stream = self.connect().await?;
            let response = timeout(EXCHANGE_TIMEOUT, begin(stream, request, JSON));
            let response = response.await.map_err(|_| Failure::new(SILENT))??;
            let status = response.status();
            if !status.is_success() {
                return Err(refusal(status, &collect(response).await?));
            }
            let (mut body, mut lines) = (response.into_body(), LineBuffer::default());
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(broken)?;
                for line in lines.push(frame.data_ref().map_or(&[][..], |data| data)) {
                    take(understand(&line)?.value)?;
                }
            }
            Ok(StreamEnd::Ended)
        };
        runtime()?.block_on(unless_interrupted(following)).unwrap_or(Ok(StreamEnd::Interrupted))
    }

    /// A way to the relay; to its store, where it does not run and that is enough to answer this.
    async fn connect_or_look(
        &self,
        method: &Method,
        target: &RequestPath,
    ) -> Result<Box<dyn ApiStream>, Failure> {
        let error = match self.try_connect().await {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error) => error,
        };
        let at_rest = self.at_rest.as_ref().filter(|_| RelayAtRest::knows(method, target.as_str()));
        match at_rest.filter(|_| is_absent(&error) && !is_locked(&self.socket) && self.may_have_a_store()) {
            Some(at_rest) => Ok(Box::new(at_rest.connect(target.as_str()).await?)),
            None => Err(unreachable_relay(&self.socket, &self.tried, &error)),
        }
    }

    /// Whether it is known where a store is: where no configuration was found, the folder is a guess.
    fn may_have_a_store(&self) -> bool {
        self.tried.is_empty() || self.socket.parent().is_some_and(Path::exists)
    }

    async fn connect(&self) -> Result<UnixStream, Failure> {
        let connected = self.try_connect().await;
        connected.map_err(|error| unreachable_relay(&self.socket, &self.tried, &error))
    }

    async fn try_connect(&self) -> io::Result<UnixStream> {
        let (path, _folder) = reachable(&self.socket)?;
        timeout(CONNECT_TIMEOUT, UnixStream::connect(path)).await?
    }
}

/// What a request goes over.
trait ApiStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> ApiStream for S {}

/// The lines of an answer that comes in pieces.
#[derive(Default)]
struct LineBuffer(Vec<u8>);

impl LineBuffer {
    /// Adds a piece, and takes out what is complete.
    fn push(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        self.0.extend_from_slice(piece);
        let Some(last) = self.0.iter().rposition(|&octet| octet == b'\n') else { return Vec::new() };
        let rest = self.0.split_off(last + 1);
        let whole = std::mem::replace(&mut self.0, rest);
        whole.split(|&octet| octet == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }
}

pub(super) fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(error.into()))
}

/// A person has pressed Ctrl-C while the relay had a request.
fn interrupted() -> Failure {
    Failure::new("interrupted: the relay may do it all the same")
}

/// Whether nobody listens there.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn unreachable_relay(socket: &Path, tried: &[PathBuf], error: &io::Error) -> Failure {
    let path = socket.display();
    let said = match error.kind() {
        _ if is_absent(error) && is_locked(socket) => {
            "the relay is stopping (or starting): try again in a moment".to_owned()
        }
        _ if is_absent(error) => {
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
    let advice = "name the relay's folder by --data-dir or MAILSLUICE__DATA_DIR, or its configuration by --config or \
                  MAILSLUICE_CONFIG";
    Failure::new(format!("{said}; no configuration was found at {}: {advice}", tried.join(" or ")))
}

/// Whether a relay holds the lock of the folder in which the socket should be.
fn is_locked(socket: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let lock = std::fs::File::open(socket.with_file_name("lock"));
    // One that we get is given back at once, with the file.
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}

fn broken(error: hyper::Error) -> Failure {
    Failure::Failed(anyhow::Error::new(error).context("the connection to the relay broke"))
}

/// Behind which entry the page begins that a `Link` with `rel="next"` leads to (RFC 8288).
fn next_page(fields: &HeaderMap) -> Option<String> {
    let link = fields.get(LINK)?.to_str().ok()?;
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    let (_, query) = target.split_once('?').filter(|_| rest.contains("rel=\"next\""))?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "after").map(|(_, after)| after.into_owned())
}

/// Makes a request, and waits for the head of the answer.
async fn begin(
    stream: impl ApiStream,
    request: ApiRequest<'_>,
    kind: &'static str,
) -> Result<Response<Incoming>, Failure> {
    let ApiRequest { method, target, body } = request;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends when the sender is dropped or the runtime with it.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(target.as_str())
        .header(HOST, "mailsluice")
        .header(CONTENT_TYPE, kind)
        .body(Full::new(Bytes::from(body)))
        .expect("method, encoded target and fixed header fields are valid");
    sender.send_request(request).await.map_err(broken)
}

/// Waits for the rest of an answer.
async fn collect(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body =
        body.map_err(|error| Failure::new(format!("the relay's answer could not be read: {error}")))?;
    Ok(body.to_bytes())
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
    match serde_json::from_slice::<Problem>(body) {
        Ok(told) if status == StatusCode::UNPROCESSABLE_ENTITY => Failure::Configuration(told.detail),
        Ok(told) if status == StatusCode::BAD_REQUEST => Failure::Wrong(told.detail),
        Ok(told) => Failure::new(told.detail),
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
    fn lines_may_come_in_pieces() {
        let mut lines = LineBuffer::default();
        let mut got = Vec::new();
        for piece in ["{\"a\"", ":1}\n{\"b\":2}", "\n", "{\"c\":3}\n{"] {
            got.extend(lines.push(piece.as_bytes()).into_iter().map(|line| String::from_utf8(line).unwrap()));
        }
        assert_eq!(got, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    }
}
