//! What a client says before and between messages: lines, commands, the order of the dialogue.

use mailsluice::config::Newlines;
use mailsluice::mail::{Address, Body, EnvelopeId, OriginalRecipient, RecipientRequest};
use mailsluice::policy::users::LoggedIn;
use mailsluice::session::state::{Action, Dialogue, MailTransaction, RecipientDecision, Rules};
use mailsluice::smtp::command::{Chunk, Command, Forward, Mail, Rcpt};
use mailsluice::smtp::line::{Line, LineError, LineReader, MAX_LINE};
use mailsluice::smtp::sasl_server::ServerMechanism;
use mailsluice::smtp::{Reply, ReplyParser};

use super::pieces;

/// So many recipients may one message have here.
const MAX_RECIPIENTS: usize = 3;

/// A session's commands. The lowest bits of the first octet refuse bare line feeds,
/// offer STARTTLS, let clients log in without it, and demand a login.
pub(crate) fn command(input: &[u8]) {
    let Some((&seed, text)) = input.split_first() else {
        return;
    };
    let newlines = if seed & 1 == 0 { Newlines::Normalize } else { Newlines::Reject };
    let [lines, others @ ..] = pieces::ways(seed, text).map(|pieces| split(&pieces, newlines));
    for other in others {
        assert_eq!(other, lines, "the way it was cut matters");
    }
    let mut talk = Talk::new(seed);
    for line in lines {
        match line {
            Ok(line) => talk.hear(&line),
            Err(error) => check_reply(&error.reply()),
        }
    }
}

/// The lines as a session takes them off a buffer that grows by the pieces.
fn split(pieces: &[&[u8]], newlines: Newlines) -> Vec<Result<Vec<u8>, LineError>> {
    let mut reader = LineReader::new(newlines);
    let (mut waiting, mut found) = (Vec::new(), Vec::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            let (line, used) = reader.take(&waiting);
            let more = line == Line::More;
            match line {
                Line::More => {}
                Line::Command(line) => {
                    assert!(line.len() <= MAX_LINE && !line.contains(&b'\n'), "{line:?}");
                    found.push(Ok(line.to_vec()));
                }
                Line::Faulty(error, _) => found.push(Err(error)),
            }
            assert!(used <= waiting.len() && (more || used > 0), "no progress");
            waiting.drain(..used);
            if more {
                break;
            }
        }
        assert!(waiting.len() <= MAX_LINE + 1, "an unfinished line piles up");
    }
    found
}

/// A dialogue, and beside it a simple account of what must be true of it.
struct Talk {
    dialogue: Option<Dialogue>,
    greeted: bool,
    secure: bool,
    logged_in: bool,
    auth_in_clear: bool,
    auth_required: bool,
    sender: Option<String>,
    recipients: Vec<Address>,
}

impl Talk {
    fn new(seed: u8) -> Self {
        let rules = Rules {
            hostname: "relay.example".into(),
            instance: None,
            max_message_size: 1000,
            max_recipients: MAX_RECIPIENTS,
            max_errors: u32::MAX,
            starttls: seed & 2 == 0,
            mechanisms: &[ServerMechanism::Plain, ServerMechanism::Login, ServerMechanism::ScramSha256],
            auth_in_clear: seed & 4 == 0,
            auth_required: seed & 8 != 0,
        };
        let dialogue = Dialogue::new(rules);
        check_reply(&dialogue.greeting());
        Self {
            dialogue: Some(dialogue),
            greeted: false,
            secure: false,
            logged_in: false,
            auth_in_clear: seed & 4 == 0,
            auth_required: seed & 8 != 0,
            sender: None,
            recipients: Vec::new(),
        }
    }

