//! May this client hand mail to us? Its address must be in the listener's `relay_from`.

use std::net::IpAddr;

use crate::config::Listener;
use crate::smtp::Reply;

/// Lets a client relay whose address is in one of the listener's networks.
///
/// # Errors
/// With the reply to RCPT for all others; never an open relay.
pub fn permit(listener: &Listener, client: IpAddr) -> Result<(), Reply> {
    let client = client.to_canonical();
    if listener.relay_from.iter().any(|net| net.contains(&client)) {
        return Ok(());
    }
    let text = format!("relaying denied: {client} is not in relay_from of this listener");
    Err(Reply::new(550, (5, 7, 1), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_networks_relay() {
        let listener = Listener {
            address: "127.0.0.1:25".parse().unwrap(),
            relay_from: ["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"].map(|n| n.parse().unwrap()).to_vec(),
        };
        for (client, want) in [
            ("127.0.0.1", true),
            ("10.1.255.1", true),
            ("::ffff:10.1.2.3", true),
            ("fd00::1", true),
            ("10.2.0.1", false),
            ("::1", false),
            ("::ffff:10.2.0.1", false),
        ] {
            assert_eq!(permit(&listener, client.parse().unwrap()).is_ok(), want, "{client}");
        }
        let reply = permit(&listener, "10.2.0.1".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(reply, "550 5.7.1 relaying denied: 10.2.0.1 is not in relay_from of this listener");
    }
}
