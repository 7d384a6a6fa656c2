//! Upstreams and their accounts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::LimitJson;
use super::{rfc3339, some_text};
use crate::account::{AccountView, Complaint};
use crate::lane::LaneState;
use crate::time::Timeline;

/// An upstream and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpstreamJson {
    /// Its name.
    pub name: String,
    /// Whether it takes what no filter matches.
    pub default: bool,
    /// `up down disabled limited sign_in`
    pub state: String,
    /// Whether it was tried since the start; what was not is only believed to be up.
    pub tried: bool,
    /// Why, when it is not up.
    pub reason: Option<String>,
    /// Until when, as far as is known.
    pub until: Option<String>,
    /// What a person does to let it, or an account of it, send again; null while nothing waits for a person.
    pub action: Option<String>,
    /// Its host; null for the local mailbox.
    pub host: Option<String>,
    /// Its port; null for the local mailbox.
    pub port: Option<u16>,
    /// What a person has switched that the configuration does not say, in words; null when it says all.
    #[serde(default)]
    pub not_in_file: Option<String>,
    /// The upstream that its mail takes instead at present.
    pub fallback: Option<String>,
    /// Its accounts, in the order of the configuration.
    pub accounts: Vec<AccountJson>,
    /// What is used of its limits, by account and window.
    pub limits: Vec<LimitJson>,
    /// Senders as whom its accounts may not send, by the provider's word.
    #[serde(default)]
    pub refused_senders: Vec<RefusedSenderJson>,
    /// What it has answered of late of which nothing is known here.
    #[serde(default)]
    pub strange_replies: Vec<StrangeReplyJson>,
}

/// A sender as whom an account may not send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedSenderJson {
    /// An address, or a domain.
    pub sender: String,
    /// The account; empty for an upstream without a login.
    pub account: String,
    /// When it was refused first.
    pub since: String,
    /// The provider's words.
    pub reply: String,
    /// What to do about it, in words.
    pub action: String,
}

impl RefusedSenderJson {
    /// A refused sender as the interface shows it.
    #[must_use]
    pub fn new(refused: Complaint, timeline: &Timeline) -> Self {
        Self {
            sender: refused.about,
            account: refused.account,
            since: rfc3339(timeline.wall_at(refused.since)),
            reply: refused.reply,
            action: refused.advice,
        }
    }
}

/// An answer of which nothing is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StrangeReplyJson {
    /// The account; empty for an upstream without a login.
    pub account: String,
    /// When it came first.
    pub since: String,
    /// The provider's words, the last time, with what it calls the request.
    pub reply: String,
    /// What to do about it, in words.
    pub action: String,
}

impl StrangeReplyJson {
    /// A strange reply as the interface shows it.
    #[must_use]
    pub fn new(strange: Complaint, timeline: &Timeline) -> Self {
        let Complaint { account, since, reply, advice, .. } = strange;
        Self { account, since: rfc3339(timeline.wall_at(since)), reply, action: advice }
    }
}

/// A login of an upstream and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountJson {
    /// Its name; empty for an upstream without a login.
    pub account: String,
    /// Whether it serves its own address alone.
    pub sender_bound: bool,
    /// `up down disabled limited sign_in`
    pub state: String,
    /// Whether it was tried since the start.
    pub tried: bool,
    /// Why, when it is not up.
    pub reason: Option<String>,
    /// Until when, as far as is known.
    pub until: Option<String>,
    /// What a person does to let it send again; null while it does not wait for a person.
    pub action: Option<String>,
    /// Connections that are open.
    pub connections: u32,
    /// Connections that may be open at present.
    pub most_connections: u32,
    /// The pace that the provider's answers have taught; null when it is as configured.
    pub pace: Option<String>,
}

/// What a person does about a state; `None` when it is over by itself, or nothing is wrong. `enable` lets an upstream send
/// again.
#[must_use]
pub fn action(state: &LaneState, enable: &str) -> Option<String> {
    state.needs_a_person().then(|| state.action().unwrap_or(enable).to_owned())
}

impl AccountJson {
    /// A login as the interface shows it; `enable` lets its upstream send again.
    #[must_use]
    pub fn new(view: AccountView, enable: &str, timeline: &Timeline) -> Self {
        Self {
            action: action(&view.state, enable),
            account: view.account,
            sender_bound: view.sender_bound,
            state: view.state.name().to_owned(),
            tried: view.tried,
            reason: some_text(view.state.reason()),
            until: view.state.until().map(|until| rfc3339(timeline.wall_at(until))),
            connections: view.connections,
            most_connections: view.most_connections,
            pace: view.pace,
        }
    }
}
