//! What an upstream says in its EHLO reply that it can do (RFC 5321 4.1.1.1).

use super::Reply;

/// The extensions that an upstream offers. `Default` is a server that only knows HELO.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870): offered, and the largest message in octets where it names one.
    pub size: Option<Option<u64>>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH (RFC 4954): the mechanisms in upper case, in the upstream's order.
    pub auth: Vec<String>,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
}

impl Capabilities {
    /// Reads the lines after the first, which only greets. Unknown keywords are passed over.
    #[must_use]
    pub fn from_ehlo(reply: &Reply) -> Self {
        let mut capabilities = Self::default();
        for line in reply.lines.iter().skip(1) {
            capabilities.add(line);
        }
        capabilities
    }

    fn add(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "PIPELINING" => self.pipelining = true,
            // Zero says that there is no fixed ceiling (RFC 1870 4).
            "SIZE" => self.size = Some(words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0)),
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status = true,
            "STARTTLS" => self.starttls = true,
            "CHUNKING" => self.chunking = true,
            "DSN" => self.dsn = true,
            "AUTH" => self.add_mechanisms(None, words),
            // An old form that some servers still write, often beside the right one.
            _ => {
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    self.add_mechanisms(Some(first), words);
                }
            }
        }
    }

    fn add_mechanisms<'a>(&mut self, first: Option<&'a str>, others: impl Iterator<Item = &'a str>) {
        for name in first.into_iter().chain(others).map(str::to_ascii_uppercase) {
            if !name.is_empty() && !self.auth.contains(&name) {
                self.auth.push(name);
            }
        }
    }

    /// The largest message that the upstream says it takes, in octets.
    #[must_use]
    pub fn max_size(&self) -> Option<u64> {
        self.size.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Capabilities {
        Capabilities::from_ehlo(&Reply::bare(250, lines.iter().map(|&l| l.to_owned()).collect()))
    }

    #[test]
    fn reads_a_full_list() {
        let got = read(&[
            "smtp.firm.example PIPELINING",
            "SIZE 37748736",
            "pipelining",
            "8BitMime",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "STARTTLS",
            "AUTH LOGIN xoauth2",
            "AUTH=LOGIN PLAIN",
            "CHUNKING",
            "DSN",
            "X-UNKNOWN 1",
            "",
        ]);
        let want = Capabilities {
            pipelining: true,
            size: Some(Some(37_748_736)),
            eight_bit_mime: true,
            smtputf8: true,
            enhanced_status: true,
            starttls: true,
            auth: vec!["LOGIN".into(), "XOAUTH2".into(), "PLAIN".into()],
            chunking: true,
            dsn: true,
        };
        assert_eq!(got, want);
    }

    #[test]
    fn the_greeting_line_is_no_extension() {
        assert_eq!(read(&["PIPELINING"]), Capabilities::default());
    }

    #[test]
    fn reads_sizes() {
        for (line, want) in [
            ("SIZE", Some(None)),
            ("SIZE 0", Some(None)),
            ("SIZE 1000", Some(Some(1000))),
            ("SIZE many", Some(None)),
            ("SIZES 5", None),
        ] {
            assert_eq!(read(&["x", line]).size, want, "{line}");
        }
    }
}
