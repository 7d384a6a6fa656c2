//! A dialogue as people may see it, in the log and while they look on: without logins, and without what is no command.

use super::reply::Reply;

/// What stands in place of a secret.
pub const HIDDEN: &str = "[…]";
/// The longest line that is shown, in characters.
const MAX_LINE: usize = 2048;
/// The verbs whose lines may be shown whole.
const OPEN_VERBS: [&str; 13] = [
    "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT",
    "STARTTLS",
];
/// The mechanisms that are shown by name. Whatever else stands in their place may be a secret.
const MECHANISMS: [&str; 14] = [
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "DIGEST-MD5",
    "NTLM",
    "GSSAPI",
    "EXTERNAL",
    "XOAUTH2",
    "OAUTHBEARER",
    "SCRAM-SHA-1",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-512",
];

/// A line of a client that was waited for as a command. A client whose login was refused may go on with its password, and
/// one whose content was refused with that: a line that begins with no verb is told by its length alone.
#[must_use]
pub fn command_line(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    let verb = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match verb.as_str() {
        "AUTH" => login_line(text),
        verb if OPEN_VERBS.contains(&verb) => bounded(text),
        _ => format!("[no command, {} octets]", line.len()),
    }
}

/// A client's line while a login is under way: the mechanism alone.
#[must_use]
pub fn login_line(line: &str) -> String {
    let mut words = line.split_whitespace();
    let (verb, mechanism, initial) = (words.next(), words.next(), words.next());
    if verb == Some("*") && mechanism.is_none() {
        return "*".to_owned();
    }
    let mechanism = mechanism.filter(|_| verb.is_some_and(|verb| verb.eq_ignore_ascii_case("AUTH")));
    let is_known = |name: &&str| MECHANISMS.iter().any(|known| known.eq_ignore_ascii_case(name));
    match (mechanism.filter(is_known), initial) {
        (Some(mechanism), None) => format!("AUTH {mechanism}"),
        (Some(mechanism), Some(_)) => format!("AUTH {mechanism} {HIDDEN}"),
        (None, _) if mechanism.is_some() => format!("AUTH {HIDDEN}"),
        (None, _) => HIDDEN.to_owned(),
    }
}

/// A server's reply, line by line. A challenge is never shown; nor is any text when `concealed`, since it may repeat a
/// secret.
pub fn reply_lines(reply: &Reply, concealed: bool) -> impl Iterator<Item = String> + '_ {
    let hidden = concealed || reply.code == 334;
    let status = reply.status.map_or(String::new(), |(c, s, d)| format!("{c}.{s}.{d} "));
    let lines = if hidden { &reply.lines[..reply.lines.len().min(1)] } else { &reply.lines[..] };
    let last = lines.len().saturating_sub(1);
    lines.iter().enumerate().map(move |(place, text)| {
        let separator = if place == last { ' ' } else { '-' };
        let text = if hidden { HIDDEN } else { text.as_str() };
        bounded(&format!("{}{separator}{status}{text}", reply.code))
    })
}

/// A line that is not too long to be shown.
#[must_use]
pub fn bounded(line: &str) -> String {
    line.chars().take(MAX_LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_login_the_mechanism_is_shown() {
        for (line, want) in [
            ("AUTH PLAIN AGFubmEAc2VjcmV0", "AUTH PLAIN […]"),
            ("auth\tplain  AGFubmEAc2VjcmV0 ", "AUTH plain […]"),
            ("AUTH LOGIN", "AUTH LOGIN"),
            ("AUTH AGFubmEAc2VjcmV0", "AUTH […]"),
            ("AUTH", "[…]"),
            ("AGFubmEAc2VjcmV0", "[…]"),
            ("PLAIN AGFubmEAc2VjcmV0", "[…]"),
            ("c2VjcmV0 AUTH x", "[…]"),
            ("", "[…]"),
            ("*", "*"),
        ] {
            assert_eq!(login_line(line), want, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_no_command_may_be_a_password() {
        for (line, want) in [
            (&b"MAIL FROM:<a@b> SIZE=1"[..], "MAIL FROM:<a@b> SIZE=1"),
            (b" rcpt to:<a@b", "rcpt to:<a@b"),
            (b"EHLO b\xfcro", "EHLO b\u{fffd}ro"),
            (b"AUTH LOGIN c2VjcmV0", "AUTH LOGIN […]"),
            (b"auth c2VjcmV0", "AUTH […]"),
            (b"c2VjcmV0", "[no command, 8 octets]"),
            (b"secret MAIL", "[no command, 11 octets]"),
            (b"GET / HTTP/1.1", "[no command, 14 octets]"),
            (b"", "[no command, 0 octets]"),
        ] {
            assert_eq!(command_line(line), want);
        }
        assert_eq!(command_line(&[&b"NOOP "[..], &[b'x'; 9000]].concat()).len(), MAX_LINE);
    }

    #[test]
    fn replies_are_shown_but_for_challenges_and_what_is_concealed() {
        let shown = |reply: &Reply, concealed| reply_lines(reply, concealed).collect::<Vec<_>>();
        let greeting = Reply::bare(250, vec!["relay.example".to_owned(), "SIZE 1".to_owned()]);
        assert_eq!(shown(&greeting, false), ["250-relay.example", "250 SIZE 1"]);
        let refused = Reply::new(535, (5, 7, 8), "not secret");
        assert_eq!(shown(&refused, false), ["535 5.7.8 not secret"]);
        assert_eq!(shown(&refused, true), ["535 5.7.8 […]"]);
        let challenge = Reply::bare(334, vec!["cj1ub25jZQ==".to_owned()]);
        assert_eq!(shown(&challenge, false), ["334 […]"]);
    }
}
