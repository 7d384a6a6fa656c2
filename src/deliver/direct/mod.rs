//! Direct mode: messages that go through while their clients wait (see [`crate::direct`]).
//!
//! Each exchange is a task of its own: what it has begun it also ends, even when the session is gone in the middle. A
//! permit is in the store before a transaction begins, as for queued mail.

mod ending;
mod exchange;
mod open;
mod patience;
mod permit;
mod refusal;
mod routes;
mod shared;
mod start;
mod turn;
mod whole;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::context::Context;
use crate::direct::{Direct, ExchangeRequest, Opening};
use exchange::DirectExchange;
use shared::DirectContext;

/// How long a client may go without progress (a recipient, or the content) once the upstream has been asked: until then
/// others can't use the connection.
const IDLE: Duration = Duration::from_mins(1);

/// Takes messages to upstreams while their clients wait.
pub struct DirectService {
    shared: Arc<DirectContext>,
    exchanges: Exchanges,
}

/// The exchanges that are under way; they outlive the configuration that they began with.
#[derive(Clone, Default)]
pub struct Exchanges(Arc<Running>);

#[derive(Default)]
struct Running {
    tasks: Mutex<JoinSet<()>>,
    /// Told whenever one has ended.
    ended: Notify,
}

impl DirectService {
    /// For a configuration.
    #[must_use]
    pub fn new(context: Arc<Context>, exchanges: Exchanges) -> Self {
        Self { shared: Arc::new(DirectContext::new(context)), exchanges }
    }
}

impl Direct for DirectService {
    fn attend(&self, opening: Opening, asks: mpsc::Receiver<ExchangeRequest>) {
        let session = opening.session.clone();
        let exchange = DirectExchange::new(self.shared.clone(), opening);
        let mut tasks = self.exchanges.tasks();
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(event = "fault", session, reason = %error);
            }
        }
        let running = self.exchanges.0.clone();
        tasks.spawn(async move {
            attend(exchange, asks).await;
            running.ended.notify_waiters();
        });
    }
}

impl Exchanges {
    /// Waits until none is under way.
    pub async fn ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            {
                let mut tasks = self.tasks();
                while tasks.try_join_next().is_some() {}
                if tasks.is_empty() {
                    return;
                }
            }
            // A task that has said that it ends is gone a moment later.
            let _ = timeout(Duration::from_millis(50), ended).await;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a session for as long as it asks.
async fn attend(mut exchange: DirectExchange, mut asks: mpsc::Receiver<ExchangeRequest>) {
    let mut content_comes = false;
    loop {
        let asked = if exchange.holds_connection() && !content_comes {
            let Ok(asked) = timeout(IDLE, asks.recv()).await else {
                exchange.idle_for_too_long().await;
                continue;
            };
            asked
        } else {
            asks.recv().await
        };
        match asked {
            Some(ExchangeRequest::Recipient { address, request, answer }) => {
                let result = exchange.recipient(address, request).await;
                // A session that is gone ends the loop.
                let _ = answer.send(result);
            }
            Some(ExchangeRequest::ContentBegins) => content_comes = true,
            Some(ExchangeRequest::Content { message, answer }) => {
                return exchange.content(*message, answer).await;
            }
            None => return exchange.give_up().await,
        }
    }
}
