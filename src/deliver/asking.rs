//! What a lane asks the store for.

use std::sync::Arc;

use super::lane_settings::LaneSettings;
use crate::account::{Account, AccountSettings};
use crate::store::{Ask, Claimed, StandingAsk, StoreError};

/// What the lane could send if it came.
pub(super) struct Prospect {
    pub(super) account: Arc<Account>,
    pub(super) ask: StandingAsk,
}

/// Asks the store for messages. A probe takes one at which the upstream has not failed, while there is one.
pub(super) async fn claim(shared: &LaneSettings, ask: Ask, probes: bool) -> Result<Claimed, StoreError> {
    let store = &shared.context.store;
    if probes && !shared.suspects.is_empty() {
        let unfit = Arc::new(shared.suspects.and(&ask.unfit));
        let claimed = store.claim(Ask { unfit, ..ask.clone() }).await?;
        if !matches!(claimed, Claimed::Empty { .. }) {
            return Ok(claimed);
        }
    }
    store.claim(ask).await
}

/// So many messages of a lane that an account may take.
pub(super) fn ask(
    shared: &LaneSettings,
    account: &Account,
    settings: &AccountSettings,
    messages: u32,
) -> Ask {
    Ask {
        lane: shared.name.clone(),
        account: account.key().clone(),
        ceilings: account.ceilings(),
        messages,
        recipients_per_message: account.recipients_per_message(),
        unfit: shared.unfit.of(account.key()),
        max_size: max_size(shared, account, settings),
    }
}

/// What is larger goes by another account: by the upstream's own when this one stands in, else by one that takes more.
pub(super) fn max_size(shared: &LaneSettings, account: &Account, settings: &AccountSettings) -> Option<u64> {
    let size = settings.message_size()?;
    let is_largest = shared.candidates.is_own(account)
        && shared.upstream.message_size().is_some_and(|largest| largest.0 <= size);
    (!is_largest).then_some(size)
}

/// Connections that an account may have at present.
pub(super) fn connections_of(account: &Account) -> usize {
    let (own, shared) = account.most_connections();
    own.min(shared) as usize
}

/// Whether nothing but its connections bounds what an account sends of a lane, and no other could send it earlier.
pub(super) fn is_bound_by_connections(shared: &LaneSettings, account: &Arc<Account>, ask: &Ask) -> bool {
    let is_only = matches!(shared.candidates.own(), [only] if Arc::ptr_eq(only, account));
    is_only && ask.ceilings.iter().all(|(_, ceilings)| ceilings.is_unlimited())
}

/// Waits until something was taken as it came.
pub(super) async fn come(prospect: Option<&Prospect>) {
    match prospect {
        Some(prospect) => prospect.ask.taken().await,
        None => std::future::pending().await,
    }
}
