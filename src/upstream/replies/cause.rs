//! What a refusal means to whoever has sent the message, who knows nothing of accounts and limits.
//!
//! Judged by the text alone, as it stands in the log and in the queue: a message that expires has nothing else of its
//! last attempt. What a reply means for the account has been judged before ([`row_for`](super::row_for)), and that table
//! is asked here, too; beyond it, of several signs the surest decides: a status code that means one thing, then words,
//! then status codes that servers use for many things.

use super::row::{AppliesTo, ReplyAction, Row};
use crate::report::dsn::ReportCause;
use crate::smtp::{EnhancedStatus, Reply};
use crate::upstream::error::Stage;

use ReportCause as C;

/// The points up to the login, at which it is never about a message.
const BEFORE_MAIL: [Stage; 6] =
    [Stage::Connect, Stage::Tls, Stage::Greeting, Stage::Hello, Stage::StartTls, Stage::Auth];
/// The points at which a message is refused.
const OF_MAIL: [Stage; 2] = [Stage::Rcpt, Stage::FinalDot];

/// Words of servers, in lower case; the first of these that stands in a reply decides.
const WORDS: &[(&[&str], ReportCause)] = &[
    (
        &[
            "sender address rejected",
            "sender rejected",
            "sender denied",
            "not owned by",
            "sendasdenied",
            "send as this sender",
        ],
        C::SenderNotAllowed,
    ),
    (&["spf", "dkim", "dmarc", "unauthenticated email", "not authenticated mail"], C::Unproven),
    (
        &[
            "virus",
            "malware",
            "phish",
            "attachment",
            "security issue",
            "malicious",
            "executable",
            "file type",
        ],
        C::Dangerous,
    ),
    (
        &[
            "spam",
            "junk",
            "unsolicited",
            "bulk mail",
            "content rejected",
            "message content",
            "reputation",
            "spamhaus",
        ],
        C::Spam,
    ),
    (
        &[
            "mailbox full",
            "mailbox is full",
            "over quota",
            "quota exceeded",
            "exceeded quota",
            "exceeded storage",
            "out of storage",
        ],
        C::MailboxFull,
    ),
    (
        &[
            "too large",
            "too big",
            "size limit",
            "message size",
            "maximum size",
            "size exceeds",
            "exceeds size",
        ],
        C::TooLarge,
    ),
    (
        &[
            "domain not found",
            "host not found",
            "nxdomain",
            "null mx",
            "nullmx",
            "no such domain",
            "domain does not exist",
            "unknown domain",
            "domain not exist",
            "invalid domain",
        ],
        C::NoSuchDomain,
    ),
    (
        &[
            "user unknown",
            "unknown user",
            "no such user",
            "no such recipient",
            "no such mailbox",
            "no such address",
            "no mailbox",
            "mailbox not found",
            "mailbox unavailable",
            "does not exist",
            "doesn't exist",
            "not exist",
            "recipient not found",
            "unknown recipient",
            "recipient unknown",
            "user not found",
            "invalid recipient",
            "invalid mailbox",
            "unknown address",
            "address unknown",
            "unknown mailbox",
            "unknown local",
            "not a valid mailbox",
            "unrouteable address",
            "unroutable address",
            "no account",
            "no such person",
            "isn't a valid",
            "not our customer",
        ],
        C::NoSuchMailbox,
    ),
    (
        &[
            "disabled",
            "inactive",
            "suspended",
            "no longer",
            "deactivated",
            "account closed",
            "mailbox is closed",
        ],
        C::MailboxClosed,
    ),
    (&["too many", "rate limit", "throttl", "limit exceeded", "limit reached"], C::TooMany),
    (&["starttls", "tls required", "requires tls", "encryption required", "must be encrypted"], C::NoTls),
    (&["greylist", "graylist", "try again", "try later", "temporarily deferred"], C::Busy),
    (
        &[
            "timed out",
            "connection refused",
            "no route to host",
            "network is unreachable",
            "could not connect",
        ],
        C::DomainUnreachable,
    ),
];

