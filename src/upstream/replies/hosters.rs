//! What Postfix, Exim, qmail, Sendmail, hMailServer, cPanel, Plesk and the hosters that run them say about us: our
//! login, our HELO name, our address, relaying, what we may send.
//!
//! Their codes are those of a recipient who does not exist, and Postfix says most of it at RCPT, so the text decides.
//! A 4yz of these kinds is a plain deferral, as greylisting uses the same words; only of a quota the words count with
//! any code.

use super::row::{AppliesTo, Codes, ROW, ReplyAction, Row, Senders};
use crate::config::Window;
use crate::upstream::error::Stage;

const PERMANENT: Row = Row { codes: Codes::Class(5), ..ROW };
const NO_LOGIN: ReplyAction = ReplyAction::Unavailable { scope: AppliesTo::Account };

/// The mailbox of a recipient is full, or gets more than it may.
const RECEIVING: &[&str] = &[
    "receiv",
    "incoming",
    "inbound",
    "recipient's",
    "recipient has",
    "recipient is",
    "mailbox full",
    "mailbox is full",
    "mailbox quota",
    "over quota",
];

/// Words for what may be sent in an hour, with no other meaning.
const PER_HOUR: &[&str] = &[
    "per hour",
    "mails/hour",
    "messages/hour",
    "this hour",
    "hourly limit",
    "hourly message",
    "hourly quota",
    "hourly send",
    // IONOS.
    "mail send limit exceeded",
];

/// The same for a day.
const PER_DAY: &[&str] = &[
    "per day",
    "mails/day",
    "messages/day",
    "per 24 hours",
    "24-hour sending limit",
    "24 hour sending limit",
    "daily email",
    "daily limit",
    "daily mail",
    "daily message",
    "daily quota",
    "daily relay quota",
    "daily send",
    "daily user send",
    // GoDaddy; DirectAdmin.
    "over your relay quota",
    "have reached your message limit",
];

/// Limits that do not say for how long; an hour is not too long for any of them.
const QUOTA: &[&str] = &[
    "sending limit",
    "send limit",
    "sending quota",
    "outgoing email limit",
    "outgoing email quota",
    "outgoing mail limit",
    "outgoing mail quota",
    "outgoing message limit",
    // Plesk.
    "number of allowed outgoing messages",
    // Policyd.
    "message count quota exceeded",
    "message quota exceeded for",
    "your mail limit has been reached",
    "you are sending too fast",
    // OVH.
    "sorry, too many emails",
    // Rspamd, for who has logged in; Hostinger.
    "ratelimit \"user\" exceeded",
    "out_ratelimit\" exceeded",
];

const LOGIN_FIRST: &[&str] = &[
    "authentication required",
    "authentication is required",
    "authentication is needed",
    "requires authentication",
    "without authentication",
    "authentication turned on",
    "turn on smtp authentication",
    "auth required",
    "auth is required",
    "auth first",
    "authenticate first",
    "must authenticate",
    "must be authenticated",
    "need to authenticate",
    "please authenticate",
    "don't authenticate",
    "client not authenticated",
    "client was not authenticated",
    "you are not authenticated",
    "unauthenticated senders not allowed",
    "not logged in",
    "login required",
    "must log in",
    "please log in",
    "authentification requise",
    "starttls command first",
    "starttls first",
];
/// The sender's domain that proves nothing, and groups and mailboxes of Exchange that take mail of their own only.
const NOT_OUR_LOGIN: &[&str] = &["spf", "dkim", "dmarc", "resolver.rst"];

const HELO: &[&str] = &[
    "helo command rejected",
    "helo command [",
    "need fully-qualified hostname",
    "invalid helo",
    "invalid ehlo",
    "bad helo",
    "bad ehlo",
    "forged helo",
    "fake helo",
    "helo should be",
    "ehlo should be",
    "helo must be",
    "ehlo must be",
    "helo name",
    "ehlo name",
    "helo hostname",
    "helo host name",
    "helo argument",
    "ehlo argument",
    "helo/ehlo",
    "ehlo/helo",
    "saying helo",
    "saying ehlo",
];

const RELAYING: &[&str] = &[
    "relay access denied",
    "relaying denied",
    "relay denied",
    "relay not permitted",
    "relaying not permitted",
    "relay not allowed",
    "relaying not allowed",
    "relaying is not allowed",
    "relaying prohibited",
    "relay prohibited",
    // Domino.
    "relay rejected for policy",
    "not permitted to relay",
    "not allowed to relay",
    "not authorized to relay",
    "not configured to relay",
    "unable to relay",
    "cannot relay",
    "can't relay",
    "do not relay",
    "don't relay",
    "does not relay",
    "no relaying",
    "not an open relay",
    // qmail.
    "list of allowed rcpthosts",
];

