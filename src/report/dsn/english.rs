//! Reports in English.

use super::cause::ReportCause;
use super::phrases::{CauseWords, CountedForms, Phrases};

/// What to do about what only the relay's operator can mend.
const OPERATOR: &str =
    "This is not about your message: ask whoever runs this relay, and send it again when that is mended.";

pub(super) static PHRASES: Phrases = Phrases {
    tag: "en",
    time: "%-d %B %Y, %H:%M (UTC%:z)",
    days: CountedForms { one: "one day", many: "{} days" },
    hours: CountedForms { one: "one hour", many: "{} hours" },
    minutes: CountedForms { one: "one minute", many: "{} minutes" },
    failed_subject: "Your message could not be delivered",
    expired_subject: "Your message could not be delivered in time",
    delayed_subject: "Your message is delayed",
    relayed_subject: "Your message was passed on",
    copy_subject: "Copy: {}",
    relay: "This is the mail relay {}.",
    copy_of_told: "This is a copy for whoever runs it. The report itself went to {}.",
    copy_of_untold: "This is a copy for whoever runs it. The sender gets no report.",
    failed: CountedForms {
        one: "Your message could not be delivered to this recipient:",
        many: "Your message could not be delivered to these {} recipients:",
    },
    delayed: CountedForms {
        one: "Your message has not been delivered yet to this recipient:",
        many: "Your message has not been delivered yet to these {} recipients:",
    },
    relayed: CountedForms {
        one: "Your message was passed on to a server that does not confirm delivery, to this recipient:",
        many: "Your message was passed on to a server that does not confirm delivery, to these {} recipients:",
    },
    expired: "The time for its delivery ({}) is over, and it is not tried any more.",
    causes: &CAUSES,
    tried_until: "You need do nothing: it is tried again until {}, and you are told should it fail.",
    tried_on: "You need do nothing: it is tried again, and you are told should it fail.",
    no_confirmation: "You need do nothing; nobody will tell you when it arrives.",
    host_said: "{} said:",
    last_note: "Last note:",
    may_have_arrived: "It may have arrived all the same: ask the recipient before you send it again.",
    listed_until: "The address is on this relay's blacklist now: mail to it is refused until {}. If it is right, ask whoever \
        runs this relay to remove it from there.",
    listed: "The address is on this relay's blacklist now: mail to it is refused. If it is right, ask whoever runs this \
        relay to remove it from there.",
    and_more: "and {} more, which the second part of this report lists.",
    your_message: "Your message:",
    subject: "Subject:",
    no_subject: "(none)",
    accepted: "Accepted:",
    queue_id: "Queue id:",
    message_attached: "It is attached.",
    header_attached: "Its header is attached.",
    no_answers: "Nobody reads answers to this report.",
};