/// What a reply, or what happened in words, means to whoever has sent the message.
///
/// `text` is what the log and `queue show` say of a recipient: a reply such as `550 5.1.1 no such user`, or words such as
/// `at AUTH: 535 5.7.8 no`. Empty: nothing was tried.
#[must_use]
pub fn cause_of(text: &str) -> ReportCause {
    let text = text.trim();
    if text.is_empty() {
        return C::Untried;
    }
    let early = BEFORE_MAIL.into_iter().find_map(|stage| Some((stage, said_at(stage, text)?)));
    if let Some((stage, said)) = early {
        return before_mail(stage, said);
    }
    match Reply::shown(text) {
        Some(reply) => of_reply(&reply),
        None => of_words(text),
    }
}

/// What stands behind `at STAGE: `.
fn said_at(stage: Stage, text: &str) -> Option<&str> {
    text.strip_prefix("at ")?.strip_prefix(stage.to_string().as_str())?.strip_prefix(": ")
}

/// No connection came about that mail can go over.
fn before_mail(stage: Stage, said: &str) -> ReportCause {
    match (stage, Reply::shown(said)) {
        (Stage::Tls | Stage::StartTls, _) => C::NoTls,
        (Stage::Auth, Some(reply)) if reply.is_transient() => C::RelayOffline,
        (Stage::Auth, _) => C::RelayLogin,
        (_, Some(reply)) if reply.is_permanent() => C::RelayRefused,
        _ => C::RelayOffline,
    }
}

/// Words of ours, where no reply decided.
fn of_words(text: &str) -> ReportCause {
    let offline = text.starts_with("connect to ")
        || text.contains("can't be resolved")
        || text.contains("no connection: ")
        || text.contains("has no address of the same family");
    if offline {
        return C::RelayOffline;
    }
    if text.starts_with("at ") || text.starts_with("broken off") { C::BrokenOff } else { C::Other }
}

fn of_reply(reply: &Reply) -> ReportCause {
    let text = reply.lower_text();
    let fits = |row: &&Row| {
        let at_a_message = OF_MAIL.iter().any(|&stage| row.fits(stage, reply, &text));
        // The last row of Graph fits any request: only its words tell a reply of it.
        at_a_message || (!row.text.is_empty() && row.fits(Stage::Request, reply, &text))
    };
    let action = super::rows().find(fits).map_or(ReplyAction::Defer, |row| row.action);
    if let Some(cause) = of_account(action) {
        return cause;
    }
    let surely = reply.status.and_then(|status| by_status(status, &text));
    let by_words =
        || WORDS.iter().find(|(words, _)| words.iter().any(|word| text.contains(word))).map(|row| row.1);
    surely.or_else(by_words).unwrap_or_else(|| by_kind(reply))
}

/// What it means where it is about the account, the sender or limits.
fn of_account(action: ReplyAction) -> Option<ReportCause> {
    Some(match action {
        ReplyAction::Slow(_) | ReplyAction::Pause { .. } => C::TooMany,
        ReplyAction::Stop { .. } => C::RelayStopped,
        ReplyAction::StopSender(_) => C::SenderNotAllowed,
        ReplyAction::Refresh | ReplyAction::Unavailable { scope: AppliesTo::Account } => C::RelayLogin,
        ReplyAction::Contested { .. } | ReplyAction::Unavailable { scope: AppliesTo::Upstream } => {
            C::RelayRefused
        }
        // One code for too many recipients and for what is too large: the reply itself tells, not the point of the dialogue.
        ReplyAction::Split
        | ReplyAction::Bounce
        | ReplyAction::Retry
        | ReplyAction::Defer
        | ReplyAction::DeferStrange => return None,
    })
}

