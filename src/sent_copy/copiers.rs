//! All copiers, and what has waited for too long.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::copier::Copier;
use crate::account::Account;
use crate::deliver::{Context, Phase};
use crate::memory::MemoryBudget;
use crate::store::StoreError;

/// Octets of copies that may be in memory, of all accounts together. What is larger goes alone.
const MEMORY: u64 = 32 << 20;
/// How long a copy is tried.
const LIFETIME: Duration = Duration::from_hours(72);
/// How long nothing is tried after a panic.
const AFTER_PANIC: Duration = Duration::from_mins(10);

/// Why a copy was given up that nobody has tried.
const UNTRIED: &str = "nobody has tried it: the configuration has no sent_copy for this account any more";

/// The copiers of all accounts that have a Sent folder. They end when this is dropped.
pub struct Copiers {
    tasks: JoinSet<()>,
    memory: MemoryBudget,
}

impl Default for Copiers {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), memory: MemoryBudget::new(MEMORY) }
    }
}

impl Copiers {
    /// Puts a configuration in force: those of the one before end, wherever they are.
    pub fn configure(&mut self, context: &Arc<Context>) {
        self.tasks.abort_all();
        while self.tasks.try_join_next().is_some() {}
        for upstream in &context.config.upstreams {
            for account in context.accounts.of(&upstream.name) {
                if account.settings().sent_mailbox().is_none() {
                    continue;
                }
                let works = keep_copying(account, context.clone(), self.memory.clone());
                let mut phase = context.phase.clone();
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = works => {}
                        // What is broken off here is looked for by the next process.
                        _ = phase.wait_for(|phase| *phase >= Phase::Finishing) => {}
                    }
                });
            }
        }
    }
}

/// Runs a copier, and another one after a panic, which the log has already.
async fn keep_copying(account: Arc<Account>, context: Arc<Context>, memory: MemoryBudget) {
    let mut copier = JoinSet::new();
    loop {
        copier.spawn(Copier::new(account.clone(), context.clone(), memory.clone()).run());
        match copier.join_next().await {
            Some(Err(error)) if error.is_panic() => sleep(AFTER_PANIC).await,
            _ => return,
        }
    }
}

/// Gives up what has waited for too long, whether or not anybody tries it.
///
/// # Errors
/// When the store fails.
pub async fn expire(context: &Context) -> Result<(), StoreError> {
    for copy in context.store.expire_copies(LIFETIME).await? {
        let account = Some(&*copy.account.account).filter(|account| !account.is_empty());
        tracing::error!(
            event = "copy_given_up",
            queue_id = %copy.queue_id,
            upstream = &*copy.account.upstream,
            account,
            attempt = copy.tries,
            reason = Some(&*copy.reason).filter(|reason| !reason.is_empty()).unwrap_or(UNTRIED),
        );
    }
    Ok(())
}
