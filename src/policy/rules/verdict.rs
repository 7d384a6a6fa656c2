//! What all rules together want of a message: the last setting wins.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::condition::Facts;
use crate::config::{HeaderEdit, Rule, RuleActions, Schedule, UserPriority};
use crate::mail::header::mailboxes;
use crate::mail::{Address, NamedAddress};
use crate::store::{Priority, Ruled};

/// Copies that a header field asks for at most: what comes from outside is bounded.
const MOST_FROM_HEADER: usize = 20;

/// What rules want of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RulesVerdict {
    /// What is stored with it.
    pub ruled: Ruled,
    /// The upstream that it takes, whoever it is from.
    pub upstream: Option<String>,
    /// When it goes.
    pub delay_until: Option<Schedule>,
    /// Why it is refused.
    pub rejection: Option<Rejection>,
    /// Whom a header field asks for; no copies go to the one whom the message is from.
    pub(super) clerks: Vec<NamedAddress>,
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The rule.
    pub rule: String,
    /// What the client reads.
    pub text: String,
}

impl RulesVerdict {
    /// Does what a rule says that has matched. Tells whether the next one is asked.
    pub(super) fn follow(&mut self, rule: &Rule, facts: &Facts<'_>) -> bool {
        let RuleActions { reject, last, .. } = &rule.actions;
        self.ruled.rules.push(rule.name.clone());
        self.settings(rule);
        let asked = rule.actions.cc_from_header.iter().flat_map(|name| facts.found.fields(name));
        let asked = asked.flat_map(|field| mailboxes(field.value())).filter(Address::is_ascii);
        self.clerks.extend(asked.take(MOST_FROM_HEADER).map(NamedAddress::from));
        if let Some(text) = reject {
            self.rejection = Some(Rejection { rule: rule.name.clone(), text: text.clone() });
        }
        reject.is_none() && !last
    }

    fn settings(&mut self, rule: &Rule) {
        let actions = &rule.actions;
        let ruled = &mut self.ruled;
        let by_rule = |yes: Option<bool>, before: &mut Option<String>| {
            if let Some(yes) = yes {
                *before = yes.then(|| rule.name.clone());
            }
        };
        by_rule(actions.hold, &mut ruled.held_by);
        by_rule(actions.test, &mut ruled.test_by);
        set(&mut ruled.author, actions.set_sender.as_ref());
        set(&mut ruled.reply_to, actions.set_reply_to.as_ref());
        set(&mut ruled.signature, actions.signature.as_ref());
        set(&mut ruled.priority, actions.set_priority.map(priority).as_ref());
        set(&mut self.upstream, actions.set_upstream.as_ref());
        set(&mut self.delay_until, actions.delay_until.as_ref());
        ruled.cc.extend_from_slice(&actions.add_cc);
        ruled.bcc.extend_from_slice(&actions.add_bcc);
        for edit in &actions.header {
            ruled.header.retain(|HeaderEdit { name, .. }| !name.eq_ignore_ascii_case(&edit.name));
            ruled.header.push(edit.clone());
        }
    }

    /// All rules have been asked: each address gets one copy, the one that all see before the other. Whom a message is from
    /// gets none for being named in a field of it.
    pub(super) fn settle(&mut self, sender: Option<&Address>) {
        let Self { ruled, clerks, .. } = self;
        let author = ruled.author.as_ref().map(|author| &author.address).or(sender).map(Address::key);
        ruled
            .cc
            .extend(std::mem::take(clerks).into_iter().filter(|clerk| Some(clerk.address.key()) != author));
        let mut known = Vec::new();
        let mut is_new = |mailbox: &NamedAddress| {
            let key = mailbox.address.key();
            let is_new = !known.contains(&key);
            known.push(key);
            is_new
        };
        ruled.cc.retain(&mut is_new);
        ruled.bcc.retain(is_new);
    }

    /// Who gets the message in addition to its recipients.
    #[must_use]
    pub fn copies(&self, recipients: &[Address]) -> Vec<Address> {
        let known: Vec<_> = recipients.iter().map(Address::key).collect();
        let all = self.ruled.cc.iter().chain(&self.ruled.bcc).map(|mailbox| &mailbox.address);
        all.filter(|address| !known.contains(&address.key())).cloned().collect()
    }

    /// The moment before which it does not go, if there is one, and what is stored then.
    #[must_use]
    pub fn delayed(self, now: Timestamp, zone: &TimeZone) -> (Ruled, Option<Timestamp>) {
        let goes_at = self.delay_until.and_then(|schedule| schedule.next(now, zone));
        let delay_until = self.delay_until.filter(|_| goes_at.is_some()).map(|schedule| schedule.opens());
        (Ruled { delay_until, ..self.ruled }, goes_at)
    }
}

fn set<T: Clone>(before: &mut Option<T>, now: Option<&T>) {
    if let Some(now) = now {
        *before = Some(now.clone());
    }
}

fn priority(of_rule: UserPriority) -> Priority {
    match of_rule {
        UserPriority::Low => Priority::Low,
        UserPriority::Normal => Priority::Normal,
        UserPriority::High => Priority::High,
    }
}
