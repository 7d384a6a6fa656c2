//! What would become of a message, in words and as JSON.

use jiff::Timestamp;
use serde::Serialize;

use crate::config::{Login, Quota, Upstream, Window};
use crate::limits::SHARED;
use crate::mail::Address;
use crate::mail::header::{Fields, mailboxes};
use crate::policy::test_mode::action_name;
use crate::session::carrier::Detour;
use crate::session::ruling::Ruling;
use crate::smtp::Reply;
use crate::store::{Decisions, TestTreatment};
use crate::transform::Prepared;

/// What would become of a message. What stands behind a refusal is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Explanation {
    /// The reply that the client would read, where that is a refusal of the whole message.
    pub rejected: Option<String>,
    /// The rule that refuses it.
    pub rejected_by: Option<String>,
    /// The recipients that are refused.
    pub refused: Vec<RefusedRecipient>,
    /// The rules that match, in their order.
    pub rules: Vec<String>,
    /// What they decide, in words.
    pub decided: Vec<String>,
    /// The upstream; captured mail does not reach it.
    pub upstream: Option<String>,
    /// Why it is the `large` of the upstream that its route leads to.
    pub detour: Option<String>,
    /// The fields that others than the recipients are taken out of: `to`, `cc` or `to,cc`.
    pub edited: Option<String>,
    /// Its accounts that may send it.
    pub accounts: Vec<String>,
    /// The upstreams that stand in for it, in their order.
    pub fallback: Vec<String>,
    /// The address in From as the recipients see it; null where there is none or more than one.
    pub from: Option<String>,
    /// Where reports go; empty for the null reverse-path.
    pub reverse_path: String,
    /// The recipients of the envelope.
    pub recipients: Vec<String>,
    /// Who gets it beside them.
    pub copies: Vec<String>,
    /// Whom the transaction addresses: in test mode the test address alone.
    pub addressed: Vec<String>,
    /// By which keys it is signed.
    pub dkim: Vec<DkimAnswer>,
    /// What the accounts may send; all of them together as `*`.
    pub limits: Vec<AccountLimits>,
    /// Why none of the accounts can carry it, though it is taken: the sender gets a report.
    pub undeliverable: Option<String>,
    /// What the file makes of it in test mode.
    pub test_mode: Option<String>,
    /// The rule that has it held.
    pub held_by: Option<String>,
    /// When it goes at the earliest.
    pub not_before: Option<String>,
    /// The priority that a rule gives it.
    pub priority: Option<String>,
}

/// A recipient that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRecipient {
    /// The recipient.
    pub recipient: String,
    /// The reply to RCPT.
    pub reply: String,
}

/// A DKIM key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DkimAnswer {
    /// The signing domain.
    pub domain: String,
    /// The selector.
    pub selector: String,
}

/// The limits of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountLimits {
    /// The account; empty where nobody logs in.
    pub account: String,
    /// The windows that are limited.
    pub windows: Vec<QuotaLimit>,
    /// Recipients in one transaction; null for all accounts together.
    pub recipients_per_message: Option<u32>,
    /// The largest content, in octets.
    pub message_size: Option<u64>,
}

/// What a window lets through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuotaLimit {
    /// `minute hour day week`, or a length such as `5m`
    pub window: String,
    /// Messages.
    pub messages: Option<u64>,
    /// Recipients.
    pub recipients: Option<u64>,
    /// Octets of content.
    pub octets: Option<u64>,
}

impl Explanation {
    /// The recipients that are taken.
    ///
    /// # Errors
    /// When none is: with the first reply.
    pub(super) fn recipients(
        &mut self,
        asked: &[Address],
        permit: impl Fn(&Address) -> Result<(), Reply>,
    ) -> Result<Vec<Address>, Reply> {
        let mut taken = Vec::new();
        let mut first = None;
        for address in asked {
            match permit(address) {
                Ok(()) => taken.push(address.clone()),
                Err(reply) => {
                    self.refused
                        .push(RefusedRecipient { recipient: address.to_string(), reply: reply.to_string() });
                    first = first.or(Some(reply));
                }
            }
        }
        match first {
            Some(reply) if taken.is_empty() => Err(reply),
            _ => Ok(taken),
        }
    }

