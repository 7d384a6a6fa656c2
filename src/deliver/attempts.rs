//! The attempts of a lane that are under way.

use std::sync::Arc;

use super::attempt::{self, Job};
use super::attempted::Attempted;
use super::lane_settings::LaneSettings;
use super::noted_tasks::{EndedTask, NotedTasks};
use super::settle;
use crate::account::{Account, Grant};
use crate::store::{Content, Leased, Message};
use crate::upstream::Outcome;

/// Attempts, each a task of its own, with the message without its content and the account that sends it.
#[derive(Default)]
pub(super) struct Attempts(NotedTasks<(Leased, Arc<Account>)>);

impl Attempts {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
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
            let about = (outline(&leased), grant.account.clone());
            self.0.spawn(about, attempt::run(job, leased));
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
            let about = (outline(&leased), account.clone());
            let (lane, by) = (lane.clone(), account.clone());
            self.0.spawn(about, async move { settle::hand_back(&lane, &by, leased).await });
        }
    }

    /// The next one that ends; `None` when there is none.
    pub(super) async fn next_ended(&mut self) -> Option<EndedTask> {
        self.0.next_ended().await
    }

    /// One that has ended.
    pub(super) fn try_next_ended(&mut self) -> Option<EndedTask> {
        self.0.try_next_ended()
    }

    /// Notes that one has ended. One that failed by a fault of ours must not keep its message for ever.
    pub(super) async fn ended(&mut self, lane: &LaneSettings, ended: EndedTask) {
        if let Some(((leased, account), error)) = self.0.ended(ended) {
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
