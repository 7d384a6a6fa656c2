//! Counts the sessions, in all and for each client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::policy::pacing::TooFast;

/// Lets in as many as the configuration allows.
#[derive(Debug)]
pub struct Gate {
    max: usize,
    max_per_client: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    clients: HashMap<IpAddr, usize>,
}

/// The right to a session; given back when it is dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    /// Whose it is, once that is known.
    client: Option<IpAddr>,
}

/// Which ceiling was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRefused {
    /// `max_connections`
    All,
    /// `max_connections_per_client`
    Client,
    /// The client connects too often.
    Pace(TooFast),
}

impl Gate {
    /// A gate for `max` sessions, `max_per_client` of them from one address.
    #[must_use]
    pub fn new(max: usize, max_per_client: usize) -> Self {
        Self { max, max_per_client, inside: Mutex::default() }
    }

    /// Lets a client in.
    ///
    /// # Errors
    /// Tells which ceiling was reached.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Result<Pass, ConnectionRefused> {
        let mut pass = self.enter_unnamed()?;
        pass.name(client)?;
        Ok(pass)
    }

    /// Lets somebody in who is still to say for whom it comes: see [`Pass::name`].
    ///
    /// # Errors
    /// When there is no room.
    pub fn enter_unnamed(self: &Arc<Self>) -> Result<Pass, ConnectionRefused> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.all >= self.max {
            return Err(ConnectionRefused::All);
        }
        inside.all += 1;
        Ok(Pass { gate: self.clone(), client: None })
    }

    /// Sessions at present.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Pass {
    /// Says whose session it is. Once only.
    ///
    /// # Errors
    /// When that client has as many as it may.
    pub fn name(&mut self, client: IpAddr) -> Result<(), ConnectionRefused> {
        let mut inside = self.gate.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inside.clients.get(&client).copied().unwrap_or(0);
        if count >= self.gate.max_per_client {
            return Err(ConnectionRefused::Client);
        }
        inside.clients.insert(client, count + 1);
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.all -= 1;
        let Some(client) = self.client else { return };
        match inside.clients.get_mut(&client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                inside.clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_all_and_per_client() {
        let gate = Arc::new(Gate::new(3, 2));
        let [a, b]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let first = gate.enter(a).unwrap();
        let second = gate.enter(a).unwrap();
        assert_eq!(gate.enter(a).unwrap_err(), ConnectionRefused::Client);
        let third = gate.enter(b).unwrap();
        assert_eq!(gate.enter(b).unwrap_err(), ConnectionRefused::All);
        drop(first);
        let again = gate.enter(a).unwrap();
        drop(second);
        let mut unnamed = gate.enter_unnamed().unwrap();
        assert_eq!(unnamed.name(a), Ok(()));
        drop((third, again, unnamed));
        assert_eq!(gate.inside(), 0);
        assert!(gate.inside.lock().unwrap().clients.is_empty());
    }
}
