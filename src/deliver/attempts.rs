//! The attempts of a lane that are under way.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};

use super::attempt::{self, Job};
use super::attempted::Attempted;
use super::lane_settings::LaneSettings;
use super::settle;
use crate::account::{Account, Grant};
use crate::store::{Content, Leased, Message};
use crate::upstream::Outcome;

/// Attempts, each a task of its own.
#[derive(Default)]
pub(super) struct Attempts {
    tasks: JoinSet<()>,
    /// What they are about, without the content.
    about: HashMap<Id, (Leased, Arc<Account>)>,
}

/// How one has ended.
pub(super) type EndedAttempt = Result<(Id, ()), JoinError>;

impl Attempts {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Begins one for each message; the first ones have the connections.
    pub(super) fn begin(&mut self, lane: &Arc<LaneSettings>, mut grant: Grant, messages: Vec<Leased>) {
        let mut probes = std::mem::take(&mut grant.probes);
        for leased in messages {
            let job = Job {
                lane: lane.clone(),
                account: grant.account.clone(),
                settings: grant.settings.clone(),
                pooled: grant.connections.pop(),
                probes: std::mem::take(&mut probes),
                repeated: false,
            };
            let outline = outline(&leased);
            let task = self.tasks.spawn(attempt::run(job, leased));
            self.about.insert(task.id(), (outline, grant.account.clone()));
        }
    }

    /// Puts messages back into the queue that were not tried.
    pub(super) fn hand_back(
        &mut self,
        lane: &Arc<LaneSettings>,
        account: &Arc<Account>,
        messages: Vec<Leased>,
    ) {
        for leased in messages {
            let (outline, lane, by) = (outline(&leased), lane.clone(), account.clone());
            let task = self.tasks.spawn(async move { settle::hand_back(&lane, &by, leased).await });
            self.about.insert(task.id(), (outline, account.clone()));
        }
    }

    /// The next one that ends; `None` when there is none.
    pub(super) async fn next_ended(&mut self) -> Option<EndedAttempt> {
        self.tasks.join_next_with_id().await
    }

    /// One that has ended.
    pub(super) fn try_next_ended(&mut self) -> Option<EndedAttempt> {
        self.tasks.try_join_next_with_id()
    }

    /// Notes that one has ended. One that failed by a fault of ours must not keep its message for ever.
    pub(super) async fn ended(&mut self, lane: &LaneSettings, ended: EndedAttempt) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let about = self.about.remove(&id);
        if let (Err(error), Some((leased, account))) = (ended, about)
            && error.is_panic()
        {
            tracing::error!(event = "fault", queue_id = %leased.message.queue_id, reason = %error);
            let reply = "451 4.3.0 a fault in the program; please report it with the log";
            let attempted = Attempted::all(leased, Outcome::DEFERRED, reply);
            settle::settle(lane, Some(&account), attempted.counted()).await;
        }
    }
}

/// A message without its content.
fn outline(leased: &Leased) -> Leased {
    let message = Message { content: Content::memory(Vec::new()), ..leased.message.clone() };
    Leased { message, ..*leased }
}
