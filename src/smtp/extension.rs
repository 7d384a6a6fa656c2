//! What an upstream says in its EHLO reply that it can do (RFC 5321 4.1.1.1).

use super::{INSTANCE_KEYWORD, InstanceId, Reply};

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
    /// MT-PRIORITY (RFC 6710).
    pub mt_priority: bool,
    /// LIMITS RCPTMAX (RFC 9422): recipients in one transaction.
    pub max_recipients: Option<u32>,
    /// LIMITS MAILMAX: transactions over one connection.
    pub max_transactions: Option<u32>,
    /// Which Mailsluice it is, where it is one and says so.
    pub instance: Option<InstanceId>,
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
            "MT-PRIORITY" => self.mt_priority = true,
            INSTANCE_KEYWORD => self.instance = words.next().and_then(InstanceId::parse),
            "LIMITS" => words.for_each(|limit| self.add_limit(limit)),
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

    /// `NAME=number` (RFC 9422 4): a number of 1 to 6 digits that does not begin with 0. All else is passed over.
    fn add_limit(&mut self, limit: &str) {
        let Some((name, number)) = limit.split_once('=') else {
            return;
        };
        let sound = (1..=6).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        let number = Some(number).filter(|number| sound && !number.starts_with('0'));
        let number = number.and_then(|number| number.parse().ok());
        match name.to_ascii_uppercase().as_str() {
            "RCPTMAX" => self.max_recipients = number.or(self.max_recipients),
            "MAILMAX" => self.max_transactions = number.or(self.max_transactions),
            _ => {}
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
            "MT-PRIORITY MIXER",
            "LIMITS RCPTMAX=50 mailmax=20 RCPTDOMAINMAX=1 X=Y Z",
            "X-UNKNOWN 1",
            "xMailsluice 0123456789abcdef0123456789ABCDEF",
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
            mt_priority: true,
            max_recipients: Some(50),
            max_transactions: Some(20),
            instance: InstanceId::parse("0123456789abcdef0123456789abcdef"),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn the_greeting_line_is_no_extension() {
        assert_eq!(read(&["PIPELINING"]), Capabilities::default());
    }

    #[test]
    fn passes_over_limits_that_are_none() {
        for limit in
            ["RCPTMAX=0", "RCPTMAX=01", "RCPTMAX=", "RCPTMAX=x", "RCPTMAX=-1", "RCPTMAX=1000000", "RCPTMAX"]
        {
            assert_eq!(read(&["x", &format!("LIMITS {limit}")]).max_recipients, None, "{limit}");
        }
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
