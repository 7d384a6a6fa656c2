//! Who logs in with tokens: which one was refused, and for whom one is good.

use std::sync::{Arc, Mutex, PoisonError};

use super::accepted_from::UserMark;
use super::token::AccessToken;

/// One login that is made with tokens: an account at one service. Clones are the same one.
///
/// A token that is refused is not offered again by who was refused with it. To others who share it that says nothing, once it
/// was accepted from them: one mailbox may be barred.
#[derive(Debug, Clone, Default)]
pub struct TokenUser {
    mark: UserMark,
    /// The token that was refused last.
    refused: Arc<Mutex<Option<AccessToken>>>,
}

impl TokenUser {
    /// Whether it was refused with this token.
    #[must_use]
    pub fn was_refused(&self, token: &AccessToken) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.as_ref().is_some_and(|refused| refused.is(token))
    }

    /// It is logged in with this token.
    pub fn note_accepted(&self, token: &AccessToken) {
        token.accepted_from().add(&self.mark);
    }

    /// It was refused with this token.
    pub fn note_refused(&self, token: &AccessToken) {
        token.accepted_from().remove(&self.mark);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_whom_it_was_accepted_from() {
        let (token, one, other) =
            (AccessToken::new("hush".into()), TokenUser::default(), TokenUser::default());
        assert!(!token.is_good_for_somebody(), "nobody knows yet");
        for _ in 0..3 {
            one.note_accepted(&token.clone());
        }
        assert!(token.is_good_for_somebody());
        other.note_refused(&token);
        assert!(other.was_refused(&token) && !one.was_refused(&token));
        assert!(token.is_good_for_somebody(), "of one a refusal says nothing of the other");
        one.clone().note_refused(&token);
        assert!(!token.is_good_for_somebody());
        other.note_accepted(&token);
        drop(other);
        assert!(!token.is_good_for_somebody(), "who has gone does not count");
    }
}
