//! Sign-in: the tokens by which we log in at providers, and what keeps them fresh.
//!
//! A *sign-in* is an entry of `[[oauth]]`. It gives an access token for each *resource* (SMTP, Graph). Who logs in holds a
//! [`TokenHandle`]: it tells the token that is good now, or why there is none and what to do, and never waits. Whoever keeps
//! the tokens writes to the [`TokenFeed`] at the other end.
//!
//! [`SignIns`] has a *keeper* for each: a task that renews its tokens ahead of their end, alone, and stores what a person's
//! sign-in gave (its *grant*) before it uses anything that came with it.
//!
//! A [`TokenEndpoint`] asks the provider; it speaks to the network by the [`HttpClient`](crate::web::HttpClient) that is handed in.

mod accepted_from;
mod answer;
mod assertion;
mod claims;
mod endpoint;
mod error;
mod expiring;
mod grant;
mod interactive;
mod keeper;
mod keeper_log;
mod kept;
mod loopback;
mod said;
mod sealing;
mod seat;
mod sign_ins;
mod status;
#[cfg(test)]
mod testing;
mod token;
mod token_user;

pub use answer::Issued;
pub use assertion::AssertionError;
pub use claims::TokenClaims;
pub use endpoint::{REQUEST_LIMIT, TokenEndpoint};
pub use error::{TokenRefusal, TokenRemedy, TokenRequestError, connect_action};
pub use expiring::{SignInDeadline, sign_in_deadlines};
pub use grant::{AcceptError, SignInGrant, client_fingerprint};
pub use interactive::{Authorization, DeviceCode, RedirectError};
pub use loopback::Loopback;
pub(crate) use said::without_secrets;
pub use sign_ins::SignIns;
pub use status::{SignInStatus, TokenStatus};
pub use token::{AccessToken, NoToken, Renewal, Resource, TokenFeed, TokenHandle, TokenOrigin, TokenState};
pub use token_user::TokenUser;
