//! A client that sends and sends, and never reads what we say. (Guard: `MAX_OUTPUT` in `session::channel`.)

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use mailsluice::session::{self, Door};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use crate::world::World;

/// Gives the line again and again, takes the greeting, and then nothing.
struct Deaf {
    line: &'static [u8],
    greeted: bool,
    given: usize,
    /// The most that we wanted to tell it at once, in octets: all that is kept for it.
    most: Arc<AtomicUsize>,
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while buffer.remaining() > 0 {
            let octet = self.line[self.given % self.line.len()];
            buffer.put_slice(&[octet]);
            self.given += 1;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Poll::Ready(Ok(octets.len()));
        }
        self.most.fetch_max(octets.len(), Ordering::SeqCst);
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn replies_do_not_pile_up() {
    for line in [&b"HELP\r\n"[..], b"EHLO x\r\n", b"HELP\n"] {
        let mut world = World::new();
        world.config.session.max_errors = u32::MAX;
        let (services, _store, _folder) = world.services().await;
        let listener = Arc::new(services.config.listeners[0].clone());
        let door =
            Arc::new(ArcSwap::from_pointee(Door { listener, tls: None, services: Arc::new(services) }));
        let most = Arc::new(AtomicUsize::new(0));
        let client = Deaf { line, greeted: false, given: 0, most: most.clone() };
        let (_stop, stopping) = watch::channel(false);
        // It ends by itself, when the client has had its time to read.
        Box::pin(session::run(client, "127.0.0.1".parse().unwrap(), "deaf".into(), door, stopping)).await;
        let most = most.load(Ordering::SeqCst);
        let line = line.escape_ascii();
        assert!((16 << 10..17 << 10).contains(&most), "{line}: {most} octets of replies were kept");
    }
}
