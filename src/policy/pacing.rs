//! How fast a client may connect and send. These are limits against abuse, not a pace: ten thousand messages at once from one
//! program, each over its own connection, stay far below them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::{Buckets, TakeResult};
use crate::mail::ClientNetwork;
use crate::smtp::Reply;
use crate::time::{Moment, Timeline};

/// Connections from one client address at once …
const CONNECTIONS: NonZeroU32 = NonZeroU32::new(50_000).expect("not zero");
/// … and one more after each of these times: 500 in a second.
const CONNECTION_REFILL: Duration = Duration::from_millis(2);
/// Messages from one client address, or of one user, at once …
const MESSAGES: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
/// … and one more after each of these times: 200 in a second.
const MESSAGE_REFILL: Duration = Duration::from_millis(5);

/// Who sends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum PaceKey {
    Client(ClientNetwork),
    User(Arc<str>),
}

/// Counts connections and messages.
#[derive(Debug)]
pub struct Pacing {
    connections: Buckets<ClientNetwork>,
    messages: Buckets<PaceKey>,
    timeline: Timeline,
}

/// The client's fault: it is faster than any honest program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many {what} from {scope}, try again in {} seconds", .wait.as_secs() + 1)]
pub struct TooFast {
    what: &'static str,
    scope: &'static str,
    wait: Duration,
}

impl TooFast {
    /// What the client is told at MAIL.
    #[must_use]
    pub fn reply(&self) -> Reply {
        Reply::new(450, (4, 7, 0), self.to_string())
    }

    /// What the client is told in place of a greeting.
    #[must_use]
    pub fn greeting(&self, hostname: &str) -> Reply {
        Reply::new(421, (4, 7, 0), format!("{hostname}: {self}"))
    }
}

impl Pacing {
    /// Nobody has come yet.
    #[must_use]
    pub fn new(timeline: Timeline) -> Self {
        Self {
            connections: Buckets::new(CONNECTIONS, CONNECTION_REFILL, timeline.clone()),
            messages: Buckets::new(MESSAGES, MESSAGE_REFILL, timeline.clone()),
            timeline,
        }
    }

    /// Counts a connection.
    ///
    /// # Errors
    /// When this client has made too many of late.
    pub fn connection(&self, client: ClientNetwork) -> Result<(), TooFast> {
        let taken = self.connections.take(&client);
        self.judge(taken, "connections", "your address")
    }

    /// Counts a message, for its client and its user.
    ///
    /// # Errors
    /// When one of both has sent too many of late.
    pub fn message(&self, client: ClientNetwork, user: Option<&Arc<str>>) -> Result<(), TooFast> {
        let taken = self.messages.take(&PaceKey::Client(client));
        self.judge(taken, "messages", "your address")?;
        let Some(user) = user else { return Ok(()) };
        self.judge(self.messages.take(&PaceKey::User(user.clone())), "messages", "this user")
    }

    fn judge(&self, taken: TakeResult, what: &'static str, scope: &'static str) -> Result<(), TooFast> {
        match taken {
            TakeResult::Left(_) => Ok(()),
            TakeResult::Empty { until } => Err(TooFast { what, scope, wait: self.wait(until) }),
        }
    }

    fn wait(&self, until: Moment) -> Duration {
        until.since(self.timeline.now())
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::tests::Hands;
    use super::*;

    fn ip(text: &str) -> ClientNetwork {
        ClientNetwork::of(text.parse().unwrap())
    }

    #[test]
    fn a_burst_is_not_abuse_but_a_flood_is() {
        let hands = Hands::new();
        let pacing = Pacing::new(hands.timeline());
        for _ in 0..10_000 {
            assert!(
                pacing.connection(ip("10.0.0.1")).is_ok() && pacing.message(ip("10.0.0.1"), None).is_ok()
            );
        }
        while pacing.connection(ip("10.0.0.1")).is_ok() {}
        let told = pacing.connection(ip("10.0.0.1")).unwrap_err().greeting("relay.example").to_string();
        assert_eq!(
            told,
            "421 4.7.0 relay.example: too many connections from your address, try again in 1 seconds"
        );
        assert!(pacing.connection(ip("10.0.0.2")).is_ok(), "others go on");
        hands.advance(CONNECTION_REFILL);
        assert!(pacing.connection(ip("10.0.0.1")).is_ok(), "and so does this one, at a pace");
        assert!(pacing.connection(ip("10.0.0.1")).is_err());
    }

    #[test]
    fn counts_users_wherever_they_are() {
        let hands = Hands::new();
        let pacing = Pacing::new(hands.timeline());
        let [anna, bert]: [Arc<str>; 2] = ["anna".into(), "bert".into()];
        for i in 0..MESSAGES.get() {
            let client = ip(&format!("10.0.{}.1", i % 200));
            assert!(pacing.message(client, Some(&anna)).is_ok(), "{i}");
        }
        let told = pacing.message(ip("10.1.0.1"), Some(&anna)).unwrap_err().reply().to_string();
        assert_eq!(told, "450 4.7.0 too many messages from this user, try again in 1 seconds");
        assert!(pacing.message(ip("10.1.0.1"), Some(&bert)).is_ok());
        assert!(pacing.message(ip("10.1.0.1"), None).is_ok());
    }
}
