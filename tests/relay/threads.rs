//! Which mail needs a thread on which something may block.

use std::sync::mpsc;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::support::direct_client::Client;
use crate::support::simulation::{Simulation, secs};
use crate::support::upstream::{Script, Upstream};
use crate::{ONE, taken};

/// A content of so many octets, and what ends it.
fn text(octets: usize) -> String {
    format!("From: a@firm.example\r\nSubject: x\r\n\r\n{}.", "0123456789\r\n".repeat(octets / 12))
}

async fn send(client: &mut Client, octets: usize) -> String {
    for line in ["MAIL FROM:<a@firm.example>", "RCPT TO:<x@there.example>", "DATA"] {
        client.say(line).await;
    }
    client.say(&text(octets)).await
}

/// The one thread for what may block is somebody else's: whoever asks for it waits for ever.
#[test]
fn small_mail_needs_no_thread_on_which_something_may_block() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let up = Upstream::new(Script::default());
        let mut sim = Simulation::new(ONE, &[("up", &up)]);
        sim.start().await;
        let mut client = Client::at(&sim, 0).await;
        let (free, taken_up) = mpsc::channel::<()>();
        let other = spawn_blocking(move || taken_up.recv());
        let small = async {
            for n in 0..100 {
                let reply = send(&mut client, if n % 10 == 0 { 60_000 } else { 1_000 }).await;
                assert!(reply.starts_with("250"), "{reply}");
            }
            sim.until_empty(secs(60)).await;
        };
        let small = timeout(secs(90), small).await;
        assert!(small.is_ok(), "after {} messages somebody asked for a thread", taken(&up).len());
        assert_eq!(taken(&up).len(), 100);
        // What is larger goes to a file: that it waits shows that the thread is what it would have waited for.
        assert!(timeout(secs(1), send(&mut client, 200_000)).await.is_err());
        drop(free);
        other.await.unwrap().unwrap_err();
    });
}
