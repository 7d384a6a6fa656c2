//! `mailsluice queue retry, hold and delete --all`

use hyper::Method;

use super::filter::MessageFilter;
use crate::cli::client::{ApiRequest, RequestPath, StreamEnd};
use crate::cli::context::CliContext;
use crate::cli::dialogue::TerminalDialogue;
use crate::cli::failure::Failure;
use crate::cli::output::count;
use crate::cli::progress::{ProgressUnit, TaskProgress};
use crate::control::view::{BulkAction, BulkFilter, BulkProgress, BulkRequest};

/// Asks whether all that fit are to be deleted.
pub(super) fn agree_to_delete(filter: &MessageFilter) -> Result<(), Failure> {
    let what = if *filter == MessageFilter::default() { "All messages" } else { "All messages that fit" };
    let what = format!("{what} would be deleted for good, without a report");
    let Some(mut dialogue) = TerminalDialogue::here() else {
        return Err(Failure::new(format!("{what}; nothing was deleted: say --yes if that is meant")));
    };
    dialogue.say(&what)?;
    if dialogue.confirm("Delete them", false)? { Ok(()) } else { Err(Failure::new("nothing was deleted")) }
}

/// Does something to all messages that fit, and tells to how many.
pub(super) fn all(action: BulkAction, filter: MessageFilter, context: &CliContext) -> Result<(), Failure> {
    let MessageFilter { upstream, state, sender, recipient } = filter;
    let filter = BulkFilter { upstream, state, sender, recipient };
    let asked = BulkRequest { action, filter, all: true };
    let body = serde_json::to_vec(&asked).map_err(|error| Failure::Failed(error.into()))?;
    let target = RequestPath::path(&["queue", "bulk"]);
    let mut done = BulkProgress::default();
    let shown = TaskProgress::unknown(verb(action), ProgressUnit::Things("message"));
    let request = ApiRequest { method: &Method::POST, target: &target, body };
    let ended = context.client()?.follow(request, |progress: BulkProgress| {
        shown.show_count(progress.messages);
        done = progress;
        Ok(())
    })?;
    drop(shown);
    let told = told(action, &done);
    context.print_value(&done, &told)?;
    match (ended, &done.error) {
        (StreamEnd::Interrupted, _) => Err(Failure::new("interrupted: the rest stays as it is")),
        (StreamEnd::Ended, Some(error)) => {
            Err(Failure::new(format!("broken off, the rest stays as it is: {error}")))
        }
        (StreamEnd::Ended, None) if done.done => Ok(()),
        (StreamEnd::Ended, None) => Err(Failure::new("the relay has stopped, the rest stays as it is")),
    }
}

fn verb(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Retry => "Made due",
        BulkAction::Hold => "Held",
        BulkAction::Delete => "Deleted",
    }
}

/// `Held 3 messages; 1 message was left as it is`
fn told(action: BulkAction, done: &BulkProgress) -> String {
    let text = format!("{} {}", verb(action), count(done.messages, "message"));
    match done.others {
        0 => text,
        1 => format!("{text}; 1 message is left as it is"),
        others => format!("{text}; {others} messages are left as they are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_to_how_many_it_was_done() {
        for (action, messages, others, want) in [
            (BulkAction::Hold, 1, 0, "Held 1 message"),
            (BulkAction::Retry, 3, 1, "Made due 3 messages; 1 message is left as it is"),
            (BulkAction::Delete, 0, 2, "Deleted 0 messages; 2 messages are left as they are"),
        ] {
            let done = BulkProgress { messages, others, done: true, error: None };
            assert_eq!(told(action, &done), want);
        }
    }
}