/// Status codes with one meaning (RFC 3463 3, RFC 7372, RFC 7505, RFC 6531).
fn by_status((class, subject, detail): EnhancedStatus, text: &str) -> Option<ReportCause> {
    Some(match (subject, detail) {
        (1, 1 | 6) if class == 5 => C::NoSuchMailbox,
        // What Exchange says of recipients that a tenant does not know.
        (4, 1) if class == 5 && text.contains("recipient address rejected") => C::NoSuchMailbox,
        (1, 2 | 10) | (4, 4) if !text.contains("sender") => C::NoSuchDomain,
        (1, 3) => C::BadAddress,
        (1, 7 | 8) => C::SenderNotAllowed,
        (2, 1) if class == 5 => C::MailboxClosed,
        (2, 2) => C::MailboxFull,
        (2, 3) | (3, 4) => C::TooLarge,
        (5, 3) => C::TooMany,
        (6, 3) => C::Form,
        (6, 7) => C::International,
        (7, 10) => C::NoTls,
        (7, 20..=27 | 509 | 515) => C::Unproven,
        (7, 512) => C::Malformed,
        _ => return None,
    })
}

/// What is left: the subject of the status code, then the basic code.
fn by_kind(reply: &Reply) -> ReportCause {
    match (reply.status, reply.code) {
        (Some((_, 4, _)), _) => C::DomainUnreachable,
        (Some((_, 6, _)), _) => C::Malformed,
        (Some((5, 7, _)), _) => C::Policy,
        (_, 552) => C::TooLarge,
        (None, 452) => C::TooMany,
        (_, 501 | 553) => C::BadAddress,
        (_, 400..=499) => C::Busy,
        _ => C::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::DAMAGED;
    use crate::upstream::error::{ConnectCause, ConnectError, DialogueFault, LoginError};
    use crate::upstream::{Answer, DialError, RecipientResult, TlsError};

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_servers_really_say() {
        for (text, want) in [
            (
                "550 5.1.1 <b@x.example>: Recipient address rejected: User unknown in virtual mailbox table",
                C::NoSuchMailbox,
            ),
            ("550-5.1.1 The email account that you tried to reach does not exist. gsmtp", C::NoSuchMailbox),
            ("550 5.4.1 Recipient address rejected: Access denied. [DB5.example]", C::NoSuchMailbox),
            (
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
                C::NoSuchDomain,
            ),
            ("556 5.1.10 Recipient address has null MX", C::NoSuchDomain),
            ("550 Requested action not taken: mailbox unavailable", C::NoSuchMailbox),
            ("550 No such user here", C::NoSuchMailbox),
            ("550 Unrouteable address", C::NoSuchMailbox),
            ("550 5.2.1 The email account that you tried to reach is inactive. gsmtp", C::MailboxClosed),
            ("452 4.2.2 The recipient's inbox is out of storage space. gsmtp", C::MailboxFull),
            ("552 5.2.2 <b@x.example>: mailbox full", C::MailboxFull),
            ("452 Quota exceeded (mailbox for user is full)", C::MailboxFull),
            ("552 5.7.0 no", C::Policy),
            ("552 no", C::TooLarge),
            ("452 that is enough", C::TooMany),
            ("452 4.3.1 Insufficient system storage", C::Busy),
            ("552 5.3.4 Message size exceeds fixed limit", C::TooLarge),
            ("552 5.2.3 Your message exceeded Google's message size limits. gsmtp", C::TooLarge),
            ("523 the message size exceeds the recipient's size limit", C::TooLarge),
            ("554 5.7.1 Message rejected as spam by content filtering", C::Spam),
            (
                "550 5.7.1 Our system has detected that this message is likely unsolicited mail. gsmtp",
                C::Spam,
            ),
            (
                "552 5.7.0 This message was blocked because its content presents a potential security issue. gsmtp",
                C::Dangerous,
            ),
            ("554 5.7.1 virus found: Eicar", C::Dangerous),
            (
                "550 5.7.26 Unauthenticated email from firm.example is not accepted due to domain's DMARC policy. gsmtp",
                C::Unproven,
            ),
            ("550 5.7.23 SPF validation failed", C::Unproven),
            ("550 SPF check failed", C::Unproven),
            ("550 5.7.1 <b@x.example> rejected by policy", C::Policy),
            (
                "554 5.2.252 SendAsDenied; a@firm.example not allowed to send as b@firm.example",
                C::SenderNotAllowed,
            ),
            ("553 5.7.1 <a@firm.example>: Sender address rejected: not owned by user b", C::SenderNotAllowed),
            ("450 4.1.8 <a@firm.example>: Sender address rejected: Domain not found", C::SenderNotAllowed),
            ("450 4.1.2 <b@nowhere.example>: Recipient address rejected: Domain not found", C::NoSuchDomain),
            ("550 5.1.2 no such domain", C::NoSuchDomain),
            ("553 5.1.3 invalid address format", C::BadAddress),
            ("501 bad address syntax", C::BadAddress),
            ("451 4.4.1 connection to the next server timed out", C::DomainUnreachable),
            ("452 4.5.3 Too many recipients", C::TooMany),
            ("550 5.4.5 Daily user sending limit exceeded. gsmtp", C::TooMany),
            ("450 4.7.1 rate limit for this recipient", C::TooMany),
            ("535 5.7.8 Username and Password not accepted", C::RelayLogin),
            ("530 5.7.0 Must issue a STARTTLS command first", C::RelayLogin),
            ("550 5.1.8 Access denied, bad outbound sender", C::RelayStopped),
            (
                "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
                C::RelayRefused,
            ),
            ("554 5.7.1 <b@x.example>: Relay access denied", C::RelayRefused),
            (
                "553 5.6.7 the upstream takes no international addresses (SMTPUTF8), and the recipient's is one",
                C::International,
            ),
            (
                "554 5.6.3 the upstream takes no 8-bit content (8BITMIME), and this message can't be converted",
                C::Form,
            ),
            ("550 5.6.0 headers are malformed", C::Malformed),
            ("450 4.7.1 Greylisted, please try again in 5 minutes", C::Busy),
            ("421 4.3.0 come back", C::Busy),
            ("550 go away", C::Other),
            ("what is this", C::Other),
            ("", C::Untried),
            (" \r\n", C::Untried),
        ] {
            assert_eq!(cause_of(text), want, "{text}");
        }
        assert_eq!(cause_of(&format!("451 4.3.0 {DAMAGED}: it is cut")), C::Busy);
    }

    #[test]
    fn what_happened_before_the_mail_is_about_the_relay() {
        let at = |stage, cause| ConnectError { stage, host: "mx:25".into(), cause }.words();
        let reply = |code, status| ConnectCause::Refused(Reply::new(code, status, "user unknown spam virus"));
        let unresolved = DialError::Unresolved { host: "mx".into(), reason: "no such user".into() };
        let unreachable = DialError::Unreachable { host: "mx".into(), tried: Vec::new() };
        for (words, want) in [
            (at(Stage::Connect, unresolved.into()), C::RelayOffline),
            (at(Stage::Connect, unreachable.into()), C::RelayOffline),
            (at(Stage::Greeting, reply(421, (4, 3, 2))), C::RelayOffline),
            (at(Stage::Greeting, reply(554, (5, 3, 2))), C::RelayRefused),
            (at(Stage::Hello, DialogueFault::Closed.into()), C::RelayOffline),
            (at(Stage::StartTls, ConnectCause::StartTlsNotOffered), C::NoTls),
            (at(Stage::Tls, TlsError::UnknownIssuer.into()), C::NoTls),
            (at(Stage::Auth, reply(535, (5, 7, 8))), C::RelayLogin),
            (at(Stage::Auth, LoginError::OpenLine.into()), C::RelayLogin),
            (at(Stage::Auth, reply(454, (4, 7, 0))), C::RelayOffline),
            (at(Stage::Request, ConnectCause::NoConnection("refused".into())), C::RelayOffline),
        ] {
            assert_eq!(cause_of(&words), want, "{words}");
        }
    }

    #[test]
    fn a_broken_line_is_told_as_that() {
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Content, Stage::FinalDot] {
            for answer in [Answer::Failed(DialogueFault::Closed), Answer::Unknown(DialogueFault::CutOff)] {
                let words = RecipientResult { stage, answer }.to_string();
                assert_eq!(cause_of(&words), C::BrokenOff, "{words}");
            }
        }
        assert_eq!(cause_of("broken off: the relay was stopped"), C::BrokenOff);
    }
}
