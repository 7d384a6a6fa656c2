//! The Received field: our entry in a message's trace (RFC 5321 4.4).

use std::net::IpAddr;

use jiff::Timestamp;

use super::{Address, QueueId, header};

/// The longest EHLO name that is written: a domain's length (RFC 5321 4.5.3.1.2).
const MAX_HELO: usize = 255;

/// What our Received field says.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// What the client called itself; any text.
    pub helo: &'a str,
    /// Where the client really is.
    pub client_ip: IpAddr,
    /// Our host name.
    pub by: &'a str,
    /// The protocol, such as `ESMTP` or `ESMTPA` (RFC 3848).
    pub with: &'a str,
    /// The name of the message in our queue.
    pub id: &'a QueueId,
    /// The recipient when there is but one; several would tell each other's names (RFC 5321 7.2).
    pub recipient: Option<&'a Address>,
    /// When the message was accepted.
    pub date: Timestamp,
}

impl Received<'_> {
    /// The field, folded, with its final CRLF. It is all ASCII.
    #[must_use]
    pub fn to_header(&self) -> Vec<u8> {
        let literal = literal(self.client_ip);
        let helo = if self.helo.is_empty() { literal.clone() } else { harmless(self.helo) };
        // A UTF-8 address may stand here in mail of RFC 6531 only, and would bind the message to it.
        let recipient = self.recipient.filter(|r| r.is_ascii()).map(|r| format!("\r\n\tfor <{r}>"));
        format!(
            "Received: from {helo} ({literal})\r\n\tby {} with {} id {}{};\r\n\t{}\r\n",
            self.by,
            self.with,
            self.id,
            recipient.unwrap_or_default(),
            header::rfc5322_date(self.date),
        )
        .into_bytes()
    }
}

/// The client's text without anything that could end the word, the line or a comment.
fn harmless(helo: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    helo.chars().take(MAX_HELO).map(|c| if safe(c) { c } else { '?' }).collect()
}

/// An address literal (RFC 5321 4.1.3).
fn literal(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(helo: &str, ip: &str, recipient: Option<&str>) -> String {
        let recipient = recipient.map(|r| Address::parse(r).unwrap());
        let received = Received {
            helo,
            client_ip: ip.parse().unwrap(),
            by: "relay.example",
            with: "ESMTP",
            id: &QueueId::new(0, 0),
            recipient: recipient.as_ref(),
            date: Timestamp::from_second(1_795_327_200).unwrap(),
        };
        String::from_utf8(received.to_header()).unwrap()
    }

    #[test]
    fn says_who_when_and_for_whom() {
        let date = header::rfc5322_date(Timestamp::from_second(1_795_327_200).unwrap());
        assert_eq!(
            received("erp.firm.example", "192.0.2.1", Some("a@b.example")),
            format!(
                "Received: from erp.firm.example ([192.0.2.1])\r\n\tby relay.example with ESMTP id 0000000000000000\
                \r\n\tfor <a@b.example>;\r\n\t{date}\r\n"
            )
        );
        assert!(
            received("[192.0.2.7]", "::ffff:192.0.2.7", None).contains("from [192.0.2.7] ([192.0.2.7])\r\n")
        );
        assert!(received("x", "2001:db8::1", None).contains(" ([IPv6:2001:db8::1])\r\n"));
        assert!(received("", "127.0.0.1", None).contains("from [127.0.0.1] ([127.0.0.1])\r\n"));
    }

    #[test]
    fn the_client_writes_no_lines_of_its_own() {
        let text = received("a\r\nBcc: x (é)\0;<>", "127.0.0.1", Some("é@b.example"));
        assert!(text.starts_with("Received: from a??Bcc:?x???????? ([127.0.0.1])\r\n"), "{text}");
        assert!(text.is_ascii() && !text.contains(" for "));
        let long = received(&"x".repeat(100_000), "127.0.0.1", Some(&format!("a@{}", ["b"; 60].join("."))));
        assert!(long.lines().all(|line| line.len() <= 998));
        assert_eq!(header::Fields::new(long.as_bytes()).count(), 1);
    }
}
