//! Looks up what a judgement wants to know, until nothing is missing.

use tokio::task::JoinSet;

use super::book::{Book, DnsAnswer};
use crate::dns::{DnsQuestion, LookupError, Resolver};

/// The most questions of one run: far more than any sound set-up has.
const MOST_QUESTIONS: usize = 3000;
/// Questions that are asked at the same time.
const AT_ONCE: usize = 8;
/// So many questions without any answer, and the name servers are taken for silent. Fewer may be the fault of the names.
const SILENCE: usize = 4;

/// What `judge` says when all that it asks has been looked up. Nothing more is asked when no name server has answered anything yet, so
/// that a machine without them need not wait for each question, nor beyond the bound of a run.
pub async fn inquire<T>(resolver: &Resolver, judge: impl Fn(&Book) -> T) -> T {
    let ask = |question: DnsQuestion| {
        let resolver = resolver.clone();
        async move { resolver.ask(&question).await }
    };
    inquire_by(ask, judge).await
}

async fn inquire_by<T, A>(ask: impl Fn(DnsQuestion) -> A, judge: impl Fn(&Book) -> T) -> T
where
    A: Future<Output = DnsAnswer> + Send + 'static,
{
    let mut book = Book::default();
    // Be it by an error.
    let mut is_any_answered = false;
    loop {
        let judged = judge(&book);
        let wanted: Vec<DnsQuestion> = book.take_wanted().into_iter().collect();
        if wanted.is_empty() {
            return judged;
        }
        for some in wanted.chunks(AT_ONCE) {
            if let Some(why) = why_no_more(book.answers(), is_any_answered) {
                for question in some {
                    book.note(question.clone(), Err(LookupError::NotAsked(why.to_owned())));
                }
                continue;
            }
            let mut asked = JoinSet::new();
            for question in some.iter().cloned() {
                let answer = ask(question.clone());
                asked.spawn(async move { (question, answer.await) });
            }
            for (question, answer) in asked.join_all().await {
                is_any_answered |= !matches!(answer, Err(LookupError::Unanswered(_)));
                book.note(question, answer);
            }
        }
    }
}

/// Why nothing more is asked after so many questions.
fn why_no_more(questions: usize, is_any_answered: bool) -> Option<&'static str> {
    if questions >= SILENCE && !is_any_answered {
        return Some("no name server answered what was asked before");
    }
    (questions >= MOST_QUESTIONS).then_some("too many questions were asked already")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::dns::DnsName;

    /// How many of `count` names are asked about, of which the first `at_first` are wanted before the others and the first `answered`
    /// have an answer; and what is known of the last.
    async fn asked(count: usize, at_first: usize, answered: usize) -> (usize, String) {
        let questions = Arc::new(AtomicUsize::new(0));
        let counted = questions.clone();
        let ask = move |_| {
            let is_answered = counted.fetch_add(1, Ordering::Relaxed) < answered;
            let silence = LookupError::Unanswered("time-out".to_owned());
            async move { Err(if is_answered { LookupError::NoRecord } else { silence }) }
        };
        let name = |number| DnsName::parse(&format!("n{number}.example")).unwrap();
        let judge = |book: &Book| {
            let names = if book.answers() == 0 { at_first } else { count };
            let answers: Vec<_> =
                (0..names).map(|number| book.texts(&name(number)).map_err(Clone::clone)).collect();
            answers.last().and_then(|last| last.as_ref().err()).map(ToString::to_string).unwrap_or_default()
        };
        let last = inquire_by(ask, judge).await;
        (questions.load(Ordering::Relaxed), last)
    }

    #[tokio::test]
    async fn silent_name_servers_are_not_asked_again_and_again() {
        let unasked = "it was not looked up: no name server answered what was asked before";
        assert_eq!(asked(40, 8, 0).await, (8, unasked.to_owned()));
        // A few names whose own servers are silent say nothing about the others.
        assert_eq!(asked(40, 3, 0).await, (11, unasked.to_owned()));
        assert_eq!(asked(3, 3, 0).await, (3, "no name server answered (time-out)".to_owned()));
        // One answer, and the servers are there.
        assert_eq!(asked(40, 8, 1).await, (40, "no name server answered (time-out)".to_owned()));
    }

    #[tokio::test]
    async fn the_questions_of_a_run_are_bounded() {
        let last = "it was not looked up: too many questions were asked already";
        assert_eq!(asked(5000, 8, 5000).await, (MOST_QUESTIONS, last.to_owned()));
    }
}
