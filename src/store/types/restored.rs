//! A store that does not go on where its predecessor stopped: it came out of a backup, or was saved from damaged files.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Quotas, Window};
use crate::limits::{AccountKey, Amount};

/// Where a store came from that may lag behind what was really sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreOrigin {
    /// A backup was put in its place.
    Backup,
    /// It has what could be read of damaged files.
    Salvage,
}

/// A store that came out of a backup or of damaged files, and whose mail waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where it came from.
    pub origin: StoreOrigin,
    /// When the backup was taken, or the store saved; by the wall clock, in milliseconds since 1970.
    pub made_wall: i64,
    /// When it was started first after that.
    pub begun_wall: i64,
    /// Messages that were held then, as possible duplicates.
    pub messages: u64,
    /// Those of them that are still held.
    pub held: u64,
    /// Recipients that could not be saved.
    pub lost: u64,
    /// Whether all limits counted as used up from then on.
    pub limits_used: bool,
    /// Whether this is the start that has found it.
    pub is_new: bool,
}

/// What a limit lets through in its window: after a restore all of it counts as used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedQuota {
    /// By whom.
    pub account: AccountKey,
    /// In which window.
    pub window: Window,
    /// All that fits.
    pub amount: Amount,
}

impl UsedQuota {
    /// All that these quotas let through for an account.
    pub fn all(account: &AccountKey, quotas: &Quotas) -> impl Iterator<Item = Self> {
        let used = |(window, quota): (Window, crate::config::Quota)| Self {
            account: account.clone(),
            window,
            amount: Amount {
                messages: quota.messages.unwrap_or_default(),
                recipients: quota.recipients.unwrap_or_default(),
                octets: quota.octets.unwrap_or_default(),
            },
        };
        quotas.iter().map(used).collect::<Vec<_>>().into_iter()
    }
}
