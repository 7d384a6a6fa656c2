//! What of upstreams and their accounts a person must know.

use super::trouble::{AlertCause, StandingTrouble, TroubleKey, Troubles};
use crate::account::{
    AccountView, Accounts, Complaint, DISABLED_BY_HAND, FinishedRecipients, THROUGHPUT_WINDOW, UpstreamView,
    enabling,
};
use crate::config::{Login, Upstream};
use crate::lane::LaneState;
use crate::time::Moment;
use crate::upstream::AppliesTo;

/// Refused senders that are named in a sentence.
const NAMED: usize = 5;
/// Recipients of whom some must have bounced before it says anything of an upstream.
const LEAST_FINISHED: u64 = 20;
/// One of so many may bounce.
const ONE_OF: u64 = 10;

/// What upstreams are looked at by.
pub(super) struct UpstreamSources<'a> {
    pub(super) accounts: &'a Accounts,
    /// Sign-ins that a person must see to: of accounts that use them nothing more is said.
    pub(super) faulty_sign_ins: &'a [String],
    /// When the relay started.
    pub(super) started: Moment,
    pub(super) now: Moment,
}

impl UpstreamSources<'_> {
    /// Adds what stands of an upstream.
    pub(super) fn add(&self, upstream: &Upstream, standing: &mut Troubles) {
        let name = &upstream.name;
        let Some(view) = self.accounts.view_in_memory(name).filter(|_| upstream.enabled) else { return };
        if view.state.reason() == DISABLED_BY_HAND {
            return;
        }
        self.add_accounts(upstream, &view, standing);
        standing.troubles.extend(refusals(name, self.accounts.refused_senders(name)));
        standing
            .troubles
            .extend(self.accounts.strange_replies(name).into_iter().map(|one| strange(name, one)));
        self.add_bounces(name, standing);
    }

    fn add_accounts(&self, upstream: &Upstream, view: &UpstreamView, standing: &mut Troubles) {
        let name = &upstream.name;
        let is_proven =
            |account: &AccountView| !account.state.needs_a_person() && unclear(account).is_empty();
        let works = view.accounts.iter().any(is_proven);
        for account in &view.accounts {
            let key = |cause| match account.applies_to {
                AppliesTo::Upstream => TroubleKey::of_upstream(cause, name),
                AppliesTo::Account => TroubleKey::of_account(cause, name, &account.account),
            };
            let state = &account.state;
            if state.reason() == DISABLED_BY_HAND {
                continue;
            }
            for cause in unclear(account) {
                standing.unclear.insert(TroubleKey::of_account(cause, name, &account.account));
                if !works {
                    standing.unclear.insert(TroubleKey::of_upstream(cause, name));
                }
            }
            let login = upstream.accounts.iter().find(|login| login.name() == account.account);
            if !state.needs_a_person() || self.is_told_of_sign_in(state, login) {
                continue;
            }
            let cause = match state {
                LaneState::SignIn { .. } => AlertCause::SignIn,
                _ => AlertCause::UpstreamDisabled,
            };
            let key = key(cause);
            // What concerns all accounts alike is said once.
            if standing.troubles.iter().any(|known| known.key == key) {
                continue;
            }
            let whose =
                if key.account.is_empty() { String::new() } else { format!(" account {}", key.account) };
            standing.troubles.push(StandingTrouble {
                text: format!("upstream {name}{whose}: {}", state.reason()),
                action: state.action().map_or_else(|| enabling(name), str::to_owned),
                key,
                step: None,
            });
        }
    }

    fn is_told_of_sign_in(&self, state: &LaneState, login: Option<&Login>) -> bool {
        let sign_in = login.and_then(|login| login.oauth.as_deref());
        matches!(state, LaneState::SignIn { .. })
            && sign_in.is_some_and(|sign_in| self.faulty_sign_ins.iter().any(|name| *name == *sign_in))
    }

    fn add_bounces(&self, name: &str, standing: &mut Troubles) {
        let finished = self.accounts.finished_recipients(name);
        if let Some(trouble) = bounces(name, finished) {
            standing.troubles.push(trouble);
        } else if finished.all() < LEAST_FINISHED && self.now.since(self.started) < THROUGHPUT_WINDOW {
            // What went before the start is not known any more.
            standing.unclear.insert(TroubleKey::of_upstream(AlertCause::Bounces, name));
        }
    }
}

