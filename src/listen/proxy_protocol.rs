//! The PROXY protocol, versions 1 and 2: what a proxy says about its client before the client speaks. No I/O.
//!
//! The header is believed, and required, only from the addresses in a listener's `proxy_protocol_from`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1 with its CRLF, in octets.
const MAX_TEXT: usize = 107;
/// The longest header of version 2, in octets.
const MAX_BINARY: usize = 536;
/// The shortest header of either version: `PROXY UNKNOWN` with CRLF. So much can be read without taking the client's words.
const SHORTEST: usize = 15;
/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The part of version 2 that is always there, in octets.
const FIXED: usize = 16;

/// How far a header has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderProgress {
    /// At least so many octets more belong to it.
    More(usize),
    /// The header is complete.
    Done {
        /// The client; `None` when the proxy speaks for itself, or does not know.
        client: Option<SocketAddr>,
        /// The length of the header in octets; what follows is the client's.
        used: usize,
    },
}

/// Why something is no header. It is the proxy's fault, or its operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyFault {
    /// The stream begins with something else.
    #[error("the proxy did not send a PROXY header")]
    Missing,
    /// The header breaks the grammar.
    #[error("the PROXY header cannot be read")]
    Malformed,
    /// The header has no end where it must have one.
    #[error("the PROXY header is too long")]
    TooLong,
}

/// Reads a header, or as much of it as is there.
///
/// # Errors
/// As soon as it can't become one.
pub fn parse(input: &[u8]) -> Result<HeaderProgress, ProxyFault> {
    let common = |start: &[u8]| input.iter().zip(start).all(|(a, b)| a == b);
    if common(SIGNATURE) {
        if input.len() < SHORTEST { Ok(HeaderProgress::More(SHORTEST - input.len())) } else { binary(input) }
    } else if common(b"PROXY ") {
        if input.len() < SHORTEST { Ok(HeaderProgress::More(SHORTEST - input.len())) } else { text(input) }
    } else {
        Err(ProxyFault::Missing)
    }
}

/// Version 1: `PROXY TCP4 source destination source-port destination-port`.
fn text(input: &[u8]) -> Result<HeaderProgress, ProxyFault> {
    let Some(end) = memchr::memchr(b'\n', input).map(|end| end + 1) else {
        let next = if input.last() == Some(&b'\r') { 1 } else { 2 };
        return if input.len() + next > MAX_TEXT {
            Err(ProxyFault::TooLong)
        } else {
            Ok(HeaderProgress::More(next))
        };
    };
    if end > MAX_TEXT {
        return Err(ProxyFault::TooLong);
    }
    let line = input[..end].strip_suffix(b"\r\n").ok_or(ProxyFault::Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyFault::Malformed)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    // Whatever else such a header says must be ignored.
    let client =
        if family == "UNKNOWN" { None } else { Some(client(family, words).ok_or(ProxyFault::Malformed)?) };
    Ok(HeaderProgress::Done { client, used: end })
}

fn client<'a>(family: &str, mut words: impl Iterator<Item = &'a str>) -> Option<SocketAddr> {
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => None,
        }
    };
    let (source, _destination) = (address()?, address()?);
    let mut port = || {
        let word = words.next()?;
        let digits = word.bytes().all(|b| b.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        if digits { word.parse::<u16>().ok() } else { None }
    };
    let (source_port, _destination_port) = (port()?, port()?);
    words.next().is_none().then_some(SocketAddr::new(source, source_port))
}

/// Version 2: signature, version and command, family, length, addresses, and more that is passed over.
fn binary(input: &[u8]) -> Result<HeaderProgress, ProxyFault> {
    if input.len() < FIXED {
        return Ok(HeaderProgress::More(FIXED - input.len()));
    }
    let (command, family) = (input[12], input[13]);
    let used = FIXED + usize::from(u16::from_be_bytes([input[14], input[15]]));
    if used > MAX_BINARY {
        return Err(ProxyFault::TooLong);
    }
    if input.len() < used {
        return Ok(HeaderProgress::More(used - input.len()));
    }
    let body = &input[FIXED..used];
    let client = match (command, family) {
        (0x21, 0x11) => Some(inet(body).ok_or(ProxyFault::Malformed)?),
        (0x21, 0x21) => Some(inet6(body).ok_or(ProxyFault::Malformed)?),
        // LOCAL, by which the proxy itself looks whether we are there; no family, or a Unix socket: no address to take.
        (0x20, _) | (0x21, 0x00 | 0x31) => None,
        _ => return Err(ProxyFault::Malformed),
    };
    Ok(HeaderProgress::Done { client, used })
}

/// Two addresses of 4 octets, two ports.
fn inet(body: &[u8]) -> Option<SocketAddr> {
    let (addresses, rest) = body.split_first_chunk::<8>()?;
    let ports = rest.first_chunk::<4>()?;
    let source: [u8; 4] = *addresses.first_chunk()?;
    Some(SocketAddr::from((source, u16::from_be_bytes([ports[0], ports[1]]))))
}

