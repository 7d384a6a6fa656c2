//! A stream that has taken the final dot and gets stuck: from then on the upstream may have the message.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use mailsluice::smtp::InstanceId;
use mailsluice::upstream::{Connector, Dial, DialError, Dialled, Observer, Stage, Stream, Target};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::support::upstream::{Act, Script, Step, Upstream, UpstreamDial};
use super::{TIMEOUTS, recipients, send, smtp, verdicts};

/// What flushing does once a final dot was written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Flush {
    Hangs,
    Fails,
}

struct Stuck {
    inner: Box<dyn Stream>,
    flush: Flush,
    dot: bool,
}

impl AsyncRead for Stuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.dot |= octets.ends_with(b"\r\n.\r\n");
        Pin::new(&mut self.inner).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match (self.dot, self.flush) {
            (false, _) => Pin::new(&mut self.inner).poll_flush(cx),
            (true, Flush::Hangs) => Poll::Pending,
            (true, Flush::Fails) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

struct StuckDial(Arc<UpstreamDial>, Flush);

#[async_trait]
impl Dial for StuckDial {
    async fn dial(
        &self,
        target: &Target,
        deadline: Instant,
        observer: &Observer,
    ) -> Result<Dialled, DialError> {
        let Dialled { stream, peer } = self.0.dial(target, deadline, observer).await?;
        Ok(Dialled { stream: Box::new(Stuck { inner: stream, flush: self.1, dot: false }), peer })
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_dot_nothing_is_certain_without_a_reply() {
    for (flush, act, want, seconds) in [
        (Flush::Hangs, Act::Normal, "SS", 0),
        (Flush::Hangs, Act::reply(554, "5.6.0 no"), "BB", 0),
        (Flush::Hangs, Act::Drop, "??", 0),
        (Flush::Hangs, Act::Hang, "??", TIMEOUTS.block.as_secs()),
        (Flush::Hangs, Act::malformed(), "??", 0),
        (Flush::Fails, Act::Normal, "SS", 0),
        (Flush::Fails, Act::reply(451, "4.3.0 later"), "DD", 0),
        (Flush::Fails, Act::Drop, "??", 0),
        (Flush::Fails, Act::Hang, "??", 1),
    ] {
        let upstream = Upstream::new(Script::default().with(Step::Dot, act.clone()));
        let dial = Arc::new(StuckDial(upstream.dial(), flush));
        let mut connection = Connector::new(dial, smtp(), None, "relay.firm.example", InstanceId::random())
            .open()
            .await
            .unwrap();
        let started = Instant::now();
        let result = send(&mut connection, &recipients(2), b"hello").await;
        assert_eq!(verdicts(&result), want, "{flush:?} {act:?}: {result:?}");
        assert_eq!(started.elapsed().as_secs(), seconds, "{flush:?} {act:?}");
        assert!(result.recipients.iter().all(|result| result.stage == Stage::FinalDot));
    }
}