/// Words that can mean nothing but the address that we come from.
const ADDRESS: &[&str] = &[
    "client host rejected",
    "client host blocked",
    "service unavailable; client",
    "service unavailable, client",
    "your ip",
    "sender ip",
    "sending ip",
    "mail from ip",
    "banned ip",
    "dynamic ip",
    "from your host",
    "mta's poor reputation",
    "is in an rbl",
    "spamhaus.org/query/ip",
    "spamhaus.org/query/bl?ip=",
    // Outlook.
    "unfortunately, messages from ",
    "part of their network is on our block list",
    "cannot find your hostname",
    "cannot find your reverse hostname",
    "no ptr",
    "ptr record",
    "ptr resource record",
    "reverse dns",
    "dns reverse",
    " rdns",
    "reverse lookup",
    "ip name lookup failed",
];
/// Words for a listed address that are said of a listed domain, sender or link, too.
const LISTED: &[&str] = &[
    "blocked using",
    "listed at",
    "listed by",
    "listed in",
    "listed on",
    "in a black list",
    "in a blacklist",
    "in our blacklist",
    "on a blacklist",
    "dnsbl",
];
const LISTED_OTHERWISE: &[&str] = &[
    "spf",
    "dkim",
    "dmarc",
    "domain",
    "dbl.spamhaus",
    "sender address",
    "recipient is",
    "recipient address is",
    "from address",
    "url ",
    "urls ",
    "uri ",
    "link ",
    "links ",
    "message contains",
    "body contains",
    "not listed",
];

const ADDRESS_REFUSED: &str = "the upstream refuses this machine's address: look it up at the block list that the reply names, \
     see that it has a PTR record, or send over an account with a login";

pub(super) static ROWS: &[Row] = &[
    // Postfix ends the handshake as if all were well, and says it in its next reply.
    Row {
        stages: Stage::Connect..=Stage::Auth,
        text: &["client certificate"],
        action: ReplyAction::Unavailable { scope: AppliesTo::Upstream },
        advice: "the upstream wants a client certificate that it trusts: set client_certificate and client_key to those that \
                 its operator gave you",
        ..ROW
    },
    // Quotas. They come first, as they are said in an envelope of other words ("Recipient address rejected: …").
    Row {
        text: &["max defers and failures per hour"],
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::HOUR },
        advice: "too many recipients of this account's domain refused its mail within an hour: remove addresses that do not \
                 exist, and see that nobody else uses the account",
        ..ROW
    },
    Row {
        text: PER_HOUR,
        unless: RECEIVING,
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::HOUR },
        advice: "the account has sent what the hoster allows in an hour: set per_hour to its limit",
        ..ROW
    },
    Row {
        text: PER_DAY,
        unless: RECEIVING,
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::DAY },
        advice: "the account has sent what the hoster allows in a day: set per_day to its limit",
        ..ROW
    },
    Row {
        text: QUOTA,
        unless: RECEIVING,
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::HOUR },
        advice: "the account has sent what the hoster allows: ask the hoster for its limits, and set per_hour or per_day to them",
        ..ROW
    },
    Row {
        text: &["outgoing mail suspension"],
        action: ReplyAction::Stop { scope: AppliesTo::Account },
        advice: "the hoster has suspended what this account or domain sends: ask the hoster, then enable the upstream",
        ..PERMANENT
    },
    Row {
        text: &["not owned by user", "not owned by auth user"],
        action: ReplyAction::StopSender(Senders::Address),
        advice: "the login may not send as this address: use its own account, or allow the address there",
        ..PERMANENT
    },
    // It wants TLS or a login first, or another login (RFC 3207 4, RFC 4954 6): our configuration, not the message.
    Row {
        codes: Codes::Of(&[530, 534, 535, 536, 537, 538]),
        action: NO_LOGIN,
        advice: "the upstream wants TLS or a login first: set security, user and password",
        ..ROW
    },
    Row {
        text: LOGIN_FIRST,
        unless: NOT_OUR_LOGIN,
        action: ReplyAction::Contested { scope: AppliesTo::Account },
        advice: "the upstream wants a login, or other than this one: set security, user and password",
        ..PERMANENT
    },
    Row {
        text: HELO,
        unless: &["spf", "callback", "callout"],
        action: ReplyAction::Contested { scope: AppliesTo::Upstream },
        advice: "the upstream refuses our name in EHLO: set hostname, or the upstream's ehlo, to a full name that DNS knows",
        ..PERMANENT
    },
    Row {
        text: RELAYING,
        action: ReplyAction::Contested { scope: AppliesTo::Account },
        advice: "the upstream does not relay for us: set user and password, or have this machine's address allowed there",
        ..PERMANENT
    },
    Row {
        text: ADDRESS,
        unless: &["spf", "dkim", "dmarc"],
        action: ReplyAction::Contested { scope: AppliesTo::Upstream },
        advice: ADDRESS_REFUSED,
        ..PERMANENT
    },
    Row {
        text: LISTED,
        unless: LISTED_OTHERWISE,
        action: ReplyAction::Contested { scope: AppliesTo::Upstream },
        advice: ADDRESS_REFUSED,
        ..PERMANENT
    },
];
