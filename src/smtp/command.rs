//! Commands as a client sends them (RFC 5321 4.1), each line read into a checked [`Command`] once.
//!
//! Real programs are met kindly where it costs no safety: a space after the colon, a path without angle brackets,
//! any text as HELO name. What is ambiguous stays a syntax error.

mod clue;
mod error;
mod path;
mod requests;

pub use clue::About;
pub use error::CommandError;
pub use requests::IgnoredParameter;

use self::path::WHITE;
use crate::mail::{Address, AddressError, Body, Completion, MessageRequest, RecipientRequest, ReversePath};

use secrecy::{ExposeSecret, SecretString};

/// A command, its arguments checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `EHLO name`: the extended greeting. The name is any text, with what can't be shown in escapes.
    Ehlo(String),
    /// `HELO name`: the old greeting. The name is as in EHLO.
    Helo(String),
    /// `MAIL FROM:<reverse-path>` with its parameters.
    Mail(Mail),
    /// `RCPT TO:<forward-path>`.
    Rcpt(Rcpt),
    /// `DATA`
    Data,
    /// `BDAT octets [LAST]`; the octets follow at once (RFC 3030).
    Bdat(Chunk),
    /// `RSET`
    Rset,
    /// `NOOP`, whatever its argument.
    Noop,
    /// `VRFY text`
    Vrfy,
    /// `EXPN text`
    Expn,
    /// `HELP [topic]`
    Help(String),
    /// `QUIT`
    Quit,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// `AUTH mechanism [initial-response]` (RFC 4954 4).
    Auth {
        /// The mechanism's name, upper case.
        mechanism: String,
        /// What the client said at once, base64; a secret.
        initial: Option<Initial>,
    },
}

/// An initial response as it stands on the AUTH line. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Initial(pub SecretString);

impl std::fmt::Debug for Initial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Initial(…)")
    }
}

impl PartialEq for Initial {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Initial {}

/// What MAIL says about the message to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// The size that the client declares, in octets (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152).
    pub body: Body,
    /// `SMTPUTF8` (RFC 6531 3.4).
    pub smtputf8: bool,
    /// Reports and priority.
    pub request: MessageRequest,
    /// What the mail goes on without.
    pub ignored: Option<IgnoredParameter>,
}

/// What RCPT says about one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// Who it is.
    pub forward: Forward,
    /// Reports about it.
    pub request: RecipientRequest,
    /// What the mail goes on without.
    pub ignored: Option<IgnoredParameter>,
}

/// What BDAT announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// How many octets follow the command.
    pub octets: u64,
    /// The content ends with them.
    pub last: bool,
}

/// The path of RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// A mailbox.
    Address(Address),
    /// `<Postmaster>` without a domain (RFC 5321 4.1.1.3): the postmaster of this host.
    Postmaster,
}

/// How to write MAIL.
pub const MAIL_USAGE: &str = "MAIL FROM:<address> [SIZE=n] [BODY=7BIT|8BITMIME] [SMTPUTF8] [AUTH=address] \
    [RET=FULL|HDRS] [ENVID=id] [MT-PRIORITY=n]";
/// How to write RCPT.
pub const RCPT_USAGE: &str = "RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;address]";
/// How to write BDAT.
pub const BDAT_USAGE: &str = "BDAT octets [LAST]";

