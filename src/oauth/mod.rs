//! Sign-in: the tokens by which we log in at providers, and what keeps them fresh.
//!
//! A *sign-in* is an entry of `[[oauth]]`. It gives an access token for each *resource* (SMTP, Graph). Who logs in holds a
//! [`TokenHandle`]: it tells the token that is good now, or why there is none and what to do, and never waits. Whoever keeps
//! the tokens writes to the [`TokenFeed`] at the other end.

mod sign_ins;
mod token;

pub use sign_ins::SignIns;
pub use token::{AccessToken, NoToken, Renewal, Resource, TokenFeed, TokenHandle, TokenState, token_channel};
