//! Looks up what a judgement wants to know, until nothing is missing.

use tokio::task::JoinSet;

use super::book::Book;
use crate::dns::{DnsQuestion, LookupError, Resolver};

/// The most questions of one run: far more than any sound set-up has.
const MOST_QUESTIONS: usize = 3000;
/// Questions that are asked at the same time.
const AT_ONCE: usize = 8;

/// What `judge` says when all that it asks has been looked up. What is beyond the bound of a run counts as not answered.
pub async fn inquire<T>(resolver: &Resolver, judge: impl Fn(&Book) -> T) -> T {
    let mut book = Book::default();
    loop {
        let judged = judge(&book);
        let wanted: Vec<DnsQuestion> = book.take_wanted().into_iter().collect();
        if wanted.is_empty() {
            return judged;
        }
        for some in wanted.chunks(AT_ONCE) {
            if book.answers() + some.len() > MOST_QUESTIONS {
                for question in some {
                    let why = LookupError::Unanswered("too many questions were asked already".to_owned());
                    book.note(question.clone(), Err(why));
                }
                continue;
            }
            let mut asked = JoinSet::new();
            for question in some.iter().cloned() {
                let resolver = resolver.clone();
                asked.spawn(async move {
                    let answer = resolver.ask(&question).await;
                    (question, answer)
                });
            }
            for (question, answer) in asked.join_all().await {
                book.note(question, answer);
            }
        }
    }
}
