//! What HELP says (RFC 5321 4.1.1.8).

use crate::smtp::Reply;
use crate::smtp::command::{BDAT_USAGE, MAIL_USAGE, RCPT_USAGE};

/// Each command, how it is written, and what it does.
const TOPICS: [(&str, &str, &str); 13] = [
    ("EHLO", "EHLO name", "greets, and asks what we can do; ends a message that is under way"),
    ("HELO", "HELO name", "greets in the old way"),
    ("STARTTLS", "STARTTLS", "begins TLS, where EHLO offers it; say EHLO again behind it"),
    ("AUTH", "AUTH mechanism [initial-response]", "logs in, where EHLO offers it"),
    ("MAIL", MAIL_USAGE, "begins a message: where reports about it go"),
    ("RCPT", RCPT_USAGE, "names one recipient; say it again for each"),
    ("DATA", "DATA", "begins the content, which CRLF . CRLF ends"),
    ("BDAT", BDAT_USAGE, "brings so many octets of the content, in the place of DATA; LAST ends it"),
    ("RSET", "RSET", "gives the message up"),
    ("NOOP", "NOOP", "does nothing"),
    ("VRFY", "VRFY address", "verifies nothing: mail tells"),
    ("HELP", "HELP [command]", "tells this"),
    ("QUIT", "QUIT", "ends the session"),
];

/// The reply to HELP: all commands, or one of them; 504 when it is none.
pub(super) fn help(topic: &str) -> Reply {
    if topic.is_empty() {
        let names = TOPICS.map(|topic| topic.0).join(" ");
        return say(vec![names, "a relay: it takes mail for its upstreams only".to_owned()]);
    }
    match TOPICS.iter().find(|(name, ..)| topic.eq_ignore_ascii_case(name)) {
        Some((_, usage, what)) => say(vec![(*usage).to_owned(), (*what).to_owned()]),
        None => Reply::new(504, (5, 5, 4), "there is no help on that; HELP alone lists the commands"),
    }
}

fn say(lines: Vec<String>) -> Reply {
    Reply { code: 214, status: Some((2, 0, 0)), lines }
}