/// The words for each cause.
static CAUSES: [(ReportCause, CauseWords); 26] = [
    (
        ReportCause::NoSuchMailbox,
        CauseWords {
            what: "This mailbox does not exist.",
            advice: "Check the address, and send the message again to the right one.",
        },
    ),
    (
        ReportCause::MailboxClosed,
        CauseWords {
            what: "This mailbox is closed, or no longer in use.",
            advice: "Ask the recipient for another address.",
        },
    ),
    (
        ReportCause::MailboxFull,
        CauseWords {
            what: "The recipient's mailbox is full.",
            advice: "Tell the recipient in another way, and send the message again later.",
        },
    ),
    (
        ReportCause::TooLarge,
        CauseWords {
            what: "The message is too large.",
            advice: "Send it again with smaller attachments, or with a link to them.",
        },
    ),
    (
        ReportCause::Spam,
        CauseWords {
            what: "The message was taken for spam.",
            advice: "Ask the recipient in another way to let your mail in, and show this report to whoever runs this relay.",
        },
    ),
    (
        ReportCause::Dangerous,
        CauseWords {
            what: "An attachment or a link in the message is not allowed there, or was taken for dangerous.",
            advice: "Send the file in another form, such as a PDF, or in another way.",
        },
    ),
    (
        ReportCause::Policy,
        CauseWords {
            what: "A rule of the other mail server refuses the message.",
            advice: "What it said may tell which one; if not, show this report to the recipient, or to whoever runs this relay.",
        },
    ),
    (
        ReportCause::Unproven,
        CauseWords {
            what: "The other mail server sees no proof that the message comes from your domain (SPF, DKIM, DMARC).",
            advice: "Show this report to whoever looks after your domain and this relay: only they can mend it.",
        },
    ),
    (
        ReportCause::SenderNotAllowed,
        CauseWords {
            what: "The message may not be sent with this sender address.",
            advice: "Send it with an address of your own, or ask whoever runs this relay to have the address allowed.",
        },
    ),
    (
        ReportCause::BadAddress,
        CauseWords {
            what: "The address is not written as an address must be.",
            advice: "Check how it is written, and send the message again.",
        },
    ),
    (
        ReportCause::NoSuchDomain,
        CauseWords {
            what: "The domain, the part behind the @, does not exist or takes no mail.",
            advice: "Check how the address is written, and send the message again to the right one.",
        },
    ),
    (
        ReportCause::DomainUnreachable,
        CauseWords {
            what: "The recipient's mail server cannot be reached.",
            advice: "Send the message again later; if it is urgent, tell the recipient in another way.",
        },
    ),
    (
        ReportCause::TooMany,
        CauseWords {
            what: "A limit was reached: too many messages or recipients in a time, or at once.",
            advice: "Send it again later, or to fewer recipients; if that happens often, ask whoever runs this relay.",
        },
    ),
    (
        ReportCause::RelayLogin,
        CauseWords { what: "This relay could not log in to its mail provider.", advice: OPERATOR },
    ),
    (
        ReportCause::RelayStopped,
        CauseWords {
            what: "The mail provider does not let this relay's account send at present.",
            advice: OPERATOR,
        },
    ),
    (
        ReportCause::RelayRefused,
        CauseWords { what: "The other mail server takes no mail from this relay.", advice: OPERATOR },
    ),
    (
        ReportCause::RelayOffline,
        CauseWords { what: "This relay could not reach its mail provider.", advice: OPERATOR },
    ),
    (
        ReportCause::NoTls,
        CauseWords { what: "No connection could be made that is encrypted well enough.", advice: OPERATOR },
    ),
    (
        ReportCause::Blacklisted,
        CauseWords {
            what: "This address is on this relay's blacklist, so that no mail is sent to it.",
            advice: "If the address is right, ask whoever runs this relay to remove it from there.",
        },
    ),
    (
        ReportCause::International,
        CauseWords {
            what: "The next mail server takes no addresses with letters such as ü or ñ.",
            advice: "Send the message to an address in plain letters, if the recipient has one.",
        },
    ),
    (
        ReportCause::Form,
        CauseWords {
            what: "The next mail server does not take the message in this form.",
            advice: "Send it in another form, such as with its text as an attachment.",
        },
    ),
    (
        ReportCause::Malformed,
        CauseWords {
            what: "The message is not made as mail must be.",
            advice: "Show this report to whoever looks after the program that has made it.",
        },
    ),
    (
        ReportCause::BrokenOff,
        CauseWords {
            what: "The connection to the next mail server broke while the message was sent.",
            advice: "Send it again later; if that fails, too, ask whoever runs this relay.",
        },
    ),
    (
        ReportCause::Busy,
        CauseWords {
            what: "The other mail server asked to be tried again later.",
            advice: "Send the message again later; if that fails, too, show this report to the recipient.",
        },
    ),
    (ReportCause::Untried, CauseWords { what: "This relay had no way to send it.", advice: OPERATOR }),
    (
        ReportCause::Other,
        CauseWords {
            what: "The other mail server did not take the message.",
            advice: "What it said may tell why; if not, show this report to whoever runs this relay.",
        },
    ),
];
