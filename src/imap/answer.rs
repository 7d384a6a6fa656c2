//! What an IMAP server says, read by a parser that others keep.

use imap_proto::{Capability, MailboxDatum, Outcome, Response, ResponseCode, Status};

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImapAnswer {
    /// `+`: the rest of the command may come.
    GoOn(String),
    /// The command with this tag has ended.
    Done(String, Ending),
    /// Something about the connection.
    Told(Ending),
    /// What it can do.
    Capabilities(Vec<String>),
    /// Messages that were searched for.
    Found(usize),
    /// What nobody has asked for.
    Other,
}

/// How something has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) status: EndingStatus,
    /// Whether the folder is missing and may be made.
    pub(super) try_create: bool,
    /// What it can do, where it says so by the way.
    pub(super) capabilities: Option<Vec<String>>,
    /// In words.
    pub(super) text: String,
}

/// `OK`, `NO` and others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndingStatus {
    Ok,
    Refused,
    PreAuth,
    Bye,
}

/// What the octets that have come begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// An answer of so many octets.
    Whole(ImapAnswer, usize),
    /// Not all of an answer.
    Part,
    /// No answer at all.
    Garbage,
}

/// Reads the first answer. Text beyond ASCII is for people alone; it becomes question marks, since parsers trip over it.
pub(super) fn parse(octets: &[u8]) -> Parsed {
    let Some(line) = octets.windows(2).position(|pair| pair == b"\r\n") else { return Parsed::Part };
    let ascii: Vec<u8> = octets.iter().map(|&octet| if octet.is_ascii() { octet } else { b'?' }).collect();
    match Response::parse(&ascii) {
        Ok((rest, response)) => Parsed::Whole(answer(response), octets.len() - rest.len()),
        Err(error) if error.is_incomplete() => Parsed::Part,
        // Extensions say things that nobody here has asked for.
        Err(_) if octets.starts_with(b"* ") => Parsed::Whole(ImapAnswer::Other, line + 2),
        Err(_) => Parsed::Garbage,
    }
}

fn answer(response: Response<'_>) -> ImapAnswer {
    match response {
        Response::Continue(outcome) => ImapAnswer::GoOn(outcome.information.unwrap_or_default().into_owned()),
        Response::Done { tag, status, outcome } => ImapAnswer::Done(tag.0, ending(&status, outcome)),
        Response::Data { status, outcome } => ImapAnswer::Told(ending(&status, outcome)),
        Response::Capabilities(all) => ImapAnswer::Capabilities(names(&all)),
        Response::MailboxData(MailboxDatum::Search(found)) => ImapAnswer::Found(found.len()),
        _ => ImapAnswer::Other,
    }
}

fn ending(status: &Status, outcome: Outcome<'_>) -> Ending {
    let status = match status {
        Status::Ok => EndingStatus::Ok,
        Status::No | Status::Bad => EndingStatus::Refused,
        Status::PreAuth => EndingStatus::PreAuth,
        Status::Bye => EndingStatus::Bye,
    };
    let (try_create, capabilities) = match &outcome.code {
        Some(ResponseCode::TryCreate) => (true, None),
        Some(ResponseCode::Capabilities(all)) => (false, Some(names(all))),
        _ => (false, None),
    };
    Ending { status, try_create, capabilities, text: outcome.information.unwrap_or_default().into_owned() }
}

/// In upper case, as they stand in the list.
fn names(all: &[Capability<'_>]) -> Vec<String> {
    let name = |capability: &Capability<'_>| match capability {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(mechanism) => format!("AUTH={}", mechanism.to_uppercase()),
        Capability::Atom(name) => name.to_uppercase(),
    };
    all.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ended(status: EndingStatus, text: &str) -> Ending {
        Ending { status, try_create: false, capabilities: None, text: text.to_owned() }
    }

    #[test]
    fn reads_what_servers_say() {
        use EndingStatus::{Bye, Ok, PreAuth, Refused};
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let done = |ending| ImapAnswer::Done("a1".to_owned(), ending);
        for (octets, want) in [
            ("* OK ready\r\n", ImapAnswer::Told(ended(Ok, "ready"))),
            ("* PREAUTH hello\r\n", ImapAnswer::Told(ended(PreAuth, "hello"))),
            ("* BYE go away\r\n", ImapAnswer::Told(ended(Bye, "go away"))),
            (
                "* OK [CAPABILITY IMAP4rev1 SASL-IR auth=plain] ready\r\n",
                ImapAnswer::Told(Ending {
                    capabilities: Some(names(&["IMAP4REV1", "SASL-IR", "AUTH=PLAIN"])),
                    ..ended(Ok, "ready")
                }),
            ),
            (
                "* CAPABILITY IMAP4rev1 STARTTLS\r\n",
                ImapAnswer::Capabilities(names(&["IMAP4REV1", "STARTTLS"])),
            ),
            ("+ \r\n", ImapAnswer::GoOn(String::new())),
            ("+ go on\r\n", ImapAnswer::GoOn("go on".to_owned())),
            ("+ eyJzIjoiNDAxIn0=\r\n", ImapAnswer::GoOn("eyJzIjoiNDAxIn0=".to_owned())),
            ("a1 OK [APPENDUID 3 4] done\r\n", done(ended(Ok, "done"))),
            ("a1 OK done\r\n* 3 EXISTS\r\n", done(ended(Ok, "done"))),
            ("a1 NO [TRYCREATE] none\r\n", done(Ending { try_create: true, ..ended(Refused, "none") })),
            ("a1 NO [AUTHENTICATIONFAILED] no\r\n", done(ended(Refused, "[AUTHENTICATIONFAILED] no"))),
            ("a1 BAD what\r\n", done(ended(Refused, "what"))),
            ("a1 NO [ALERT]\u{e9}t\u{e9}\r\n", done(ended(Refused, "?t??"))),
            ("* SEARCH 3 4\r\n", ImapAnswer::Found(2)),
            ("* SEARCH\r\n", ImapAnswer::Found(0)),
            ("* 3 EXISTS\r\n", ImapAnswer::Other),
            ("* X-ODD (\"a\" {\r\n", ImapAnswer::Other),
        ] {
            let Parsed::Whole(got, taken) = parse(octets.as_bytes()) else { panic!("{octets}") };
            assert_eq!(got, want, "{octets}");
            assert_eq!(taken, octets.find("\r\n").unwrap() + 2, "{octets}");
        }
        for (octets, want) in [
            ("", Parsed::Part),
            ("* OK rea", Parsed::Part),
            ("a1 OK\n", Parsed::Part),
            ("220 smtp.firm.example ESMTP\r\n", Parsed::Garbage),
            ("HTTP/1.1 400 Bad Request\r\n", Parsed::Garbage),
            ("\r\n", Parsed::Garbage),
        ] {
            assert_eq!(parse(octets.as_bytes()), want, "{octets}");
        }
    }

    proptest! {
        #[test]
        fn nothing_trips_it(octets in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..4_usize) {
            let begin: &[u8] = [&b""[..], b"* OK [ALERT]", b"a1 NO [", b"* LIST () "][kind];
            let all = [begin, &octets, b"\r\n"].concat();
            if let Parsed::Whole(_, taken) = parse(&all) {
                prop_assert!(0 < taken && taken <= all.len());
            }
        }
    }
}
