//! The header that a proxy puts before the client's words.

use std::net::SocketAddr;

use mailsluice::listen::proxy_protocol::{HeaderProgress, ProxyFault, parse};

/// The longest header, in octets.
const LONGEST: usize = 536;
/// The longest of version 1, in octets.
const LONGEST_TEXT: usize = 107;

/// A header, or something else, and the client's words behind it.
pub(crate) fn proxy(input: &[u8]) {
    let got = read(input);
    // Who has all of it at once sees the same, unless it ends too early.
    match (got, parse(input)) {
        (None, Ok(HeaderProgress::More(octets))) => assert!(octets > 0),
        // Too short for a header, and already none.
        (None, Err(_)) => {}
        (None, Ok(HeaderProgress::Done { .. })) => panic!("it is complete, and its reader asks for more"),
        (Some(Ok((client, used))), whole) => {
            assert_eq!(whole, Ok(HeaderProgress::Done { client, used }));
            assert_eq!(
                parse(&input[..used]),
                Ok(HeaderProgress::Done { client, used }),
                "what follows matters"
            );
            check(&input[..used], client);
        }
        (Some(Err(_)), whole) => assert!(whole.is_err(), "it was refused too early"),
    }
    // No beginning of it says something else for good.
    for end in 0..input.len().min(LONGEST) {
        match (parse(&input[..end]), got) {
            (Ok(HeaderProgress::More(octets)), _) => assert!(octets > 0),
            (Ok(HeaderProgress::Done { client, used }), got) => assert_eq!(got, Some(Ok((client, used)))),
            (Err(_), Some(got)) => assert!(got.is_err(), "it was refused at {end}"),
            (Err(_), None) => assert!(parse(input).is_err(), "it was refused at {end}"),
        }
    }
}

/// Takes so much as is asked for, and never a word of the client's. `None` when the input ends before the header.
fn read(input: &[u8]) -> Option<Result<(Option<SocketAddr>, usize), ProxyFault>> {
    let mut known = 0;
    loop {
        match parse(&input[..known]) {
            Err(fault) => return Some(Err(fault)),
            Ok(HeaderProgress::Done { client, used }) => {
                assert_eq!(used, known, "words of the client's were read");
                return Some(Ok((client, used)));
            }
            Ok(HeaderProgress::More(octets)) => {
                assert!(octets > 0, "no progress");
                known += octets;
                assert!(known <= LONGEST, "it asks for more than a header can have");
                if known > input.len() {
                    return None;
                }
            }
        }
    }
}

/// The address is the one in the header.
fn check(header: &[u8], client: Option<SocketAddr>) {
    if header.starts_with(b"PROXY ") {
        assert!(header.len() <= LONGEST_TEXT && header.ends_with(b"\r\n"));
        assert!(!header[..header.len() - 2].contains(&b'\n'));
        let Some(client) = client else {
            return assert!(header.starts_with(b"PROXY UNKNOWN"));
        };
        let text = std::str::from_utf8(header).expect("a header with an address is text");
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        assert_eq!(words.len(), 6);
        assert_eq!((words[2].parse(), words[4].parse()), (Ok(client.ip()), Ok(client.port())));
        assert_eq!(words[1] == "TCP4", client.is_ipv4());
    } else {
        assert!((16..=LONGEST).contains(&header.len()));
        let octets = match client.map(|client| client.ip()) {
            None => return,
            Some(std::net::IpAddr::V4(ip)) => ip.octets().to_vec(),
            Some(std::net::IpAddr::V6(ip)) => ip.octets().to_vec(),
        };
        assert_eq!(header[16..16 + octets.len()], octets);
    }
}
