//! May this client hand mail to us? It has logged in where that is asked for, or its address is in the listener's
//! `relay_from`.

use std::net::IpAddr;

use super::users::LoggedIn;
use crate::config::{Listener, ServerAuth};
use crate::smtp::Reply;

/// Lets a client relay who has logged in, or whose address is in one of the listener's networks.
///
/// # Errors
/// With the reply to RCPT for all others; never an open relay.
pub fn permit(listener: &Listener, client: IpAddr, user: Option<&LoggedIn>) -> Result<(), Reply> {
    let client = client.to_canonical();
    // A reload may have taken the logins from a listener at which somebody has logged in.
    let logged_in = user.is_some() && listener.auth != ServerAuth::None;
    if logged_in || listener.relay_from.iter().any(|net| net.contains(&client)) {
        return Ok(());
    }
    let hint = if listener.auth == ServerAuth::None { "" } else { ", and has not logged in" };
    let text = format!("relaying denied: {client} is not in relay_from of this listener{hint}");
    Err(Reply::new(550, (5, 7, 1), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(auth: ServerAuth) -> Listener {
        Listener {
            address: "127.0.0.1:25".parse().unwrap(),
            relay_from: ["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"].map(|n| n.parse().unwrap()).to_vec(),
            tls: None,
            auth,
            auth_without_tls: false,
            proxy_protocol_from: Vec::new(),
            mode: None,
        }
    }

    #[test]
    fn only_the_named_networks_relay() {
        let listener = listener(ServerAuth::None);
        for (client, want) in [
            ("127.0.0.1", true),
            ("10.1.255.1", true),
            ("::ffff:10.1.2.3", true),
            ("fd00::1", true),
            ("10.2.0.1", false),
            ("::1", false),
            ("::ffff:10.2.0.1", false),
        ] {
            assert_eq!(permit(&listener, client.parse().unwrap(), None).is_ok(), want, "{client}");
        }
        let reply = permit(&listener, "10.2.0.1".parse().unwrap(), None).unwrap_err().to_string();
        assert_eq!(reply, "550 5.7.1 relaying denied: 10.2.0.1 is not in relay_from of this listener");
    }

    #[test]
    fn who_has_logged_in_relays_from_anywhere() {
        let listener = listener(ServerAuth::Optional);
        let client = "192.0.2.1".parse().unwrap();
        let user = LoggedIn { name: "anna".into() };
        assert_eq!(permit(&listener, client, Some(&user)), Ok(()));
        assert!(
            permit(&self::listener(ServerAuth::None), client, Some(&user)).is_err(),
            "no logins any more"
        );
        let reply = permit(&listener, client, None).unwrap_err().to_string();
        assert!(
            reply.ends_with("192.0.2.1 is not in relay_from of this listener, and has not logged in"),
            "{reply}"
        );
    }
}