    /// What rules make of it.
    pub(super) fn rule(&mut self, ruling: &Ruling, recipients: &[Address]) {
        let texts = |all: &[Address]| all.iter().map(ToString::to_string).collect();
        let decisions =
            Decisions { test: None, upstream: ruling.upstream.clone(), ruled: ruling.ruled.clone() };
        self.rules.clone_from(&ruling.ruled.rules);
        self.decided = decisions.in_words();
        self.reverse_path = ruling.reverse_path.to_string();
        self.recipients = texts(recipients);
        self.copies = texts(&ruling.copies);
        self.held_by.clone_from(&ruling.ruled.held_by);
        self.not_before = ruling.goes_at.map(|at: Timestamp| format!("{at:.3}"));
        self.priority = ruling.ruled.priority.map(|priority| priority.name().to_owned());
    }

    /// Another upstream than its route leads to carries it.
    pub(super) fn detour(&mut self, Detour { of, reason }: &Detour<'_>) {
        self.detour = Some(format!("{of} can't carry it: {reason}"));
    }

    /// By what it goes.
    pub(super) fn route(&mut self, upstream: &Upstream, accounts: &[&str]) {
        self.upstream = Some(upstream.name.clone());
        self.accounts = accounts.iter().map(|&name| name.to_owned()).collect();
        self.fallback.clone_from(&upstream.fallback.upstreams);
        let may = upstream.accounts.iter().filter(|account| accounts.contains(&account.name()));
        self.limits = may.map(|account| of_account(upstream, account)).collect();
        let shared = &upstream.shared_limits;
        self.limits.extend(shared.has_quotas().then(|| AccountLimits {
            account: SHARED.to_owned(),
            windows: windows(shared.quotas.iter()),
            recipients_per_message: None,
            message_size: None,
        }));
    }

    /// What test mode makes of it.
    pub(super) fn test(&mut self, test: Option<&TestTreatment>) {
        self.test_mode = test.map(|test| match &test.address {
            Some(address) => format!("{} {address}", action_name(test.action)),
            None => action_name(test.action).to_owned(),
        });
    }

    /// The message as it would leave.
    pub(super) fn prepared(&mut self, prepared: &Prepared, by: &Upstream) {
        let size = prepared.content.len();
        let too_large = by.message_size().filter(|max| size > max.0);
        self.undeliverable = too_large
            .map(|max| format!("the message has {size} octets as it goes, {} takes {}", by.name, max.0));
        self.reverse_path = prepared.reverse_path.to_string();
        self.addressed = prepared.recipients.iter().map(ToString::to_string).collect();
        if !prepared.edited.is_empty() {
            self.edited = Some(prepared.edited.to_string());
        }
        // Our signatures are the last change, and stand above all else.
        let ours = Fields::new(prepared.content.head()).take_while(|field| field.is("DKIM-Signature"));
        self.dkim = ours.map(|field| signature(&field.unfolded())).collect();
        let from = Fields::new(prepared.content.head()).filter(|field| field.is("From"));
        let from: Vec<Address> = from.flat_map(|field| mailboxes(field.value())).collect();
        self.from = match from.as_slice() {
            [only] => Some(only.to_string()),
            _ => None,
        };
    }
}

fn of_account(upstream: &Upstream, account: &Login) -> AccountLimits {
    AccountLimits {
        account: account.name().to_owned(),
        windows: windows(account.limits.quotas.iter()),
        recipients_per_message: Some(account.limits.recipients_per_message),
        message_size: upstream.message_size_of(account).map(|size| size.0),
    }
}

/// The windows that are limited.
fn windows(quotas: impl Iterator<Item = (Window, Quota)>) -> Vec<QuotaLimit> {
    let windows = quotas.map(|(window, quota)| QuotaLimit {
        window: window.to_string(),
        messages: quota.messages.map(u64::from),
        recipients: quota.recipients.map(u64::from),
        octets: quota.octets,
    });
    windows.collect()
}

/// Domain and selector of a signature (RFC 6376 3.5).
fn signature(value: &[u8]) -> DkimAnswer {
    let text = String::from_utf8_lossy(value);
    let tag = |name: &str| {
        let tags = text.split(';').filter_map(|tag| tag.split_once('='));
        let found = tags.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name);
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    DkimAnswer { domain: tag("d"), selector: tag("s") }
}
