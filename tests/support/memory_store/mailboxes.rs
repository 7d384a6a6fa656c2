//! Mailboxes that do not exist.

use std::collections::BTreeSet;

use mailsluice::store::*;
use mailsluice::time::Moment;

use super::{MemoryState, MemoryStore};

/// A failure that counts, and those that followed it too soon to count.
pub(super) struct Failed {
    pub(super) address: String,
    at: Moment,
    last: Moment,
    is_void: bool,
}

impl MemoryStore {
    pub(super) fn mailbox_failed(
        &self,
        state: &mut MemoryState,
        failure: &MailboxFailure,
        findings: &mut MailboxFindings,
    ) {
        let (now, address) = (self.now(), pattern_key(&failure.address));
        let domain = domain_key(&address);
        let soon =
            state.failures.iter_mut().find(|f| f.address == address && now.since(f.at) < FAILURES_APART);
        if let Some(failed) = soon {
            failed.last = now;
        } else {
            let address = address.clone();
            state.failures.push(Failed { address, at: now, last: now, is_void: false });
        }
        let today = |f: &Failed| domain_key(&f.address) == domain && now.since(f.last) < TROUBLE_WITHIN;
        let failing: BTreeSet<String> =
            state.failures.iter().filter(|f| today(f)).map(|f| f.address.clone()).collect();
        let sent = state
            .deliveries
            .iter()
            .filter(|(to, at)| domain_key(to) == domain && now.since(*at) < TROUBLE_WITHIN);
        let (failed, recipients) = (failing.len() as u64, failing.len() as u64 + sent.count() as u64);
        if is_in_trouble(failed, recipients) {
            findings.listed.retain(|entry| domain_key(&entry.pattern) != domain);
            state.failures.iter_mut().filter(|f| today(f)).for_each(|f| f.is_void = true);
            let before = state.blacklist.len();
            let by_bounce = |entry: &BlacklistEntry| entry.source == BlacklistSource::Bounce;
            state.blacklist.retain(|pattern, entry| !(by_bounce(entry) && failing.contains(pattern)));
            let withdrawn = (before - state.blacklist.len()) as u64;
            let told = state.troubles.insert(domain.to_owned(), now);
            if told.is_none_or(|told| now.since(told) >= TROUBLE_WITHIN) {
                let domain = domain.to_owned();
                findings.troubled.push(TroubledDomain { domain, failed, recipients, withdrawn });
            }
            return;
        }
        let counts = |f: &&Failed| f.address == address && !f.is_void && now.since(f.at) < FAILURES_WITHIN;
        if state.failures.iter().filter(counts).count() < failure.rule.after as usize {
            return;
        }
        state.failures.iter_mut().filter(|f| f.address == address).for_each(|f| f.is_void = true);
        let stays = |entry: &BlacklistEntry| {
            entry.source != BlacklistSource::Bounce && entry.expires.is_none_or(|end| end > now)
        };
        if !state.blacklist.get(&address).is_some_and(stays) {
            let entry = BlacklistEntry {
                pattern: address.clone(),
                reason: failure.reply.clone(),
                source: BlacklistSource::Bounce,
                added: self.timeline.wall().as_millisecond(),
                expires: failure.rule.lasts.map(|lasts| now.after(lasts)),
            };
            state.blacklist.insert(address, entry.clone());
            findings.listed.push(entry);
        }
    }

    pub(super) fn mailbox_reached(&self, state: &mut MemoryState, address: &str) {
        let address = pattern_key(address);
        state.failures.retain(|failed| failed.address != address);
        state.deliveries.push((address, self.now()));
    }
}