    #[allow(clippy::too_many_lines, reason = "a short arm for each action")]
    fn hear(&mut self, line: &[u8]) {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error) => return check_reply(&error.reply()),
        };
        if let Command::Ehlo(name) | Command::Helo(name) = &command {
            assert!(!name.is_empty() && !name.contains(char::is_control), "{name:?}");
        } else {
            assert!(line.iter().all(|&b| b == b'\t' || b >= b' ' && b != 0x7f), "control characters pass");
            assert!(std::str::from_utf8(line).is_ok(), "what is no UTF-8 passes");
        }
        let anew = matches!(command, Command::Ehlo(_) | Command::Helo(_));
        let reset = command == Command::Rset;
        let dialogue = self.dialogue.take().expect("it is put back each time");
        let (dialogue, action) = dialogue.step(command.clone());
        self.dialogue = Some(match action {
            Action::Admit(mail) => {
                assert!(self.greeted && self.sender.is_none(), "MAIL out of order");
                assert!(self.logged_in || !self.auth_required, "MAIL without a login");
                assert!(mail.size.is_none_or(|size| size <= 1000), "too large, and said so");
                if let Some(address) = mail.reverse_path.address() {
                    check_address(address, mail.smtputf8);
                }
                check_as_passed_on(&mail);
                self.sender = Some(mail.reverse_path.to_string());
                let (dialogue, reply) = dialogue.admit(mail);
                check_reply(&reply);
                dialogue
            }
            Action::Judge(recipient, request) => {
                assert!(self.sender.is_some(), "RCPT out of order");
                self.judge(dialogue, recipient, request)
            }
            Action::Repeat(place, request) => {
                assert!(place < self.recipients.len(), "a recipient that is not there");
                let (dialogue, reply) = dialogue.repeat(place, request);
                check_reply(&reply);
                assert!(reply.is_positive());
                dialogue
            }
            Action::Take(chunk, first) => self.take(dialogue, chunk, first),
            Action::Discard(_, reply) | Action::Misplaced(_, reply) => {
                assert!(reply.is_permanent() && !dialogue.in_chunks());
                check_reply(&reply);
                dialogue
            }
            Action::Receive(transaction) => {
                let envelope = &transaction.envelope;
                assert_eq!(self.sender.take(), Some(envelope.reverse_path.to_string()));
                assert_eq!(envelope.recipients(), std::mem::take(&mut self.recipients));
                assert!((1..=MAX_RECIPIENTS).contains(&envelope.recipients().len()));
                dialogue.finish(&Reply::new(250, (2, 0, 0), "queued"))
            }
            Action::StartTls(reply) => {
                check_reply(&reply);
                assert!(self.greeted && !self.secure && self.sender.is_none(), "STARTTLS out of order");
                // All that was said before is forgotten (RFC 3207 4.2).
                (self.greeted, self.secure, self.logged_in) = (false, true, false);
                let dialogue = dialogue.secure();
                assert!(dialogue.is_secure() && dialogue.hello().is_none() && dialogue.user().is_none());
                dialogue
            }
            Action::LogIn(..) => {
                assert!(self.greeted && !self.logged_in && self.sender.is_none(), "AUTH out of order");
                assert!(self.secure || self.auth_in_clear, "a password in the clear");
                self.logged_in = true;
                let (dialogue, reply) = dialogue.log_in(LoggedIn { name: "anna".into() });
                check_reply(&reply);
                dialogue
            }
            Action::Reply(reply) | Action::Close(reply) => {
                check_reply(&reply);
                if (anew || reset) && reply.is_positive() {
                    self.greeted |= anew;
                    self.sender = None;
                    self.recipients.clear();
                }
                dialogue
            }
        });
        let dialogue = self.dialogue.as_ref().expect("it was put back");
        assert_eq!(dialogue.in_transaction(), self.sender.is_some());
    }

    /// Takes one chunk; some sizes are refused.
    fn take(&mut self, dialogue: Dialogue, chunk: Chunk, first: Option<MailTransaction>) -> Dialogue {
        assert!(self.sender.is_some() && dialogue.in_chunks(), "BDAT out of order");
        if let Some(transaction) = first {
            assert_eq!(transaction.envelope.recipients(), std::mem::take(&mut self.recipients));
            assert_eq!(transaction.envelope.recipients().len(), transaction.requests.len());
        }
        let refused = chunk.octets % 5 == 4;
        if chunk.last || refused {
            self.sender = None;
        }
        match (chunk.last, refused) {
            (true, refused) => {
                let code = if refused { 552 } else { 250 };
                dialogue.finish(&Reply::bare(code, vec!["done".to_owned()]))
            }
            (false, true) => dialogue.refuse_chunks(),
            (false, false) => dialogue,
        }
    }

    /// Refuses some, drops some, takes the others.
    fn judge(&mut self, dialogue: Dialogue, recipient: Address, request: RecipientRequest) -> Dialogue {
        check_address(&recipient, true);
        check_recipient_as_passed_on(&recipient, &request);
        let verdict = match recipient.local().len() % 4 {
            0 => RecipientDecision::Refuse(Reply::new(550, (5, 7, 1), format!("<{recipient}> is refused"))),
            1 => RecipientDecision::Drop,
            _ => RecipientDecision::Accept,
        };
        if !matches!(verdict, RecipientDecision::Refuse(_)) {
            assert!(self.recipients.iter().all(|known| known.key() != recipient.key()), "twice: {recipient}");
            self.recipients.push(recipient.clone());
        }
        let (dialogue, reply) = dialogue.judge(recipient, request, verdict);
        check_reply(&reply);
        dialogue
    }
}

