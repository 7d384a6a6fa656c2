//! What a message waits for: whom each verdict applies to, what happens next, and when.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::upstream::action;
use super::{rfc3339, some_text};
use crate::account::AccountView;
use crate::config::TestAction;
use crate::content::DAMAGED;
use crate::lane::{LaneState, LaneStatus};
use crate::store::{MOST_DOUBTS, MessageState, RecipientState, Summary, SummaryRecipient};
use crate::time::{Moment, Timeline};
use crate::upstream::AppliesTo;

/// Something that a message waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitJson {
    /// Whose affair it is: `recipient message account upstream`
    pub applies_to: String,
    /// The account or upstream; null for an upstream without a login, a message and its recipients.
    pub name: Option<String>,
    /// The recipients, where it is theirs or the message's.
    pub recipients: Vec<String>,
    /// `scheduled deferred in_doubt held busy down limited sign_in disabled`
    pub state: String,
    /// The reply, or what is in the way, in words; empty when there is no more to say.
    pub reason: String,
    /// What happens next, in words.
    pub then: String,
    /// When that happens, as far as is known.
    pub next: Option<String>,
    /// The command that a person can give.
    pub action: Option<String>,
}

/// By what it is told what a message waits for.
pub struct WaitSources<'a> {
    /// The message.
    pub summary: &'a Summary,
    /// How its lane is; `None` when that has not said so yet.
    pub lane: Option<&'a LaneStatus>,
    /// The accounts that it may go by.
    pub accounts: &'a [AccountView],
    /// What a person does about an upstream that is disabled.
    pub enable: &'a str,
    /// The clock.
    pub timeline: &'a Timeline,
}

