//! The requests: sending a message, and looking whether Graph is there.

use std::io::Write as _;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Graph;
use crate::mail::Address;
use crate::smtp::line_ends::end_lines;

/// What of an address must not stand as it is in a path (RFC 3986 3.3).
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');
/// By which name our requests are traced at Microsoft.
const CLIENT_REQUEST_ID: &str = "client-request-id";

/// The request that sends this header section and body as this mailbox, and the id that it is traced by. A CR that stands alone
/// ends a line, as over SMTP.
pub(super) fn send_mail(
    graph: &Graph,
    mailbox: &Address,
    token: &SecretString,
    (head, body): (&[u8], &[u8]),
) -> (Request<Vec<u8>>, String) {
    let id = request_id();
    let mailbox = utf8_percent_encode(mailbox.as_str(), PATH);
    let url = format!("{}/v1.0/users/{mailbox}/sendMail", base(graph));
    let mut login = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    login.set_sensitive(true);
    let request = Request::post(url)
        .header(CONTENT_TYPE, "text/plain")
        .header(ACCEPT, "application/json")
        .header(CLIENT_REQUEST_ID, &id)
        .header(AUTHORIZATION, login)
        .body(base64(&[head, body]))
        .expect("a checked URL with an encoded path is one");
    (request, id)
}

/// Pieces as one text in base64. Each but the last ends with a line.
fn base64(pieces: &[&[u8]]) -> Vec<u8> {
    let octets: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut encoder = EncoderWriter::new(Vec::with_capacity(octets.div_ceil(3) * 4), &STANDARD);
    let written = pieces.iter().try_for_each(|piece| encoder.write_all(&end_lines(piece)));
    written.and_then(|()| encoder.finish()).expect("a vector takes all")
}

/// A request that nobody has to log in for: whatever it is answered, Graph is there.
pub(super) fn look(graph: &Graph) -> Request<Vec<u8>> {
    Request::get(format!("{}/v1.0/", base(graph)))
        .header(ACCEPT, "application/json")
        .header(CLIENT_REQUEST_ID, request_id())
        .body(Vec::new())
        .expect("a checked URL is one")
}

fn base(graph: &Graph) -> &str {
    graph.base_url.as_str().trim_end_matches('/')
}

/// A random UUID (RFC 9562 5.4).
fn request_id() -> String {
    let random: u128 = rand::random();
    let uuid = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{uuid:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::config::{GraphMailbox, Timeouts};

    #[test]
    fn a_message_is_the_whole_body() {
        let graph = Graph {
            preset: None,
            mailbox: GraphMailbox::From,
            base_url: Url::parse("http://127.0.0.1:8025").unwrap(),
            large: None,
            proxy: None,
            timeouts: Timeouts::default(),
        };
        for (mailbox, want) in [
            ("office@firm.example", "office@firm.example"),
            ("o'neil+a/b?c#d%e@firm.example", "o%27neil%2Ba%2Fb%3Fc%23d%25e@firm.example"),
        ] {
            let mailbox = Address::parse(mailbox).unwrap();
            let (request, id) = send_mail(&graph, &mailbox, &"hush".into(), (b"A: b\r\n\r\n", b"c\r"));
            let want = format!("http://127.0.0.1:8025/v1.0/users/{want}/sendMail");
            assert_eq!((request.method().as_str(), request.uri().to_string()), ("POST", want));
            assert_eq!(request.headers()[CONTENT_TYPE], "text/plain");
            assert_eq!(request.headers()[AUTHORIZATION], "Bearer hush");
            assert_eq!(request.headers()["client-request-id"], id.as_str());
            assert_eq!(request.body(), b"QTogYg0KDQpjDQo=");
            assert!(!format!("{:?}", request.headers()).contains("hush"));
            assert_eq!((id.len(), &id[14..15]), (36, "4"));
        }
        assert_eq!(look(&graph).uri().to_string(), "http://127.0.0.1:8025/v1.0/");
    }
}
