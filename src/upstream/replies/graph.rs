//! Microsoft Graph, which answers a request in words of its own: `403 ErrorAccessDenied: …`.

use std::time::Duration;

use super::row::{AppliesTo, Codes, Provider, ROW, ReplyAction, Row, Senders, Slow, StatusPattern};
use crate::config::Window;
use crate::upstream::error::Stage;

use StatusPattern::{Exact, Meaning};

/// A request that was refused.
const REQUEST: Row = Row { provider: Provider::Microsoft, stages: Stage::Request..=Stage::Request, ..ROW };
/// Something only a person can mend.
const STOP: Row = Row { action: ReplyAction::Stop { scope: AppliesTo::Account }, ..REQUEST };
const SLOW: Slow = Slow { connections: false, hard: false, wait: Duration::from_secs(15), insists: true };

pub(super) static ROWS: &[Row] = &[
    Row {
        stages: Stage::Auth..=Stage::Auth,
        codes: Codes::Of(&[535]),
        text: &[" (request "],
        action: ReplyAction::Refresh,
        advice: "Microsoft Graph refuses the token: see that the sign-in asks for Mail.Send of Microsoft Graph (a token for SMTP \
                 is not valid here), and that the application is of this tenant; then `mailsluice connect`",
        ..REQUEST
    },
    // Whose mailbox it is follows from the message: then the others go on.
    Row {
        status: Meaning(1, 8),
        action: ReplyAction::StopSender(Senders::Address),
        advice: "this From is no mailbox that the application may send as: give it the right (Application Mail.Send within a \
                 management scope; it takes up to some hours), or take the address out of filter",
        ..REQUEST
    },
    Row {
        text: &[" errorsendasdenied: "],
        action: ReplyAction::StopSender(Senders::Address),
        advice: "the mailbox may not send as this From: give it the right (Add-RecipientPermission SENDER -Trustee MAILBOX \
                 -AccessRights SendAs), or route this sender to an upstream of its own",
        ..REQUEST
    },
    Row {
        text: &[" erroraccessdenied: "],
        advice: "the right to send is missing, or not in force yet: give the application Application Mail.Send for this mailbox \
                 (`mailsluice connect NAME --script` tells how), or the person Mail.Send; it takes up to some hours",
        ..STOP
    },
    Row {
        text: &[" mailboxnotenabledforrestapi: "],
        advice: "this mailbox is not to be had by Microsoft Graph: it is on-premises, inactive, or has no licence; use a mailbox \
                 of Exchange Online",
        ..STOP
    },
    Row {
        text: &[" errorinvaliduser: ", " request_resourcenotfound: ", " resourcenotfound: "],
        advice: "there is no such mailbox in this tenant: see mailbox, and tenant of the sign-in",
        ..STOP
    },
    Row {
        status: Meaning(2, 2),
        advice: "the mailbox that sends is full: each message is kept in its Sent Items; empty it, or set a retention policy",
        ..STOP
    },
    Row {
        text: &[" erroraccountsuspend: ", " errormessagesubmissionblocked: "],
        advice: "the mailbox is blocked from sending: make sure that nobody else uses it, then unblock it under \
                 https://security.microsoft.com/restrictedentities",
        ..STOP
    },
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 1, 3),
        action: ReplyAction::Bounce,
        advice: "Microsoft Graph can't read the recipient's address; the sender gets a report",
        ..REQUEST
    },
    Row {
        text: &[" errorinvalidrecipients: ", " errorexceededmaxrecipientlimit: "],
        action: ReplyAction::Split,
        advice: "Microsoft Graph refuses one of the recipients, or their number: they go in several requests",
        ..REQUEST
    },
    Row {
        codes: Codes::Class(5),
        status: Exact(5, 3, 4),
        action: ReplyAction::Bounce,
        advice: "larger than a request may be: set message_size = \"3000000\" or less, and large to an SMTP upstream",
        ..REQUEST
    },
    Row {
        codes: Codes::Class(5),
        text: &[" errormessageblocked: "],
        action: ReplyAction::Bounce,
        advice: "Microsoft has blocked this message; the sender gets a report",
        ..REQUEST
    },
    Row {
        text: &[" errorsubmissionquotaexceeded: ", " errorexceededmessagelimit: "],
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::DAY },
        advice: "the mailbox has sent as much as it may in 24 hours: its mail waits; set per_day = { recipients = 10000 }, or use \
                 more mailboxes",
        ..REQUEST
    },
    Row {
        text: &[" errorexceededhourlymessagelimit: "],
        action: ReplyAction::Pause { scope: AppliesTo::Account, until: Window::HOUR },
        advice: "the mailbox has sent as much as it may in an hour: its mail waits; set per_hour to what the tenant allows",
        ..REQUEST
    },
    Row {
        status: Exact(4, 3, 2),
        text: &["mailboxconcurrency"],
        action: ReplyAction::Slow(Slow { connections: true, ..SLOW }),
        advice: "more requests at the same time than Microsoft Graph takes for one mailbox: set connections = 4 or less, and see \
                 that no other program uses this application",
        ..REQUEST
    },
    Row {
        status: Exact(4, 3, 2),
        action: ReplyAction::Slow(SLOW),
        advice: "Microsoft Graph is busy, or takes less from this application and mailbox for a while; it goes on more slowly",
        ..REQUEST
    },
    Row {
        text: &[" errormimecontentinvalidbase64string: "],
        action: ReplyAction::DeferStrange,
        advice: "Microsoft Graph could not read the request, which is ours to get right: please report it as a defect",
        ..REQUEST
    },
    Row {
        action: ReplyAction::DeferStrange,
        advice: "Microsoft Graph refuses this for a reason that is not known here: look its code up; the message is tried again",
        ..REQUEST
    },
];