/// Written as we write it to an upstream, MAIL is read as what it was.
fn check_as_passed_on(mail: &Mail) {
    let body = if mail.body == Body::SevenBit { "7BIT" } else { "8BITMIME" };
    let mut line = format!("MAIL FROM:<{}> BODY={body}", mail.reverse_path);
    let request = &mail.request;
    let parameters = [
        mail.size.map(|size| format!(" SIZE={size}")),
        mail.smtputf8.then(|| " SMTPUTF8".to_owned()),
        request.ret.map(|ret| format!(" RET={ret}")),
        request.envelope_id.as_ref().map(|id| format!(" ENVID={id}")),
        request.priority.map(|priority| format!(" MT-PRIORITY={priority}")),
    ];
    parameters.into_iter().flatten().for_each(|parameter| line.push_str(&parameter));
    let mail = Mail { ignored: None, ..mail.clone() };
    assert_eq!(Command::parse(line.as_bytes()), Ok(Command::Mail(mail)), "{line:?}");
    let id = request.envelope_id.as_ref().map_or("", EnvelopeId::text);
    assert!(id.len() <= 100 && id.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{id:?}");
}

/// The same for RCPT.
fn check_recipient_as_passed_on(recipient: &Address, request: &RecipientRequest) {
    let mut line = format!("RCPT TO:<{recipient}>");
    let parameters = [
        request.notify.map(|notify| format!(" NOTIFY={notify}")),
        request.original.as_ref().map(|original| format!(" ORCPT={original}")),
    ];
    parameters.into_iter().flatten().for_each(|parameter| line.push_str(&parameter));
    match Command::parse(line.as_bytes()) {
        Ok(Command::Rcpt(Rcpt { forward: Forward::Address(address), request: again, ignored: None })) => {
            assert_eq!((&address, &again), (recipient, request), "{line:?}");
        }
        other => panic!("{line:?} is read as {other:?}"),
    }
    let original = request.original.as_ref().map_or("", OriginalRecipient::address);
    assert!(original.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{original:?}");
}

/// An address is what it says: no relay behind it, nothing that breaks out of `<…>`, read again as itself.
fn check_address(address: &Address, smtputf8: bool) {
    let text = address.as_str();
    assert_eq!(Address::parse(text).as_ref(), Ok(address));
    assert!(text.len() <= 254 && address.domain().len() <= 255);
    assert!(text.bytes().all(|b| b >= b' ' && b != 0x7f), "control characters in {text:?}");
    assert!(smtputf8 || text.is_ascii());
    let odd = |c: char| c.is_ascii() && !(c.is_ascii_alphanumeric() || "-._[]:".contains(c));
    assert!(!address.domain().contains(odd), "an odd domain: {text:?}");
    if !address.local().starts_with('"') {
        assert!(
            !address.local().contains([' ', '"', '<', '>', '(', ')', ',', ':', ';', '@', '[', '\\', ']']),
            "{text:?}"
        );
    }
}

/// Whatever a reply holds, the client reads one reply, in lines of 512 octets at most.
fn check_reply(reply: &Reply) {
    let wire = reply.to_wire();
    let text = std::str::from_utf8(&wire).expect("a reply is UTF-8");
    assert!(text.ends_with("\r\n"));
    for line in text[..text.len() - 2].split("\r\n") {
        assert!(line.len() <= 510 && !line.contains(char::is_control), "{line:?}");
    }
    let mut parser = ReplyParser::new();
    parser.push(&wire);
    let read = parser.next().expect("a reply").expect("a whole reply");
    assert_eq!((read.code, read.lines.len()), (reply.code, reply.lines.len()));
    assert!(!parser.has_rest(), "one reply reads as two: {text:?}");
}
