//! Reads of the store of which a fault is told, and not the end: what is known without it is worth more than nothing.

use std::time::Duration;

use tokio::time::timeout;

use crate::store::StoreError;

/// How long a store is waited for that says nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// What reads of the store have come to so far.
#[derive(Debug)]
pub(super) struct Reading {
    fault: Option<String>,
    patience: Duration,
}

/// For somebody who waits as long as people do.
impl Default for Reading {
    fn default() -> Self {
        Self::within(PATIENCE)
    }
}

impl Reading {
    /// For somebody who waits so long for each read.
    pub(super) fn within(patience: Duration) -> Self {
        Self { fault: None, patience }
    }

    /// What a read gives; `None` when it fails, or one before it has failed.
    pub(super) async fn of<T>(&mut self, read: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        if self.fault.is_some() {
            return None;
        }
        match timeout(self.patience, read).await {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => self.fault = Some(error.to_string()),
            Err(_) => {
                self.fault = Some(format!("the store has not answered for {} s", self.patience.as_secs()));
            }
        }
        None
    }

    /// Why a read has failed, if one has.
    pub(super) fn fault(self) -> Option<String> {
        self.fault
    }
}
