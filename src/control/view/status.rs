//! The relay as a whole.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::restored::RestoredJson;
use super::sent_copies::SentCopiesJson;
use super::sign_in::SignInJson;
use super::test_mode::TestModeJson;
use super::upstream::UpstreamJson;
use crate::store::{QueueCounts, Totals};

/// A reload that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// What has changed, in the words of the configuration file. All of it is in force.
    pub changed: Vec<String>,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListenerJson {
    /// Where it listens.
    pub address: String,
    /// Clients that may relay without AUTH.
    pub relay_from: Vec<String>,
    /// `none starttls implicit`
    pub tls: String,
    /// `none optional required`
    pub auth: String,
}

/// The whole relay at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusJson {
    /// The program's version.
    pub version: String,
    /// Whether it runs; the command line also shows one that does not, from its store.
    pub running: bool,
    /// Seconds since the start.
    pub uptime: u64,
    /// Test mode.
    pub test_mode: TestModeJson,
    /// All listeners.
    pub listeners: Vec<ListenerJson>,
    /// All upstreams.
    pub upstreams: Vec<UpstreamJson>,
    /// All sign-ins.
    #[serde(default)]
    pub sign_ins: Vec<SignInJson>,
    /// Copies that wait until they lie in Sent folders, by account; none where nothing waits.
    #[serde(default)]
    pub sent_copies: Vec<SentCopiesJson>,
    /// Messages in the queue, as is known without the store.
    #[serde(default)]
    pub queued: u64,
    /// Messages by state; null when the store can't be read.
    pub queue: Option<QueueCounts>,
    /// Recipients since the store was made; null when the store can't be read.
    pub totals: Option<Totals>,
    /// Where the store came from, when it was put in or saved, and what is still to be done about it; null when it did not, or
    /// when the store can't be read.
    #[serde(default)]
    pub restored: Option<RestoredJson>,
    /// Why the store accepts nothing at present, or can't be read.
    pub store_fault: Option<String>,
    /// What a person must see to, in words, a text each; what was switched off by hand is none of it.
    pub needs_a_person: Vec<String>,
}
