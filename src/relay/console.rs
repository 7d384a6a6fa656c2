//! The console's address of a relay: where it listens, and how a reload changes that.

use std::net::SocketAddr;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::error::RelayError;
use crate::config;
use crate::control::{ConsoleError, ConsoleSocket, SharedState};

/// The interface at the console's address, if it is open.
#[derive(Default)]
pub(super) struct OpenConsole {
    /// Where it is, as the configuration says.
    address: Option<SocketAddr>,
    /// Closes it.
    stop: Option<watch::Sender<bool>>,
    /// Serve it, or end what it had under way.
    tasks: JoinSet<()>,
}

/// What a configuration changes of it, made before it is in force.
pub(super) enum ConsoleChange {
    /// It stays where it is.
    Stays,
    /// It closes, and opens here, if anywhere.
    Moves(Option<(SocketAddr, ConsoleSocket)>),
}

impl OpenConsole {
    /// Opens the address of a configuration where it is another one. Nothing of what is in force changes. The usual address
    /// may be taken by another program: then there is no console, and the log says so.
    ///
    /// # Errors
    /// When an address that the configuration names can't be had.
    pub(super) fn prepare(&self, wanted: &config::Console) -> Result<ConsoleChange, RelayError> {
        if wanted.address == self.address {
            return Ok(ConsoleChange::Stays);
        }
        let Some(address) = wanted.address else { return Ok(ConsoleChange::Moves(None)) };
        match ConsoleSocket::bind(address) {
            Ok(socket) => Ok(ConsoleChange::Moves(Some((address, socket)))),
            Err(ConsoleError { address, reason }) if !wanted.is_named => {
                tracing::warn!(
                    event = "console_failed",
                    listener = %address,
                    reason = %reason,
                    action = "name another address in [console], or \"off\""
                );
                Ok(ConsoleChange::Moves(None))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a change in force.
    pub(super) fn follow(&mut self, change: ConsoleChange, state: &SharedState) {
        let ConsoleChange::Moves(opened) = change else { return };
        self.stop();
        while self.tasks.try_join_next().is_some() {}
        if let Some((address, socket)) = opened {
            let (stop, mut stopping) = watch::channel(false);
            let stopped = async move {
                // When the sender is gone, so is the relay.
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            self.tasks.spawn(socket.serve(state.clone(), stopped));
            (self.address, self.stop) = (Some(address), Some(stop));
        }
    }

    /// Closes it; requests under way get a short time to end.
    pub(super) fn stop(&mut self) {
        self.address = None;
        if let Some(stop) = self.stop.take() {
            stop.send_replace(true);
        }
    }

    /// Waits for a fault of ours that has ended it.
    pub(super) async fn failed(&mut self) -> String {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) => return format!("the console has ended: {error}"),
                Some(Ok(())) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Waits for what it has under way; to be called behind [`stop`](Self::stop).
    pub(super) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends all of it.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}
