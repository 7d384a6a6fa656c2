//! A connection to an upstream that is ready for mail, and its end.

use std::net::SocketAddr;
use std::time::Duration;

use super::error::DialogueFault;
use super::offer::Offer;
use super::wire::Wire;
use crate::config::Timeouts;
use crate::smtp::extension::Capabilities;

/// How long the end of a stream may take when all has been said.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What the next transaction finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// Nothing: it can begin.
    Ready,
    /// A transaction that was given up; RSET clears it.
    Open,
    /// A dialogue that can't go on.
    Closed,
}

/// A connection that is ready for mail.
pub struct Connection {
    pub(super) wire: Wire,
    pub(super) capabilities: Capabilities,
    host: String,
    address: Option<SocketAddr>,
    pub(super) timeouts: Timeouts,
    pub(super) state: ConnectionState,
    pub(super) messages: u32,
    pub(super) transactions: u32,
    /// Whether MAIL was accepted over it.
    pub(super) used: bool,
    /// The final dot is being sent, or has been, and no reply to it has come yet.
    pub(super) dot_under_way: bool,
}

impl Connection {
    /// One that has just become ready, with the upstream's name for the log, and its address where that is known.
    pub(super) fn ready(
        wire: Wire,
        capabilities: Capabilities,
        (host, address): (String, Option<SocketAddr>),
        timeouts: Timeouts,
    ) -> Self {
        Self {
            wire,
            capabilities,
            host,
            address,
            timeouts,
            state: ConnectionState::Ready,
            messages: 0,
            transactions: 0,
            used: false,
            dot_under_way: false,
        }
    }

    /// What the upstream offers (after STARTTLS, if there was one).
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What the upstream takes.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let offered = &self.capabilities;
        Offer {
            eight_bit_mime: offered.eight_bit_mime,
            smtputf8: offered.smtputf8,
            max_size: offered.max_size(),
            max_recipients: offered.max_recipients,
            dsn: offered.dsn,
            local: false,
        }
    }

    /// The upstream as the log names it: `name[address]:port`, or `name:port` over a proxy.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address that answered; `None` when only a proxy knows it.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// How many messages the upstream has accepted over it.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Whether it has carried a transaction: MAIL was accepted over it.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// Whether the upstream takes no more transactions over it, as it has said (LIMITS MAILMAX, RFC 9422 6.1).
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.capabilities.max_transactions.is_some_and(|most| self.transactions >= most)
    }

    /// Whether the upstream may have taken a message about which it has not said so yet. For a transaction that was
    /// cancelled.
    #[must_use]
    pub fn is_dot_under_way(&self) -> bool {
        self.dot_under_way
    }

    /// Whether another transaction can begin. Looks whether the upstream has hung up (or says that it will); does
    /// not wait.
    pub fn is_reusable(&mut self) -> bool {
        !self.is_used_up() && self.is_open()
    }

    /// Whether the dialogue can go on. Looks whether the upstream has hung up (or says that it will); does not wait.
    pub fn is_open(&mut self) -> bool {
        self.state != ConnectionState::Closed && self.wire.is_quiet()
    }

    /// RSET: clears what an earlier transaction left, and shows that the upstream still answers.
    ///
    /// # Errors
    /// When it does not answer with 250; the connection is of no use then.
    pub async fn reset(&mut self) -> Result<(), DialogueFault> {
        if self.state == ConnectionState::Closed {
            return Err(DialogueFault::Closed);
        }
        // A call that is cancelled leaves a reply behind: the connection must not be used again.
        self.state = ConnectionState::Closed;
        let reply = self.wire.command("RSET", self.timeouts.command).await?;
        if !reply.is_positive() {
            return Err(DialogueFault::Unexpected(reply));
        }
        self.state = ConnectionState::Ready;
        Ok(())
    }

    /// QUIT, in good order where the dialogue still can go on. Waits no longer than the command time-out.
    pub async fn quit(mut self) {
        if self.state != ConnectionState::Closed {
            // All mail is settled: it is of no importance what the upstream makes of it.
            let _ = self.wire.command("QUIT", self.timeouts.command).await;
        }
        self.wire.close(CLOSE_LIMIT.min(self.timeouts.command)).await;
    }
}
