//! `[dns]`

use std::net::SocketAddr;

use crate::config::Dns;
use crate::config::reader::Section;
use crate::config::words::quoted;

/// More servers would only make each question slower.
const MOST: usize = 8;

/// Who is asked about the DNS.
pub(in crate::config) fn read(mut section: Section<'_>) -> Dns {
    const KEY: &str = "servers";
    const INSTEAD: &str = r#"write an IP address and a port, such as "127.0.0.1:53" or "[::1]:53""#;
    let mut servers = Vec::new();
    for (place, text) in section.texts(KEY).unwrap_or_default() {
        match text.parse::<SocketAddr>() {
            Ok(server) if server.port() != 0 && !server.ip().is_unspecified() => servers.push(server),
            _ => {
                let what = format!("{} is not an IP address with a port", quoted(text));
                section.fault(&place, KEY, &what, INSTEAD);
            }
        }
    }
    if servers.len() > MOST {
        section.fault(
            &section.place_of(KEY),
            KEY,
            &format!("has more than {MOST} servers"),
            "write those that are nearest",
        );
    }
    section.finish();
    Dns { servers }
}
