//! Mailboxes that do not exist are told to the store, which lists them when they have failed often enough.

use super::attempted::RecipientOutcome;
use super::context::Context;
use crate::mail::{Address, QueueId};
use crate::store::{BlacklistEntry, ListingRule, MailboxFailure};

/// The failure of a mailbox, if failures can put it on the blacklist.
pub(super) fn failure(context: &Context, address: &Address, reply: String) -> Option<MailboxFailure> {
    let config = &context.config.blacklist;
    let rule = ListingRule { after: config.auto_add_after, lasts: config.expire_after };
    config.auto_add.then(|| MailboxFailure { address: address.as_str().to_owned(), reply, rule })
}

/// Notes the mailboxes that an attempt has not found. Returns the entries of the blacklist that it has made.
pub(super) async fn note_attempt(
    context: &Context,
    outcomes: &[RecipientOutcome],
    queue_id: &QueueId,
) -> Vec<BlacklistEntry> {
    let missing = outcomes.iter().filter(|each| each.no_such_mailbox);
    let failures = missing.filter_map(|each| failure(context, &each.recipient.address, each.reply.clone()));
    note(context, failures.collect(), Some(queue_id)).await
}

/// Notes failures, and logs what the store makes of them. One that is not noted for a fault of the store holds nothing up.
pub(super) async fn note(
    context: &Context,
    failures: Vec<MailboxFailure>,
    queue_id: Option<&QueueId>,
) -> Vec<BlacklistEntry> {
    if failures.is_empty() {
        return Vec::new();
    }
    let queue_id = queue_id.map(ToString::to_string);
    let findings = match context.store.mailboxes_failed(failures).await {
        Ok(findings) => findings,
        Err(error) => {
            tracing::error!(event = "store", queue_id, reason = %error, effect = "its mailboxes are not blacklisted");
            return Vec::new();
        }
    };
    for entry in &findings.listed {
        let next = entry.expires.map(|until| context.wall(until));
        tracing::warn!(
            event = "blacklisted",
            queue_id,
            to = entry.pattern,
            reply = entry.reason,
            reason = "it has failed often enough, and nothing was delivered between",
            next,
            action = format!("if the mailbox exists, `mailsluice blacklist remove {}`", entry.pattern)
        );
    }
    for trouble in &findings.troubled {
        tracing::error!(
            event = "blacklist_paused",
            domain = trouble.domain,
            reason = format!(
                "{} of {} recipients within a day do not exist, as its server says: that is its own trouble",
                trouble.failed, trouble.recipients
            ),
            effect = format!("none of them is blacklisted; entries taken back: {}", trouble.withdrawn),
            action = "look at the domain's replies in the log; what has bounced was reported to its senders"
        );
    }
    findings.listed
}