/// What is not known of an account: one that was not tried since the start is only believed to work, and one that is tried again
/// by itself may come to count as disabled.
fn unclear(account: &AccountView) -> Vec<AlertCause> {
    let state = &account.state;
    match state {
        LaneState::Down { .. } => vec![AlertCause::UpstreamDisabled],
        LaneState::SignIn { .. } => vec![AlertCause::UpstreamDisabled, AlertCause::SignIn],
        LaneState::Up | LaneState::Busy { .. } | LaneState::Limited { .. } if !account.tried => {
            vec![AlertCause::UpstreamDisabled]
        }
        LaneState::Up | LaneState::Busy { .. } | LaneState::Limited { .. } | LaneState::Disabled { .. } => {
            Vec::new()
        }
    }
}

/// The senders that an upstream refuses, those with the same advice together.
fn refusals(upstream: &str, all: Vec<Complaint>) -> Vec<StandingTrouble> {
    let mut by_advice: Vec<(String, Vec<String>)> = Vec::new();
    for Complaint { about, advice, .. } in all {
        match by_advice.iter_mut().find(|(known, _)| *known == advice) {
            Some((_, senders)) => senders.push(about),
            None => by_advice.push((advice, vec![about])),
        }
    }
    let trouble = |(advice, senders): (String, Vec<String>)| {
        let more = senders.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let senders = senders[..senders.len().min(NAMED)].join(", ");
        StandingTrouble {
            key: TroubleKey::of_upstream(AlertCause::SenderRefused, upstream).about(advice.clone()),
            text: format!("upstream {upstream} refuses mail from {senders}{more}"),
            action: advice,
            step: None,
        }
    };
    by_advice.into_iter().map(trouble).collect()
}

fn strange(upstream: &str, complaint: Complaint) -> StandingTrouble {
    let Complaint { about, account, reply, advice, .. } = complaint;
    StandingTrouble {
        key: TroubleKey::of_account(AlertCause::StrangeReply, upstream, &account).about(about),
        text: format!("upstream {upstream}: {reply}"),
        action: advice,
        step: None,
    }
}

/// Whether so many recipients bounce that something must be wrong.
fn bounces(upstream: &str, finished: FinishedRecipients) -> Option<StandingTrouble> {
    let FinishedRecipients { bounced, .. } = finished;
    let all = finished.all();
    let is_too_much = all >= LEAST_FINISHED && bounced.saturating_mul(ONE_OF) > all;
    is_too_much.then(|| StandingTrouble {
        key: TroubleKey::of_upstream(AlertCause::Bounces, upstream),
        text: format!("upstream {upstream}: {bounced} of {all} recipients bounced within an hour"),
        action: "look at the replies in the log (event bounced): a list of old addresses, or a sender, host or DKIM key that \
                 others refuse (`mailsluice doctor`)"
            .to_owned(),
        step: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_tenth_of_twenty_is_too_much() {
        for (sent, bounced, want) in [
            (0, 0, false),
            (0, 19, false),
            (18, 2, false),
            (17, 3, true),
            (0, 20, true),
            (900, 100, false),
            (899, 101, true),
        ] {
            let found = bounces("up", FinishedRecipients { sent, bounced });
            assert_eq!(found.is_some(), want, "{sent} {bounced}");
        }
        let found = bounces("up", FinishedRecipients { sent: 17, bounced: 3 }).unwrap();
        assert_eq!(found.text, "upstream up: 3 of 20 recipients bounced within an hour");
    }
}
