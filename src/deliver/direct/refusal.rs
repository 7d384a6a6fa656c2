//! What a client is told when the upstream does not take its message, or can't be asked.

use jiff::Timestamp;

use crate::account::{Obstacle, Pause};
use crate::deliver::context::Context;
use crate::direct::DirectRefusal;
use crate::smtp::Reply;
use crate::upstream::{Answer, ConnectError, DeferralCause, Outcome, RecipientResult};

/// What the upstream has answered, or that it did not answer, and what that means for the recipient.
pub(super) fn by_result(upstream: &str, result: &RecipientResult, outcome: Outcome) -> DirectRefusal {
    match &result.answer {
        // It is not about the message, which must not fail for good because of it.
        Answer::Refused(reply) if waits_for_upstream(outcome) => {
            let refused =
                ours((4, 4, 1), format!("{upstream} cannot be used at present: {reply}"), "unreachable");
            if reply.is_permanent() { refused } else { DirectRefusal { reply: passed_on(reply), ..refused } }
        }
        Answer::Refused(reply) if reply.is_permanent() && outcome.is_own_failure() => {
            let text = format!("{upstream} has refused it, which need not be for good: {reply}");
            DirectRefusal { elsewhere: false, ..ours((4, 0, 0), text, "upstream") }
        }
        Answer::Accepted(reply) | Answer::Captured(reply) | Answer::Refused(reply) | Answer::Later(reply) => {
            DirectRefusal { reply: passed_on(reply), reason: "upstream", elsewhere: false }
        }
        Answer::Failed(_) => ours((4, 4, 2), format!("{upstream} has failed {result}"), "unreachable"),
        Answer::Unknown(_) => {
            let text = format!("{upstream} has failed {result}; it may have the message");
            DirectRefusal { elsewhere: false, ..ours((4, 4, 2), text, "possible_duplicate") }
        }
    }
}

/// The upstream's reply as our client may read it. 421 says that the line is closing, which is the upstream's, not ours.
pub(super) fn passed_on(reply: &Reply) -> Reply {
    let code = if reply.code == 421 { 451 } else { reply.code };
    Reply { code, ..reply.clone() }
}

/// No connection came about.
pub(super) fn unreachable(upstream: &str, error: &ConnectError) -> DirectRefusal {
    match error.no_token() {
        Some(why) => no_token(upstream, &why.reason),
        None => down(upstream, &error.to_string()),
    }
}

/// There is nothing to log in with.
fn no_token(upstream: &str, reason: &str) -> DirectRefusal {
    ours((4, 7, 0), format!("{upstream} waits for a sign-in: {reason}"), "sign_in")
}

/// No connection came about some time ago, and none is tried yet.
pub(super) fn down(upstream: &str, reason: &str) -> DirectRefusal {
    ours((4, 4, 1), format!("{upstream} is not reachable: {reason}"), "unreachable")
}

/// What is in the way of all mail of an upstream.
pub(super) fn obstacle(context: &Context, upstream: &str, obstacle: &Obstacle) -> DirectRefusal {
    match obstacle {
        Obstacle::Busy => busy(upstream),
        Obstacle::Limited(wait) => {
            let until = wait.until.map(|until| context.timeline.wall_at(until));
            limited(upstream, &wait.cause.to_string(), until)
        }
        Obstacle::Paused(Pause { until, reason }) => {
            limited(upstream, reason, Some(context.timeline.wall_at(*until)))
        }
        Obstacle::Down(found) if found.is_login => disabled(upstream, &found.reason),
        Obstacle::Down(found) => down(upstream, &found.reason),
        Obstacle::NoToken(why) => no_token(upstream, &why.reason),
        Obstacle::Disabled(reason) => disabled(upstream, reason),
    }
}

/// The upstream is switched off.
pub(super) fn disabled(upstream: &str, reason: &str) -> DirectRefusal {
    ours((4, 3, 2), format!("{upstream} is disabled: {reason}"), "disabled")
}

/// A limit is reached, until then; without a time until something that is under way has ended.
pub(super) fn limited(upstream: &str, cause: &str, until: Option<Timestamp>) -> DirectRefusal {
    let next = match until {
        Some(until) => {
            // A client that comes at the second that it was told must not come too early.
            let whole = until.as_second() + i64::from(until.subsec_nanosecond() > 0);
            format!("next at {:.0}", Timestamp::from_second(whole).unwrap_or(until))
        }
        None => "try again when what is under way has ended".to_owned(),
    };
    ours((4, 7, 1), format!("{cause} of {upstream} reached, {next}"), "limit")
}