impl Command {
    /// Reads a command line, given without its line end.
    ///
    /// # Errors
    /// Tells what the client did wrong; [`CommandError::reply`] says it to the client.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        Self::parse_completed(line, None)
    }

    /// The same where addresses without a domain get one, `<postmaster>` with all others.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    pub fn parse_completed(line: &[u8], completion: Option<&Completion>) -> Result<Self, CommandError> {
        if clue::is_http(line) {
            return Err(CommandError::Http);
        }
        if let Some((verb, octets)) = hello(line) {
            let name = shown(octets);
            return match verb {
                Greeting::Ehlo if !name.is_empty() => Ok(Self::Ehlo(name)),
                Greeting::Helo if !name.is_empty() => Ok(Self::Helo(name)),
                Greeting::Ehlo => Err(CommandError::Syntax("EHLO name")),
                Greeting::Helo => Err(CommandError::Syntax("HELO name")),
            };
        }
        let text = std::str::from_utf8(line).map_err(|_| CommandError::Encoding)?;
        if text.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(CommandError::Control);
        }
        let text = text.trim_matches(WHITE);
        let (verb, argument) = text.split_once(WHITE).unwrap_or((text, ""));
        let argument = argument.trim_start_matches(WHITE);
        match verb.to_ascii_uppercase().as_str() {
            "MAIL" => mail(argument, completion).map(Self::Mail),
            "RCPT" => rcpt(argument, completion).map(Self::Rcpt),
            "DATA" => nothing(argument, "DATA").map(|()| Self::Data),
            "BDAT" => chunk(argument).map(Self::Bdat),
            "RSET" => nothing(argument, "RSET").map(|()| Self::Rset),
            "QUIT" => nothing(argument, "QUIT").map(|()| Self::Quit),
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help(argument.to_owned())),
            "VRFY" if argument.is_empty() => Err(CommandError::Syntax("VRFY address")),
            "VRFY" => Ok(Self::Vrfy),
            "EXPN" => Ok(Self::Expn),
            "AUTH" => auth(argument),
            "STARTTLS" => nothing(argument, "STARTTLS").map(|()| Self::StartTls),
            _ => Err(CommandError::Unknown),
        }
    }
}

/// The greeting's verbs.
#[derive(Debug, Clone, Copy)]
enum Greeting {
    Ehlo,
    Helo,
}

/// The verb and the name of a greeting. Of all commands these alone may hold any octets: old programs write the name of
/// their machine in its own code page, and nothing depends on it.
fn hello(line: &[u8]) -> Option<(Greeting, &[u8])> {
    let is_white = |b: &u8| matches!(b, b' ' | b'\t');
    let start = line.iter().position(|b| !is_white(b))?;
    let line = &line[start..];
    let (verb, name) = line.split_at(line.iter().position(is_white).unwrap_or(line.len()));
    let verb = match verb.to_ascii_uppercase().as_slice() {
        b"EHLO" => Greeting::Ehlo,
        b"HELO" => Greeting::Helo,
        _ => return None,
    };
    let end = name.iter().rposition(|b| !is_white(b)).map_or(0, |last| last + 1);
    let start = name.iter().position(|b| !is_white(b)).unwrap_or(end);
    Some((verb, &name[start..end]))
}

/// Any octets as text: what is no UTF-8, and control characters, as `\xNN`.
fn shown(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(escape));
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().copied().map(escape));
    }
    text
}

fn escape(octet: u8) -> String {
    format!("\\x{octet:02x}")
}

fn nothing(argument: &str, usage: &'static str) -> Result<(), CommandError> {
    if argument.is_empty() { Ok(()) } else { Err(CommandError::Syntax(usage)) }
}

fn auth(argument: &str) -> Result<Command, CommandError> {
    let mut words = argument.split(WHITE).filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => Ok(Command::Auth {
            mechanism: mechanism.to_ascii_uppercase(),
            initial: initial.map(|text| Initial(text.into())),
        }),
        _ => Err(CommandError::Syntax("AUTH mechanism [initial-response]")),
    }
}

/// Reads an address, which may lack its domain where that is known.
fn address(text: &str, completion: Option<&Completion>) -> Result<Address, AddressError> {
    completion.map_or_else(|| Address::parse(text), |completion| completion.address(text))
}

