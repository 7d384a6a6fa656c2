//! A client that always has more to say, so that nobody ever waits for it. (Guards: `session::driver::deadlines`, and who
//! asks it in `session::driver`.)

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use mailsluice::session::{self, Door};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use crate::world::World;

/// Says something, then the same again and again.
struct Talker {
    opening: &'static [u8],
    line: &'static [u8],
    given: usize,
    /// How long it takes to read what we say.
    pause: Duration,
    reading: Option<Pin<Box<Sleep>>>,
    /// When it has had enough, should we not.
    end: Instant,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Talker {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while buffer.remaining() > 0 && Instant::now() < self.end {
            let octet = match self.given.checked_sub(self.opening.len()) {
                Some(said) => self.line[said % self.line.len()],
                None => self.opening[self.given],
            };
            buffer.put_slice(&[octet]);
            self.given += 1;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talker {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.pause.is_zero() {
            let pause = self.pause;
            let reading = self.reading.get_or_insert_with(|| Box::pin(sleep(pause)));
            ready!(reading.as_mut().poll(context));
            self.reading = None;
        }
        self.heard.lock().unwrap().extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// All that a talker hears until the session is over.
async fn heard(world: World, talker: Talker) -> String {
    let heard = talker.heard.clone();
    let (services, _store, _folder) = world.services().await;
    let listener = Arc::new(services.config.listeners[0].clone());
    let door = Arc::new(ArcSwap::from_pointee(Door { listener, tls: None, services: Arc::new(services) }));
    let (_stop, stopping) = watch::channel(false);
    Box::pin(session::run(talker, "127.0.0.1".parse().unwrap(), "talker".into(), door, stopping)).await;
    let octets = heard.lock().unwrap().clone();
    String::from_utf8(octets).unwrap()
}

/// It reads each of our replies in time, and slowly.
#[tokio::test(start_paused = true)]
async fn commands_without_end_are_no_content() {
    let talker = Talker {
        opening: b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
        line: b"NOOP\r\n",
        given: 0,
        pause: Duration::from_mins(4),
        reading: None,
        end: Instant::now() + Duration::from_hours(2),
        heard: Arc::default(),
    };
    let begun = Instant::now();
    let heard = heard(World::new(), talker).await;
    let last = heard.lines().last().unwrap();
    assert!(last.starts_with("421 4.4.2 relay.example timeout: the content did not begin "), "{last}");
    assert!(begun.elapsed() < Duration::from_mins(30), "{:?}", begun.elapsed());
}

/// By a clock that does not wait for it.
#[tokio::test]
async fn a_line_without_an_end_is_no_command() {
    let mut world = World::new();
    world.config.session.command_timeout = Duration::from_millis(100);
    let talker = Talker {
        opening: b"EHLO x\r\n",
        line: b"x",
        given: 0,
        pause: Duration::ZERO,
        reading: None,
        end: Instant::now() + Duration::from_secs(10),
        heard: Arc::default(),
    };
    let heard = heard(world, talker).await;
    let last = heard.lines().last().unwrap();
    assert!(last.starts_with("421 4.4.2 relay.example timeout, closing"), "{last}");
}