/// Two addresses of 16 octets, two ports.
fn inet6(body: &[u8]) -> Option<SocketAddr> {
    let (addresses, rest) = body.split_first_chunk::<32>()?;
    let ports = rest.first_chunk::<4>()?;
    let source: [u8; 16] = *addresses.first_chunk()?;
    Some(SocketAddr::from((source, u16::from_be_bytes([ports[0], ports[1]]))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binary_header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, body].concat()
    }

    fn v4() -> Vec<u8> {
        vec![192, 0, 2, 1, 127, 0, 0, 1, 0xc0, 0x01, 0, 25]
    }

    fn v6() -> Vec<u8> {
        let mut body = vec![0; 36];
        body[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        (body[15], body[33]) = (7, 99);
        body
    }

    /// Feeds a header as a reader does, never more than was asked for, with the client's words behind it.
    fn read(header: &[u8]) -> Result<(Option<String>, usize), ProxyFault> {
        let input = [header, b"EHLO x\r\n"].concat();
        let mut known = 0;
        loop {
            match parse(&input[..known])? {
                HeaderProgress::More(octets) => {
                    assert!(octets > 0);
                    known += octets;
                    if known > input.len() {
                        return Err(ProxyFault::TooLong);
                    }
                }
                HeaderProgress::Done { client, used } => {
                    assert_eq!(used, known, "a reader that asks for what is needed reads no more");
                    return Ok((client.map(|client| client.to_string()), used));
                }
            }
        }
    }

    #[test]
    fn reads_both_versions() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_TEXT - 16));
        let tlv = [v4(), vec![4, 0, 3, 1, 2, 3]].concat();
        for (name, header, want) in [
            ("v1", b"PROXY TCP4 192.0.2.1 127.0.0.1 49153 25\r\n".to_vec(), Some("192.0.2.1:49153")),
            ("v1 6", b"PROXY TCP6 2001:db8::7 ::1 99 25\r\n".to_vec(), Some("[2001:db8::7]:99")),
            ("v1 unknown", b"PROXY UNKNOWN\r\n".to_vec(), None),
            ("v1 unknown with more", b"PROXY UNKNOWN a b c\r\n".to_vec(), None),
            ("v1 longest", longest.into_bytes(), None),
            ("v2", binary_header(0x21, 0x11, &v4()), Some("192.0.2.1:49153")),
            ("v2 6", binary_header(0x21, 0x21, &v6()), Some("[2001:db8::7]:99")),
            ("v2 more", binary_header(0x21, 0x11, &tlv), Some("192.0.2.1:49153")),
            ("v2 local", binary_header(0x20, 0x00, &[]), None),
            ("v2 local with address", binary_header(0x20, 0x11, &v4()), None),
            ("v2 of no family", binary_header(0x21, 0x00, &[1, 2, 3]), None),
            ("v2 unix", binary_header(0x21, 0x31, &[0; 216]), None),
            (
                "v2 longest",
                binary_header(0x21, 0x11, &[v4(), vec![0; MAX_BINARY - FIXED - 12]].concat()),
                Some("192.0.2.1:49153"),
            ),
        ] {
            assert_eq!(read(&header), Ok((want.map(str::to_owned), header.len())), "{name}");
        }
    }

    #[test]
    fn refuses_all_else() {
        use ProxyFault::{Malformed, Missing, TooLong};
        for (header, want) in [
            (b"EHLO relay.example\r\n".to_vec(), Missing),
            (b"PROXX TCP4 192.0.2.1 127.0.0.1 1 2\r\n".to_vec(), Missing),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00\x00\x00".to_vec(), Missing),
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 1\r\n".to_vec(), Malformed),
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2 3\r\n".to_vec(), Malformed),
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\n".to_vec(), Malformed),
            (b"PROXY TCP4 192.0.2.1  127.0.0.1 1 2\r\n".to_vec(), Malformed),
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 1 65536\r\n".to_vec(), Malformed),
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 +1 2\r\n".to_vec(), Malformed),
            (b"PROXY TCP4 192.0.2.256 127.0.0.1 1 2\r\n".to_vec(), Malformed),
            (b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n".to_vec(), Malformed),
            (b"PROXY TCP6 192.0.2.1 127.0.0.1 1 2\r\n".to_vec(), Malformed),
            (b"PROXY UDP4 192.0.2.1 127.0.0.1 1 2\r\n".to_vec(), Malformed),
            (format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_TEXT)).into_bytes(), TooLong),
            (binary_header(0x22, 0x11, &v4()), Malformed),
            (binary_header(0x11, 0x11, &v4()), Malformed),
            (binary_header(0x21, 0x12, &v4()), Malformed),
            (binary_header(0x21, 0x11, &v4()[..11]), Malformed),
            (binary_header(0x21, 0x21, &v6()[..35]), Malformed),
            (binary_header(0x21, 0x11, &[0; MAX_BINARY - FIXED + 1]), TooLong),
        ] {
            assert_eq!(read(&header), Err(want), "{}", header.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_octets_are_too_strange(start in 0..3_usize, octets in proptest::collection::vec(any::<u8>(), 0..700)) {
            let start: &[u8] = [&b""[..], b"PROXY ", SIGNATURE][start];
            let input = [start, &octets].concat();
            match parse(&input) {
                Ok(HeaderProgress::Done { used, .. }) => prop_assert!(used <= input.len() && used <= MAX_BINARY),
                Ok(HeaderProgress::More(octets)) => prop_assert!(octets > 0 && input.len() + octets <= MAX_BINARY),
                Err(_) => {}
            }
        }
    }
}
