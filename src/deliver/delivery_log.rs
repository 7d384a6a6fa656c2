//! The log lines of an attempt: one for each recipient, and one alone for a test copy.

use super::attempted::{RecipientOutcome, state};
use super::lane_settings::LaneSettings;
use super::pause::Pauses;
use crate::account::Account;
use crate::config::TestAction;
use crate::metrics::{CountedLogin, CountedOutcome, FailureClass};
use crate::policy::test_mode::action_name;
use crate::store::{LaneKind, LaneName, Message, MessageKind, RecipientState};
use crate::time::Moment;
use crate::transform::EditedFields;
use crate::upstream::Outcome;

/// What a person should do about a recipient that is not tried again by itself.
const GIVEN_UP: &str = "it may have arrived three times, so it is not tried again by itself: `mailsluice queue retry` \
    sends it once more, else it expires with a report";

/// What all lines of an attempt have in common.
pub(super) struct DeliveryLine<'a> {
    pub(super) lane: &'a LaneSettings,
    /// By whom it was tried.
    pub(super) account: Option<&'a Account>,
    pub(super) message: &'a Message,
    /// The upstream as it answered; empty when none did.
    pub(super) host: &'a str,
    pub(super) now: Moment,
    /// How long what waits rests.
    pub(super) pauses: &'a Pauses<'a>,
    /// Whether it was an attempt.
    pub(super) tried: bool,
    /// The fields that others than the recipients were taken out of.
    pub(super) edited: EditedFields,
}

/// Writes one line per recipient; for a test copy one line that names them all. What is logged is counted, by recipient.
pub(super) fn attempt(line: &DeliveryLine<'_>, outcomes: &[RecipientOutcome]) {
    for outcome in outcomes {
        line.count(outcome);
    }
    let message = line.message;
    let test = message.decisions.test.as_ref();
    if let (Some(test), [first, ..]) = (test.filter(|t| t.action == TestAction::Redirect), outcomes) {
        let all: Vec<_> = message.recipients.iter().map(|r| r.address.as_str()).collect();
        let to = test.address.as_ref().map(ToString::to_string).unwrap_or_default();
        line.write(first, &to, Some(&all.join(",")));
        return;
    }
    for outcome in outcomes {
        line.write(outcome, outcome.recipient.address.as_str(), None);
    }
}

impl DeliveryLine<'_> {
    fn write(&self, each: &RecipientOutcome, to: &str, original_to: Option<&str>) {
        let Self { message, now, .. } = *self;
        let state = state(each.outcome, self.pauses.expired());
        let reply = if each.is_doubtful() {
            format!("{} (possible duplicate)", each.reply)
        } else {
            each.reply.clone()
        };
        let waits = state == RecipientState::Waiting;
        // While the upstream is down or must not be used, what counts is the end of that.
        let resumes = if waits { self.lane.candidates.resumes_at(now) } else { None };
        let due = now.after(self.pauses.of(each).unwrap_or_default());
        let is_timed = waits && (resumes.is_some() || !self.lane.candidates.are_stopped());
        let next = is_timed.then(|| resumes.map_or(due, |resumes| resumes.max(due)));
        let next = next.map(|next| self.lane.context.wall(next));
        let delay = format!("{:.1}s", now.since(message.accepted).as_secs_f64());
        let attempt = each.recipient.attempts + u32::from(self.tried && each.is_attempt());
        let action = (waits && each.is_given_up()).then_some(GIVEN_UP);
        let account = self.account.and_then(Account::name);
        let upstream = self.upstream();
        let host = Some(self.host).filter(|host| !host.is_empty());
        let is_edited = state == RecipientState::Sent && !self.edited.is_empty();
        let edited = is_edited.then(|| self.edited.to_string());
        let test_mode = message.decisions.test.as_ref().map(|test| action_name(test.action));
        // The level is part of a tracing call's static data, so there is one call for each.
        macro_rules! write_line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    event = event_name(state),
                    queue_id = %message.queue_id,
                    from = %message.reverse_path,
                    to,
                    original_to,
                    upstream,
                    account,
                    host,
                    reply,
                    delay,
                    attempt,
                    next,
                    action,
                    edited,
                    test_mode
                )
            };
        }
        let report = message.kind == MessageKind::Report;
        match state {
            RecipientState::Bounced | RecipientState::Expired if report => {
                write_line!(tracing::Level::ERROR);
            }
            RecipientState::Bounced | RecipientState::Expired => write_line!(tracing::Level::WARN),
            RecipientState::Waiting if each.outcome != Outcome::Later => write_line!(tracing::Level::WARN),
            _ => write_line!(tracing::Level::INFO),
        }
    }

    fn count(&self, each: &RecipientOutcome) {
        let metrics = &self.lane.context.metrics;
        let login = CountedLogin {
            upstream: self.upstream().unwrap_or_default(),
            account: self.account.and_then(Account::name).unwrap_or_default(),
        };
        let outcome = counted(state(each.outcome, self.pauses.expired()));
        metrics.count(outcome, login, 1);
        metrics.failed(outcome, FailureClass::of(&each.reply), login);
        if each.is_doubtful() {
            metrics.possible_duplicate(login);
        }
        if outcome == CountedOutcome::Sent {
            metrics.delivered_after(login.upstream, self.now.since(self.message.accepted), 1);
        }
    }

    /// The upstream by which it went. The local mailbox of test mode is none.
    fn upstream(&self) -> Option<&str> {
        let name = match self.account {
            Some(account) => &*account.key().upstream,
            None => self.lane.upstream.name.as_str(),
        };
        Some(name).filter(|name| LaneName::parse(name).kind() != LaneKind::Captured)
    }
}

/// The event of a recipient's state.
fn event_name(state: RecipientState) -> &'static str {
    counted(state).name()
}

/// A recipient's state as it is counted.
fn counted(state: RecipientState) -> CountedOutcome {
    match state {
        RecipientState::Waiting | RecipientState::Sending => CountedOutcome::Deferred,
        RecipientState::Sent => CountedOutcome::Sent,
        RecipientState::Bounced => CountedOutcome::Bounced,
        RecipientState::Expired => CountedOutcome::Expired,
        RecipientState::Dropped => CountedOutcome::Dropped,
        RecipientState::Captured => CountedOutcome::Captured,
    }
}
