//! Answers that go on for as long as somebody reads them: a line of JSON for each event.
//!
//! Whatever makes the events ends when the client goes: it lives in the body of the answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Bytes, Frame};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::ApiError;

/// Such answers at the same time; each holds one of the socket's connections.
const MOST: usize = 16;
/// Events that wait for the client: then who makes them waits, too.
const WAITING: usize = 32;

/// How many answers may go on at the same time.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Semaphore>);

/// The right to one such answer.
pub(super) struct StreamPlace(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// The body of an answer that goes on.
struct EventLines<T> {
    events: mpsc::Receiver<T>,
    /// Makes the events; ends with this.
    _work: JoinSet<()>,
    _place: StreamPlace,
}

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Streams {
    /// The place of an answer: to be taken before anything is done that can't be undone.
    ///
    /// # Errors
    /// When there are as many such answers as may be.
    pub(super) fn place(&self) -> Result<StreamPlace, ApiError> {
        let place = self.0.clone().try_acquire_owned();
        place.map(StreamPlace).map_err(|_| {
            ApiError::Conflict(format!("{MOST} such commands are at work already: end one of them first"))
        })
    }
}

impl StreamPlace {
    /// An answer with the events that `work` hands to its sender, until that ends or the client goes.
    pub(super) fn answer<T, F>(self, work: impl FnOnce(mpsc::Sender<T>) -> F) -> Response
    where
        T: Serialize + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, events) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(work(sender));
        let lines = EventLines { events, _work: tasks, _place: self };
        ([(CONTENT_TYPE, "application/x-ndjson")], Body::new(lines)).into_response()
    }
}

impl<T: Serialize> hyper::body::Body for EventLines<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.events.poll_recv(context).map(|event| {
            let mut line = serde_json::to_vec(&event?).expect("plain fields always serialise");
            line.push(b'\n');
            Some(Ok(Frame::data(line.into())))
        })
    }
}
