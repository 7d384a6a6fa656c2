//! Answers that go on for as long as somebody reads them: a line of JSON for each event, or server-sent events.
//!
//! Whatever makes the events ends when the client goes: it lives in the body of the answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Bytes, Frame};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::ApiError;

/// Commands whose answers go on, at the same time; each holds one of the connections.
const MOST: usize = 16;
/// Readers of the log at the same time.
const MOST_READERS: usize = 16;
/// Events that wait for the client: then who makes them waits, too.
const WAITING: usize = 32;

/// How many answers may go on at the same time.
#[derive(Debug, Clone)]
pub struct Streams {
    commands: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

/// The right to one such answer.
pub(super) struct StreamPlace(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// A server-sent event (HTML, 9.2).
pub(super) enum ServerEvent {
    /// A comment, so that the connection is not thought dead.
    Alive,
    /// An event.
    Named {
        /// Its name, of letters, digits and underscores.
        name: String,
        /// Its data: JSON without line ends.
        json: String,
    },
}

/// The body of an answer that goes on.
struct EventBody<T> {
    events: mpsc::Receiver<T>,
    /// How an event is written; an error cuts the answer off.
    write: fn(T) -> io::Result<Vec<u8>>,
    /// Makes the events; ends with this.
    _work: JoinSet<()>,
    _place: StreamPlace,
}

impl Default for Streams {
    fn default() -> Self {
        let places = |most| Arc::new(Semaphore::new(most));
        Self { commands: places(MOST), readers: places(MOST_READERS) }
    }
}

impl Streams {
    /// The place of a command's answer: to be taken before anything is done that can't be undone.
    ///
    /// # Errors
    /// When there are as many such answers as may be.
    pub(super) fn place(&self) -> Result<StreamPlace, ApiError> {
        let place = self.commands.clone().try_acquire_owned();
        place.map(StreamPlace).map_err(|_| {
            ApiError::TooMany(format!("{MOST} such commands are at work already: end one of them first"))
        })
    }

    /// The place of one who reads the log.
    ///
    /// # Errors
    /// When there are as many as may be.
    pub(super) fn reading_place(&self) -> Result<StreamPlace, ApiError> {
        let place = self.readers.clone().try_acquire_owned();
        place.map(StreamPlace).map_err(|_| {
            ApiError::TooMany(format!("{MOST_READERS} read the log already: end one of them first"))
        })
    }
}

impl StreamPlace {
    /// An answer with the events that `work` hands to its sender, a line of JSON for each, until that ends or the client goes.
    pub(super) fn answer<T, F>(self, work: impl FnOnce(mpsc::Sender<T>) -> F) -> Response
    where
        T: Serialize + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        ([(CONTENT_TYPE, "application/x-ndjson")], self.body(work, |event| Ok(line(event)))).into_response()
    }

    /// The same as server-sent events.
    pub(super) fn server_events<F>(self, work: impl FnOnce(mpsc::Sender<ServerEvent>) -> F) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let fields = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
        (fields, self.body(work, |event| Ok(event.written()))).into_response()
    }

    /// An answer with the pieces that `work` hands to its sender, of this type; an error among them cuts it off.
    pub(super) fn pieces<F>(
        self,
        content_type: &'static str,
        work: impl FnOnce(mpsc::Sender<io::Result<Vec<u8>>>) -> F,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        ([(CONTENT_TYPE, content_type)], self.body(work, |piece| piece)).into_response()
    }

    fn body<T, F>(self, work: impl FnOnce(mpsc::Sender<T>) -> F, write: fn(T) -> io::Result<Vec<u8>>) -> Body
    where
        T: Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, events) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(work(sender));
        Body::new(EventBody { events, write, _work: tasks, _place: self })
    }
}

fn line<T: Serialize>(event: T) -> Vec<u8> {
    let mut line = serde_json::to_vec(&event).expect("plain fields always serialise");
    line.push(b'\n');
    line
}

impl ServerEvent {
    fn written(self) -> Vec<u8> {
        match self {
            Self::Alive => b": alive\n\n".to_vec(),
            Self::Named { name, json } => format!("event: {name}\ndata: {json}\n\n").into_bytes(),
        }
    }
}

impl<T> hyper::body::Body for EventBody<T> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let write = self.write;
        self.events
            .poll_recv(context)
            .map(|event| Some(write(event?).map(|octets| Frame::data(octets.into()))))
    }
}
