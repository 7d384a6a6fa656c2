//! Whoever keeps the tokens of a sign-in.

use mailsluice::oauth::{AccessToken, TokenFeed, TokenOrigin, TokenState};

pub fn ready(token: &str) -> TokenState {
    TokenState::Ready(AccessToken::new(token.into()))
}

/// The token of another sign-in than that of [`ready`].
pub fn ready_anew(token: &str) -> TokenState {
    TokenState::Ready(AccessToken::new(token.into()).of(TokenOrigin(1)))
}

/// Gives the next of these in place of the present one when that is refused. How often one was asked for.
pub async fn renew(mut feed: TokenFeed, mut tokens: impl Iterator<Item = TokenState>) -> usize {
    let (mut renewals, mut present) = (0, None::<AccessToken>);
    while let Some(renewal) = feed.renewal().await {
        // Who comes late with a token that was replaced already gets the one that is there.
        if present.as_ref().is_none_or(|present| present.is(&renewal.refused)) {
            renewals += 1;
            if let Some(next) = tokens.next() {
                if let TokenState::Ready(token) = &next {
                    present = Some(token.clone());
                }
                feed.set(next);
            }
        }
        let _ = renewal.done.send(());
    }
    renewals
}
