//! `mailsluice queue release --all`

use hyper::Method;

use super::filter::MessageFilter;
use crate::cli::client::{ApiRequest, Client, RequestPath, StreamEnd};
use crate::cli::context::CliContext;
use crate::cli::dialogue::TerminalDialogue;
use crate::cli::failure::{Failure, complain};
use crate::cli::output::{self, count};
use crate::control::view::{ReleaseAll, ReleasePlan, ReleaseProgress, ReleaseQuery};
use crate::report::log::escape::printable;

/// Releases of fewer messages need no report of their progress.
const LONG: u64 = 10_000;
/// Reports of progress, each after as much.
const REPORTS: u64 = 20;

/// Releases all held messages that fit, once a person has agreed to what that means.
pub(super) fn all(filter: &MessageFilter, to: &str, yes: bool, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    let MessageFilter { upstream, state, sender, recipient } = filter.clone();
    let query = ReleaseQuery { to: to.to_owned(), upstream, state, sender, recipient };
    let target = filter.add_to(RequestPath::path(&["queue", "release"])).with("to", Some(to));
    let answer = client.get::<ReleasePlan>(&target)?;
    let plan = answer.value;
    if plan.messages > 0 && !yes {
        if context.json {
            output::json(&answer.raw)?;
            return Err(Failure::Told);
        }
        agree(&plan)?;
    }
    let done = if plan.messages == 0 {
        ReleaseProgress { done: true, ..ReleaseProgress::default() }
    } else {
        carry_out(&ReleaseAll { query, plan: plan.clone() }, &client)?
    };
    context.print_value(&done, &report(&done, &plan))?;
    match done.error {
        Some(error) => Err(Failure::new(format!("broken off, the rest stays held: {error}"))),
        None => Ok(()),
    }
}

/// Asks at the terminal; without one there is nobody who could agree.
fn agree(plan: &ReleasePlan) -> Result<(), Failure> {
    let what = meaning(plan);
    let Some(mut dialogue) = TerminalDialogue::here() else {
        return Err(Failure::new(format!("{what}; nothing was released: say --yes if that is meant")));
    };
    dialogue.say(&what)?;
    if dialogue.confirm("Release them", false)? { Ok(()) } else { Err(Failure::new("nothing was released")) }
}

/// What a release would do, in one sentence.
fn meaning(plan: &ReleasePlan) -> String {
    let messages = count(plan.messages, "held message");
    let goes = match &plan.test_address {
        None => format!("{messages} would go to {}", count(plan.recipients, "real recipient")),
        Some(address) => format!("{messages} would go to the test address {}", printable(address)),
    };
    goes + &never_reached(plan) + &kept(plan)
}

/// Who would never get mail that is no test.
fn never_reached(plan: &ReleasePlan) -> String {
    if plan.never_reached == 0 {
        return String::new();
    }
    let gets = if plan.never_reached == 1 { "gets" } else { "get" };
    let recipients = count(plan.never_reached, "recipient");
    format!(", and {recipients} of mail that was not accepted in test mode never {gets} it")
}

/// What stays held though it fits.
fn kept(plan: &ReleasePlan) -> String {
    if plan.kept == 0 {
        return String::new();
    }
    let (stays, goes, its) = if plan.kept == 1 { ("stays", "goes", "its") } else { ("stay", "go", "their") };
    let messages = count(plan.kept, "message");
    format!("; {messages} accepted in test mode {stays} held, and never {goes} to {its} recipients")
}

fn carry_out(asked: &ReleaseAll, client: &Client) -> Result<ReleaseProgress, Failure> {
    let all = asked.plan.messages;
    let body = serde_json::to_vec(asked).map_err(|error| Failure::Failed(error.into()))?;
    let target = RequestPath::path(&["queue", "release"]);
    let request = ApiRequest { method: &Method::POST, target: &target, body };
    let mut done = ReleaseProgress::default();
    let ended = client.follow(request, |progress: ReleaseProgress| {
        let step = (all / REPORTS).max(1);
        if all >= LONG && !progress.done && progress.messages / step > done.messages / step {
            complain(&format!("released {} of {all}", progress.messages));
        }
        done = progress;
        Ok(())
    })?;
    match ended {
        StreamEnd::Ended if done.done => Ok(done),
        StreamEnd::Ended => Err(Failure::new(format!(
            "the relay has stopped; {} released, the rest stays held",
            count(done.messages, "message")
        ))),
        StreamEnd::Interrupted => Err(Failure::new(format!(
            "interrupted; {} or a few more released, the rest stays held",
            count(done.messages, "message")
        ))),
    }
}

fn report(done: &ReleaseProgress, plan: &ReleasePlan) -> String {
    if plan.messages == 0 {
        return format!("No held message to release{}\n", kept(plan));
    }
    let messages = count(done.messages, "message");
    let released = match &plan.test_address {
        None => format!("Released {messages} to {}", count(done.recipients, "recipient")),
        Some(address) => format!("Released {messages} to the test address {}", printable(address)),
    };
    released + &changed(done) + &kept(plan) + "\n"
}

/// What was left alone because it was not as planned any more.
fn changed(done: &ReleaseProgress) -> String {
    let messages = count(done.changed, "message");
    match done.changed {
        0 => String::new(),
        1 => format!("; {messages} has changed meanwhile, and stays as it is"),
        _ => format!("; {messages} have changed meanwhile, and stay as they are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whom_it_would_reach() {
        let plan = |messages, recipients, never_reached, kept, address: Option<&str>| ReleasePlan {
            messages,
            recipients,
            never_reached,
            kept,
            test_address: address.map(str::to_owned),
            up_to: 9,
        };
        for (plan, want) in [
            (plan(1, 1, 0, 0, None), "1 held message would go to 1 real recipient"),
            (
                plan(12, 34, 0, 1, None),
                "12 held messages would go to 34 real recipients; 1 message accepted in test mode stays held, and never goes \
                 to its recipients",
            ),
            (
                plan(2, 0, 0, 0, Some("t@firm.example")),
                "2 held messages would go to the test address t@firm.example",
            ),
            (
                plan(2, 0, 5, 0, Some("t@firm.example")),
                "2 held messages would go to the test address t@firm.example, and 5 recipients of mail that was not accepted \
                 in test mode never get it",
            ),
        ] {
            assert_eq!(meaning(&plan), want);
        }
        let progress =
            ReleaseProgress { messages: 3, recipients: 4, changed: 1, ..ReleaseProgress::default() };
        assert_eq!(
            report(&progress, &plan(4, 5, 0, 0, None)),
            "Released 3 messages to 4 recipients; 1 message has changed meanwhile, and stays as it is\n"
        );
        assert_eq!(
            report(&ReleaseProgress::default(), &plan(0, 0, 0, 0, None)),
            "No held message to release\n"
        );
    }
}
