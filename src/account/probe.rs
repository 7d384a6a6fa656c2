//! A probe that a person wants: a connection of the account is made ready for mail, and closed again. No mail goes, and no
//! permit is used.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::accounts::Accounts;
use super::feedback::Feedback;
use super::goodbye::say_goodbye;
use super::login::Account;
use super::pool::PooledConnection;
use super::settings::AccountSettings;
use crate::upstream::{ConnectError, ConnectStep, Link, Observer, Transport};

/// How long a probe waits for a connection that it may make.
const WAIT: Duration = Duration::from_secs(10);

/// The right to make the connection of a probe. It counts as any other, as the provider counts it.
pub struct ProbeTurn {
    account: Arc<Account>,
    settings: Arc<AccountSettings>,
    pooled: PooledConnection,
}

/// As many connections are in use as may be, and none has become free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not probed: no connection became free within {} s, all {most} are in use", WAIT.as_secs())]
pub struct NoConnectionFree {
    /// How many there may be.
    pub most: u32,
}

impl Account {
    /// Waits for a connection to be free, for some seconds and before all others: a person looks on.
    ///
    /// # Errors
    /// When all are in use for so long.
    pub async fn probe_turn(self: &Arc<Self>) -> Result<ProbeTurn, NoConnectionFree> {
        let wake = Arc::new(Notify::new());
        let place = self.waiters.join_first(&wake);
        let free = async {
            loop {
                let may_try = self.waiters.may_try(Some(&place));
                if let Some(pooled) = may_try.then(|| self.pool.reserve()).flatten() {
                    return pooled;
                }
                wake.notified().await;
            }
        };
        let pooled = timeout(WAIT, free).await.map_err(|_| {
            let (own, of_all) = self.most_connections();
            NoConnectionFree { most: own.min(of_all) }
        })?;
        Ok(ProbeTurn { account: self.clone(), settings: self.settings(), pooled })
    }
}

impl ProbeTurn {
    /// Makes a new connection ready for mail, and quits. What was learned by it counts when it is good: the upstream answers,
    /// the login is accepted. A failure counts nothing: whoever looks on will see to it.
    ///
    /// # Errors
    /// Tells at which step it ended and why.
    pub async fn run(
        mut self,
        accounts: &Accounts,
        steps: mpsc::Sender<ConnectStep>,
    ) -> Result<(), ConnectError> {
        let connector = match &self.settings.transport {
            Transport::Smtp(connector) => connector,
            // A token proves nothing of the right to send, so nothing is learned by it.
            Transport::Graph(client) => return client.probe(&Observer::of_steps(steps)).await,
            Transport::Capture(_) => return Ok(()),
        };
        if let Some(idle) = self.pooled.take() {
            say_goodbye(idle).await;
            self.pooled.note_gone();
        }
        let connection = connector.open_before(Observer::of_steps(steps)).await?;
        self.pooled.note_ready();
        Feedback { accounts, account: &self.account }.is_up().await;
        say_goodbye(Link::Smtp(Box::new(connection))).await;
        Ok(())
    }
}
