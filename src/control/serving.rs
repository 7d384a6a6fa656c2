//! Connections of the interface: so many at a time, and none that a client holds without doing anything.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

/// For the head of a request to arrive, and for the next one on a connection that stays open.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// For a client to take anything of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// For requests under way when the socket is closed.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// After an accept that failed, so that a lack of descriptors does not keep the processor busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// What is read ahead of a request, in octets.
const MAX_BUFFER: usize = 64 * 1024;

/// A client that has come in.
pub(super) struct AdmittedClient<S, P> {
    pub(super) stream: S,
    /// Held until the connection ends.
    pub(super) place: P,
    /// What answers this client.
    pub(super) router: Router,
}

/// Serves whoever `accept` lets in until `stop` is done; requests under way then get a short time to end.
pub(super) async fn serve<S, P, F>(mut accept: impl FnMut() -> F, stop: impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Send + 'static,
    F: Future<Output = io::Result<Option<AdmittedClient<S, P>>>>,
{
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            // What has ended is taken out of the set, else it would grow.
            Some(_) = connections.join_next() => continue,
            accepted = accept() => accepted,
        };
        match accepted {
            Ok(Some(AdmittedClient { stream, place, router })) => {
                let stopped = stopped.clone();
                connections.spawn(async move {
                    serve_connection(stream, router, stopped).await;
                    drop(place);
                });
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(event = "control_failed", reason = %error);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let _ = stopping.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(STOP_GRACE, all_ended).await;
}

/// Answers one client until it goes.
pub(super) async fn serve_one<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (_going_on, stopped) = watch::channel(false);
    serve_connection(stream, router, stopped).await;
}

async fn serve_connection<S>(stream: S, router: Router, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(PatientWriter { stream, waiting: None });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(stream, TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        // A client that goes away in the middle is its own affair.
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A stream whose reader may rest for a while, and not for ever.
struct PatientWriter<S> {
    stream: S,
    /// Runs while the reader takes nothing.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientWriter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S> PatientWriter<S> {
    /// The result of a write, unless the reader has rested for too long.
    fn in_time<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PatientWriter<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, octets);
        self.in_time(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.in_time(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.in_time(ended, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_cut_off() {
        let (ours, mut theirs) = duplex(16);
        let mut writer = PatientWriter { stream: ours, waiting: None };
        let begun = Instant::now();
        let writing = tokio::spawn(async move { writer.write_all(&[b'x'; 64]).await });
        // Something just before its time is over, then nothing any more.
        sleep(WRITE_TIMEOUT.checked_sub(Duration::from_secs(1)).unwrap()).await;
        theirs.read_exact(&mut [0; 16]).await.unwrap();
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), (WRITE_TIMEOUT * 2).checked_sub(Duration::from_secs(1)).unwrap());
    }
}