impl WaitSources<'_> {
    /// All that the message waits for; nothing when it is being sent, or goes when its turn comes.
    #[must_use]
    pub fn waits(&self) -> Vec<WaitJson> {
        match self.summary.state {
            MessageState::Held => vec![self.held()],
            MessageState::Sending => Vec::new(),
            MessageState::Ready if self.summary.is_scheduled(self.timeline.now()) => vec![self.scheduled()],
            MessageState::Ready | MessageState::Deferred => {
                let mut waits = self.resting();
                waits.extend(self.in_the_way());
                waits
            }
        }
    }

    /// What still keeps a message from going that a person has just made due. What is down is tried at once.
    #[must_use]
    pub fn waits_though_due(&self) -> Vec<WaitJson> {
        let keeps = |wait: &WaitJson| match wait.state.as_str() {
            "down" | "busy" => false,
            "disabled" | "sign_in" => wait.next.is_none(),
            _ => true,
        };
        match self.summary.state {
            MessageState::Held => vec![self.held()],
            MessageState::Sending => Vec::new(),
            MessageState::Ready | MessageState::Deferred => {
                self.in_the_way().into_iter().filter(keeps).collect()
            }
        }
    }

    fn held(&self) -> WaitJson {
        let waiting = self.waiting();
        let id = &self.summary.queue_id;
        // What was accepted to be redirected never goes to its recipients.
        let test = self.summary.decisions.test.as_ref();
        let is_redirected = test.is_some_and(|test| test.action == TestAction::Redirect);
        let to = if is_redirected { "test" } else { "recipients" };
        WaitJson {
            applies_to: "message".to_owned(),
            name: None,
            recipients: waiting.iter().map(|to| to.address.clone()).collect(),
            state: "held".to_owned(),
            reason: self.why_held(),
            then: "nothing, until a person releases or deletes it".to_owned(),
            next: None,
            action: Some(format!("mailsluice queue release {id} --to {to}")),
        }
    }

    /// The reply of a recipient says it where the content is damaged.
    fn why_held(&self) -> String {
        let damaged = self.waiting().into_iter().find(|to| to.reply.contains(DAMAGED));
        let test = self.summary.decisions.test.as_ref();
        match (damaged, test.map(|test| test.action)) {
            (Some(to), _) => to.reply.clone(),
            (None, Some(TestAction::Hold)) => "by test mode".to_owned(),
            (None, _) => match &self.summary.decisions.ruled.held_by {
                Some(rule) => format!("by the rule {rule}"),
                None => "by a person".to_owned(),
            },
        }
    }

    /// It does not go before a time of day.
    fn scheduled(&self) -> WaitJson {
        let time = self.summary.decisions.ruled.delay_until.as_deref().unwrap_or_default();
        WaitJson {
            applies_to: "message".to_owned(),
            name: None,
            recipients: self.waiting().iter().map(|to| to.address.clone()).collect(),
            state: "scheduled".to_owned(),
            reason: format!("a rule has it wait until {time}"),
            then: "it goes".to_owned(),
            next: Some(self.wall(self.summary.due)),
            action: Some(format!("mailsluice queue retry {}", self.summary.queue_id)),
        }
    }

    fn waiting(&self) -> Vec<&SummaryRecipient> {
        self.summary.recipients.iter().filter(|to| to.state == RecipientState::Waiting).collect()
    }

    /// The recipients that rest for their own sake, those with the same reply and time together.
    fn resting(&self) -> Vec<WaitJson> {
        let now = self.timeline.now();
        let waiting = self.waiting();
        let mut groups: Vec<(&SummaryRecipient, Vec<String>)> = Vec::new();
        let mut known: HashMap<(&str, Moment, bool), usize> = HashMap::new();
        for to in waiting.iter().filter(|to| to.attempts > 0 && to.due > now) {
            let place = *known.entry((&to.reply, to.due, is_in_doubt(to))).or_insert(groups.len());
            if place == groups.len() {
                groups.push((to, Vec::new()));
            }
            groups[place].1.push(to.address.clone());
        }
        let applies_to = match groups.as_slice() {
            [(_, all)] if all.len() == waiting.len() && all.len() > 1 => "message",
            _ => "recipient",
        };
        groups.into_iter().map(|(first, all)| self.rest(applies_to, first, all)).collect()
    }

    fn rest(&self, applies_to: &str, first: &SummaryRecipient, recipients: Vec<String>) -> WaitJson {
        let (state, then) = if is_in_doubt(first) {
            ("in_doubt", "it expires unless it is retried")
        } else {
            ("deferred", "it is tried again")
        };
        WaitJson {
            applies_to: applies_to.to_owned(),
            name: None,
            recipients,
            state: state.to_owned(),
            reason: first.reply.clone(),
            then: then.to_owned(),
            next: Some(self.wall(first.due)),
            action: Some(format!("mailsluice queue retry {}", self.summary.queue_id)),
        }
    }

    /// What keeps the accounts from sending, while none of them can.
    fn in_the_way(&self) -> Vec<WaitJson> {
        // While another upstream stands in, its own does not hold it up.
        if self.lane.is_some_and(|lane| lane.via.is_some()) {
            return Vec::new();
        }
        let upstream = self.summary.lane.upstream();
        if self.accounts.iter().all(|account| account.state != LaneState::Up) && !self.accounts.is_empty() {
            let is_upstreams = |account: &&AccountView| account.applies_to == AppliesTo::Upstream;
            let shared = self.accounts.iter().find(is_upstreams);
            let own = self.accounts.iter().filter(|account| !is_upstreams(account));
            let shared = shared.map(|account| self.obstacle("upstream", upstream, &account.state));
            return shared
                .into_iter()
                .chain(own.map(|account| self.obstacle("account", &account.account, &account.state)))
                .collect();
        }
        match (self.lane.map(|lane| &lane.state), self.accounts) {
            (Some(busy @ LaneState::Busy { .. }), [only]) => {
                vec![self.obstacle("account", &only.account, busy)]
            }
            (Some(busy @ LaneState::Busy { .. }), _) => vec![self.obstacle("upstream", upstream, busy)],
            // An upstream that has left the configuration.
            (Some(other), []) if *other != LaneState::Up => vec![self.obstacle("upstream", upstream, other)],
            _ => Vec::new(),
        }
    }

    fn obstacle(&self, applies_to: &str, name: &str, state: &LaneState) -> WaitJson {
        let until = state.until();
        let then = match (state, until) {
            (LaneState::Down { .. }, None) => "a probe is under way",
            (LaneState::Down { .. }, _) | (LaneState::Disabled { .. }, Some(_)) => "a probe is made",
            (LaneState::Disabled { .. }, None) => "nothing, until a person has seen to it",
            (LaneState::SignIn { .. }, None) => "it goes as soon as somebody has signed in",
            (LaneState::SignIn { .. }, Some(_)) => "another token is asked for, and it goes with that",
            (LaneState::Limited { .. }, None) => {
                "mail goes on when a transaction that is under way has ended"
            }
            (LaneState::Limited { .. } | LaneState::Up, _) => "mail goes on",
            (LaneState::Busy { .. }, _) => "it goes when one is free, and its turn comes",
        };
        let state_name = if matches!(state, LaneState::Busy { .. }) { "busy" } else { state.name() };
        WaitJson {
            applies_to: applies_to.to_owned(),
            name: some_text(name),
            recipients: Vec::new(),
            state: state_name.to_owned(),
            reason: state.reason().to_owned(),
            then: then.to_owned(),
            next: until.map(|until| self.wall(until)),
            action: action(state, self.enable),
        }
    }

    fn wall(&self, moment: Moment) -> String {
        rfc3339(self.timeline.wall_at(moment))
    }
}

/// Whether it may have arrived so often that only a person has it tried again.
fn is_in_doubt(recipient: &SummaryRecipient) -> bool {
    recipient.doubts >= MOST_DOUBTS
}
