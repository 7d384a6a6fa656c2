//! What a refusal over a connection that was used before teaches, once a new one has given its answer.

use super::feedback::Feedback;
use super::verdict::RefusedWhenUsed;
use crate::upstream::TransactionResult;

impl Feedback<'_> {
    /// Whether a transaction is to be made again over a new connection: what a used one refuses proves nothing, unless a new
    /// one has refused the same a short time ago.
    pub(crate) fn is_in_doubt(&self, result: &TransactionResult, is_used: bool) -> bool {
        let is_confirmed = |stage, reply| {
            self.account.condition.with_precedents(|before| before.is_confirmed(stage, reply, self.now()))
        };
        let first =
            result.recipients.first().and_then(|first| first.refusal().map(|reply| (first.stage, reply)));
        result.proves_nothing(is_used) && !first.is_some_and(|(stage, reply)| is_confirmed(stage, reply))
    }

    /// What became of a transaction over a new connection.
    pub(crate) fn tried_again(&self, before: &RefusedWhenUsed, after: &TransactionResult) {
        let Some(refused) = before.result.recipients.first() else { return };
        let Some(reply) = refused.refusal() else { return };
        if after.is_like(&before.result) {
            self.account.condition.with_precedents(|known| known.confirm(refused.stage, reply, self.now()));
        } else if before.carried > 0 {
            self.session_ended(before.carried);
        }
    }

    /// A connection that had carried messages was refused what a new one was not.
    fn session_ended(&self, messages: u32) {
        let (upstream, account) = self.names();
        if let Some(most) = self.account.pool.session_ended_after(messages) {
            let reason = "the upstream takes no more over one connection: messages_per_connection sets it";
            tracing::info!(
                event = "slowed",
                upstream,
                account,
                reason,
                pace = format!("{most} messages a connection")
            );
        }
    }
}