/// No connection is free.
pub(super) fn busy(upstream: &str) -> DirectRefusal {
    ours((4, 4, 5), format!("all connections to {upstream} are in use, try again later"), "busy")
}

/// Our own store fails.
pub(super) fn store() -> DirectRefusal {
    let text = "mail cannot be sent at present, try again later";
    DirectRefusal { elsewhere: false, ..ours((4, 3, 0), text.to_owned(), "store") }
}

/// The dialogue can't go on.
pub(super) fn lost() -> DirectRefusal {
    let text = "the message was broken off, try again later";
    DirectRefusal { elsewhere: false, ..ours((4, 3, 0), text.to_owned(), "broken_off") }
}

/// The upstream has not answered for as long as our client may wait.
pub(super) fn too_slow(upstream: &str) -> DirectRefusal {
    ours((4, 4, 2), format!("{upstream} does not answer in time"), "timeout")
}

/// The relay stops.
pub(super) fn stopping() -> DirectRefusal {
    let text = "the relay is stopping, try again later";
    DirectRefusal { elsewhere: false, ..ours((4, 3, 2), text.to_owned(), "stopping") }
}

/// The transaction holds as many recipients as it may.
pub(super) fn too_many(most: u32) -> DirectRefusal {
    let text = format!("no more than {most} recipients; send the rest in another message");
    DirectRefusal { reply: Reply::new(452, (4, 5, 3), text), reason: "too_many_recipients", elsewhere: false }
}

/// The message can't be made ready for this upstream.
pub(super) fn unfit(reply: Reply) -> DirectRefusal {
    DirectRefusal { reply, reason: "upstream", elsewhere: true }
}

/// The client has waited for too long between its commands.
pub(super) fn idle() -> DirectRefusal {
    let text = "given up after a minute without progress: begin anew with RSET and MAIL";
    DirectRefusal { elsewhere: false, ..ours((4, 4, 2), text.to_owned(), "idle") }
}

/// The message can't be made ready for an upstream that only stands in for another.
pub(super) fn unfit_for_fallback(reply: &Reply) -> DirectRefusal {
    ours(
        (4, 4, 1),
        format!("its own upstream cannot be used at present, and its fallback cannot take it: {reply}"),
        "upstream",
    )
}

/// Whether the message waits for the upstream alone.
fn waits_for_upstream(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Deferred { cause: DeferralCause::Upstream, .. })
}

/// The trouble of this route, which may be over soon.
fn ours(status: (u8, u16, u16), text: String, reason: &'static str) -> DirectRefusal {
    DirectRefusal { reply: Reply::new(451, status, text), reason, elsewhere: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{DialogueFault, Stage, classify};

    #[test]
    fn each_answer_in_words() {
        let refused = |code, text: &str| Answer::Refused(Reply::bare(code, vec![text.into()]));
        let hung = DialogueFault::TimedOut(std::time::Duration::from_secs(3));
        for (stage, answer, want, elsewhere) in [
            (Stage::Rcpt, refused(550, "5.1.1 no"), "550 5.1.1 no", false),
            (Stage::Rcpt, refused(501, "what"), "501 what", false),
            (Stage::FinalDot, refused(421, "4.3.2 bye"), "451 4.3.2 bye", false),
            (Stage::Mail, refused(530, "log in"), "451 4.4.1 up cannot be used at present: 530 log in", true),
            (
                Stage::Data,
                Answer::Failed(hung.clone()),
                "451 4.4.2 up has failed at DATA: no answer within 3s",
                true,
            ),
            (
                Stage::FinalDot,
                Answer::Unknown(hung),
                "451 4.4.2 up has failed at the final dot: no answer within 3s; it may have the message",
                false,
            ),
        ] {
            let result = RecipientResult { stage, answer };
            let refused = by_result("up", &result, classify(&result));
            assert_eq!((refused.reply.to_string().as_str(), refused.elsewhere), (want, elsewhere));
        }
    }

    #[test]
    fn a_limit_says_until_when() {
        let until = "2026-11-22T10:00:01.5Z".parse().unwrap();
        let told = |until| limited("up", "limit per minute", until).reply.to_string();
        assert_eq!(
            told(Some(until)),
            "451 4.7.1 limit per minute of up reached, next at 2026-11-22T10:00:02Z"
        );
        assert!(told(None).ends_with(", try again when what is under way has ended"));
    }
}