fn mail(argument: &str, completion: Option<&Completion>) -> Result<Mail, CommandError> {
    let (path, parameters) = path::split(argument, "FROM").ok_or(CommandError::Syntax(MAIL_USAGE))?;
    let reverse_path = if path.is_empty() {
        ReversePath::Null
    } else {
        ReversePath::Address(address(path, completion).map_err(CommandError::ReversePath)?)
    };
    let request = MessageRequest::default();
    let mut mail =
        Mail { reverse_path, size: None, body: Body::SevenBit, smtputf8: false, request, ignored: None };
    mail_parameters(&mut mail, parameters)?;
    if !mail.smtputf8 && mail.reverse_path.address().is_some_and(|a| !a.is_ascii()) {
        return Err(CommandError::NeedsSmtpUtf8);
    }
    Ok(mail)
}

/// The parameters of MAIL: each at most once.
fn mail_parameters(mail: &mut Mail, text: &str) -> Result<(), CommandError> {
    let (mut body, mut auth) = (None, false);
    for parameter in path::parameters(text) {
        let (key, value) = parameter.ok_or(CommandError::Syntax(MAIL_USAGE))?;
        match (key.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) if mail.size.is_none() => {
                let digits = value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit());
                // A number of 20 digits that does not fit is larger than whatever we allow.
                let size = digits.then(|| value.parse().unwrap_or(u64::MAX));
                mail.size = Some(size.ok_or(CommandError::Parameter("SIZE"))?);
            }
            ("BODY", Some(value)) if body.is_none() => {
                body = Some(match value.to_ascii_uppercase().as_str() {
                    "7BIT" => Body::SevenBit,
                    "8BITMIME" => Body::EightBitMime,
                    _ => return Err(CommandError::UnknownParameter),
                });
            }
            ("SMTPUTF8", None) if !mail.smtputf8 => mail.smtputf8 = true,
            // Who wrote the message according to the client, which nobody vouches for (RFC 4954 5): taken and ignored.
            ("AUTH", Some(_)) if !auth => auth = true,
            ("SIZE", _) => return Err(CommandError::Parameter("SIZE")),
            ("BODY", _) => return Err(CommandError::Parameter("BODY")),
            ("SMTPUTF8", _) => return Err(CommandError::Parameter("SMTPUTF8")),
            ("AUTH", _) => return Err(CommandError::Parameter("AUTH")),
            (key, value) => requests::of_message(&mut mail.request, &mut mail.ignored, key, value)?,
        }
    }
    mail.body = body.unwrap_or_default();
    Ok(())
}

fn rcpt(argument: &str, completion: Option<&Completion>) -> Result<Rcpt, CommandError> {
    let (path, parameters) = path::split(argument, "TO").ok_or(CommandError::Syntax(RCPT_USAGE))?;
    let forward = if completion.is_none() && path.eq_ignore_ascii_case("postmaster") {
        Forward::Postmaster
    } else {
        Forward::Address(address(path, completion).map_err(CommandError::ForwardPath)?)
    };
    let mut rcpt = Rcpt { forward, request: RecipientRequest::default(), ignored: None };
    for parameter in path::parameters(parameters) {
        let (key, value) = parameter.ok_or(CommandError::Syntax(RCPT_USAGE))?;
        requests::of_recipient(&mut rcpt.request, &mut rcpt.ignored, &key.to_ascii_uppercase(), value)?;
    }
    Ok(rcpt)
}

fn chunk(argument: &str) -> Result<Chunk, CommandError> {
    let (octets, rest) = argument.split_once(WHITE).unwrap_or((argument, ""));
    let rest = rest.trim_start_matches(WHITE);
    let digits = (1..=20).contains(&octets.len()) && octets.bytes().all(|b| b.is_ascii_digit());
    if !digits || !(rest.is_empty() || rest.eq_ignore_ascii_case("LAST")) {
        return Err(CommandError::Syntax(BDAT_USAGE));
    }
    // A number of 20 digits that does not fit is larger than whatever we allow.
    Ok(Chunk { octets: octets.parse().unwrap_or(u64::MAX), last: !rest.is_empty() })
}

#[cfg(test)]
mod tests;
