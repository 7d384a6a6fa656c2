//! Direct mode: messages that go through while their clients wait (see [`crate::queue::direct`]).
//!
//! Each exchange is a task of its own: what it has begun it also ends, even when the session is gone in the middle. A
//! permit is in the store before a transaction begins, as for queued mail.

mod ending;
mod open;
mod refusal;
mod talk;
mod ticket;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::context::Context;
use crate::queue::direct::{Ask, Direct, Opening};
use talk::Talk;
use ticket::Lines;

/// How often is looked whether all exchanges have ended, when the relay stops.
const LOOK: Duration = Duration::from_millis(50);

/// Takes messages to upstreams while their clients wait.
pub struct Courier {
    shared: Arc<Shared>,
    exchanges: Exchanges,
}

/// The exchanges that are under way; they outlive the configuration that they began with.
#[derive(Clone, Default)]
pub struct Exchanges(Arc<Mutex<JoinSet<()>>>);

/// What all exchanges share.
struct Shared {
    context: Arc<Context>,
    lines: Lines,
    /// Octets of content from files that exchanges may hold in memory, and how many that are.
    memory: Semaphore,
    memory_share: u64,
}

impl Courier {
    /// For a configuration.
    #[must_use]
    pub fn new(context: Arc<Context>, exchanges: Exchanges) -> Self {
        let memory_share = (context.config.session.memory_budget.0 / 2).clamp(1, u64::from(u32::MAX));
        let shared = Shared {
            lines: Lines::new(&context),
            memory: Semaphore::new(memory_share as usize),
            memory_share,
            context,
        };
        Self { shared: Arc::new(shared), exchanges }
    }
}

impl Direct for Courier {
    fn attend(&self, opening: Opening, asks: mpsc::Receiver<Ask>) {
        let session = opening.session.clone();
        let talk = Talk::new(self.shared.clone(), opening);
        let mut exchanges = self.exchanges.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = exchanges.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(event = "fault", session, reason = %error);
            }
        }
        exchanges.spawn(attend(talk, asks));
    }
}

impl Exchanges {
    /// Waits until none is under way.
    pub async fn ended(&self) {
        while !self.is_idle() {
            sleep(LOOK).await;
        }
    }

    fn is_idle(&self) -> bool {
        let mut exchanges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while exchanges.try_join_next().is_some() {}
        exchanges.is_empty()
    }
}

/// Answers a session for as long as it asks.
async fn attend(mut talk: Talk, mut asks: mpsc::Receiver<Ask>) {
    while let Some(ask) = asks.recv().await {
        match ask {
            Ask::Recipient { address, request, answer } => {
                let told = talk.recipient(address, request).await;
                // A session that is gone ends the loop.
                let _ = answer.send(told);
            }
            Ask::Content { message, answer } => return talk.content(*message, answer).await,
        }
    }
    talk.give_up().await;
}
