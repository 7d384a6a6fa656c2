//! Counts the sessions, in all and for each client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mail::ClientNetwork;
use crate::policy::pacing::TooFast;

/// Lets in as many as the configuration allows.
#[derive(Debug)]
pub struct Gate {
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    max: usize,
    max_per_client: usize,
    all: usize,
    clients: HashMap<ClientNetwork, usize>,
}

/// The right to a session; given back when it is dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    /// Whose it is, once that is known.
    client: Option<ClientNetwork>,
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
    /// A gate for `max` sessions, `max_per_client` of them from one client.
    #[must_use]
    pub fn new(max: usize, max_per_client: usize) -> Self {
        let inside = Inside { max, max_per_client, all: 0, clients: HashMap::new() };
        Self { inside: Mutex::new(inside) }
    }

    /// Puts other ceilings in force. Nobody who is inside is sent away; nobody is let in until there is room.
    pub fn resize(&self, max: usize, max_per_client: usize) {
        let mut inside = self.inside();
        (inside.max, inside.max_per_client) = (max, max_per_client);
    }

    /// Lets a client in.
    ///
    /// # Errors
    /// Tells which ceiling was reached.
    pub fn enter(self: &Arc<Self>, client: ClientNetwork) -> Result<Pass, ConnectionRefused> {
        let mut pass = self.enter_unnamed()?;
        pass.name(client)?;
        Ok(pass)
    }

    /// Lets somebody in who is still to say for whom it comes: see [`Pass::name`].
    ///
    /// # Errors
    /// When there is no room.
    pub fn enter_unnamed(self: &Arc<Self>) -> Result<Pass, ConnectionRefused> {
        let mut inside = self.inside();
        if inside.all >= inside.max {
            return Err(ConnectionRefused::All);
        }
        inside.all += 1;
        Ok(Pass { gate: self.clone(), client: None })
    }

    /// Sessions at present.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.inside().all
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Says whose session it is. Once only.
    ///
    /// # Errors
    /// When that client has as many as it may.
    pub fn name(&mut self, client: ClientNetwork) -> Result<(), ConnectionRefused> {
        let mut inside = self.gate.inside();
        let count = inside.clients.get(&client).copied().unwrap_or(0);
        if count >= inside.max_per_client {
            return Err(ConnectionRefused::Client);
        }
        inside.clients.insert(client, count + 1);
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
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
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|ip| ClientNetwork::of(ip.parse().unwrap()));
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
        assert_eq!(gate.sessions(), 0);
        assert!(gate.inside.lock().unwrap().clients.is_empty());
    }

    #[test]
    fn a_host_with_many_addresses_is_one_client() {
        for (addresses, want) in [
            (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"], Err(ConnectionRefused::Client)),
            (["2001:db8::1", "2001:db8::2", "2001:db8:0:1::3"], Ok(())),
            (["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], Err(ConnectionRefused::Client)),
        ] {
            let gate = Arc::new(Gate::new(9, 2));
            let [first, second, third] = addresses.map(|ip| ClientNetwork::of(ip.parse().unwrap()));
            let _inside = [gate.enter(first).unwrap(), gate.enter(second).unwrap()];
            assert_eq!(gate.enter(third).map(drop), want, "{addresses:?}");
        }
    }

    #[test]
    fn other_ceilings_hold_for_who_comes_next() {
        let gate = Arc::new(Gate::new(9, 9));
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|ip| ClientNetwork::of(ip.parse().unwrap()));
        let mut inside = vec![gate.enter(a).unwrap(), gate.enter(a).unwrap(), gate.enter(a).unwrap()];
        gate.resize(9, 2);
        assert_eq!(gate.enter(a).map(drop), Err(ConnectionRefused::Client));
        inside.push(gate.enter(b).unwrap());
        gate.resize(3, 9);
        assert_eq!(gate.enter(b).map(drop), Err(ConnectionRefused::All));
        inside.truncate(2);
        assert_eq!(gate.enter(b).map(drop), Ok(()));
    }
}
