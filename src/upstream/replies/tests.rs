mod graph;
mod hosters;
mod logins;
mod remedies;

use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::config::Window;
use crate::smtp::ReplyParser;
use crate::upstream::error::LoginMethod;
use Provider::{Amazon, Any, Google, Microsoft};
use ReplyAction::{Bounce, Defer, DeferStrange, Refresh, Retry, Split};
use Stage::{Auth, Connect, Data, FinalDot, Greeting, Hello, Mail, Rcpt, Request};

const STOP: ReplyAction = ReplyAction::Stop { scope: AppliesTo::Account };
const STOP_UPSTREAM: ReplyAction = ReplyAction::Stop { scope: AppliesTo::Upstream };
const STOP_SENDER: ReplyAction = ReplyAction::StopSender(Senders::Address);
const STOP_DOMAIN: ReplyAction = ReplyAction::StopSender(Senders::Domain);
const AWAY: ReplyAction = ReplyAction::Unavailable { scope: AppliesTo::Upstream };
const NO_LOGIN: ReplyAction = ReplyAction::Unavailable { scope: AppliesTo::Account };
const PAUSE: ReplyAction = ReplyAction::Pause { scope: AppliesTo::Account, until: Window::DAY };
const PAUSE_UPSTREAM: ReplyAction = ReplyAction::Pause { scope: AppliesTo::Upstream, until: Window::DAY };

const fn slow(seconds: u64) -> ReplyAction {
    ReplyAction::Slow(Slow {
        connections: false,
        hard: false,
        wait: Duration::from_secs(seconds),
        insists: false,
    })
}

const fn fewer(seconds: u64) -> ReplyAction {
    ReplyAction::Slow(Slow {
        connections: true,
        hard: false,
        wait: Duration::from_secs(seconds),
        insists: false,
    })
}

const HARD: ReplyAction =
    ReplyAction::Slow(Slow { connections: false, hard: true, wait: Duration::from_mins(10), insists: false });

/// What providers really say, at which stage, and what is to be done.
#[rustfmt::skip]
const SAID: &[(Stage, &str, Provider, ReplyAction)] = &[
    (Data, "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Microsoft, fewer(5)),
    (Data, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname=AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Microsoft, fewer(5)),
    (FinalDot, "421 4.4.2 Message submission rate for this client has exceeded the configured limit", Microsoft, slow(60)),
    (Mail, "432 4.4.2 Message submission rate for this client has exceeded the configured limit", Microsoft, slow(60)),
    (Mail, "451 4.4.2 Message submission rate for this client has exceeded the configured limit", Microsoft, slow(60)),
    (Mail, "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission channel", Any, Defer),
    (Greeting, "421 4.3.2 Service not active", Any, AWAY),
    (FinalDot, "451 4.7.0 Temporary server error. Please try again later. PRX5", Any, Defer),
    (FinalDot, "451 4.3.111 Server busy", Any, Defer),
    (Rcpt, "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)", Microsoft, slow(300)),
    (Mail, "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.", Microsoft, slow(300)),
    (Greeting, "451 4.7.699 Access denied, please try again later", Microsoft, slow(300)),
    (Rcpt, "451 4.7.850 Access denied, please try again later", Microsoft, slow(300)),
    (FinalDot, "450 4.5.127 Message rejected. Excessive message rate from sender.", Microsoft, ReplyAction::Pause { scope: AppliesTo::Account, until: Window::MINUTE }),
    (FinalDot, "450 4.5.127 Message rejected. Excessive message rate from sender. The limit per hour is 100.", Microsoft, ReplyAction::Pause { scope: AppliesTo::Account, until: Window::HOUR }),
    (Rcpt, "452 4.5.3 Too many recipients (AS780090) [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Microsoft, Split),
    (Auth, "454 4.7.0 Temporary authentication failure [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Microsoft, NO_LOGIN),
    (Auth, "535 5.7.3 Authentication unsuccessful [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Microsoft, Refresh),
    (Auth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.", Microsoft, STOP),
    (Auth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.", Microsoft, STOP),
    (Auth, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", Microsoft, STOP),
    (Auth, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.", Microsoft, STOP),
    (Auth, "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.", Microsoft, STOP),
    (Auth, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", Microsoft, Refresh),
    (Auth, "535 5.7.139 Authentication unsuccessful, account is locked.", Microsoft, STOP),
    (Auth, "550 5.7.30 Basic authentication is not supported for Client Submission.", Microsoft, STOP),
    (Mail, "550 5.7.30 Basic authentication is not supported for Client Submission.", Microsoft, STOP),
    (Mail, "530 5.7.57 Client not authenticated to send mail. [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Microsoft, STOP),
    (Auth, "535 5.7.142 Authentication token is about to expire", Microsoft, Refresh),
    (Auth, "535 5.7.143 Authentication token has expired", Microsoft, Refresh),
    (FinalDot, "554 5.2.252 SendAsDenied; mailer@firm.example not allowed to send as boss@firm.example", Microsoft, STOP_SENDER),
    (FinalDot, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message Cannot submit message.", Microsoft, STOP_SENDER),
    (Mail, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", Microsoft, STOP_SENDER),
    (FinalDot, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception with message The message can't be submitted because the sender's submission quota was exceeded.", Microsoft, PAUSE),
    (FinalDot, "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", Microsoft, PAUSE),
    (FinalDot, "554 5.2.2 Submission quota exceeded", Microsoft, PAUSE),
    (FinalDot, "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit).", Microsoft, PAUSE_UPSTREAM),
    (FinalDot, "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit or TERRL).", Microsoft, PAUSE_UPSTREAM),
    (FinalDot, "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded", Microsoft, STOP),
    (FinalDot, "550 5.7.705 Access denied, tenant has exceeded threshold", Microsoft, STOP_UPSTREAM),
    (FinalDot, "550 5.7.708 Access denied, traffic not accepted from this IP.", Microsoft, STOP_UPSTREAM),
    (FinalDot, "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains.", Microsoft, STOP_UPSTREAM),
    (FinalDot, "550 5.1.8 Access denied, bad outbound sender AS(42004)", Microsoft, STOP),
    (Mail, "550 5.7.501 Access denied, spam abuse detected", Microsoft, STOP),
    (Mail, "550 5.7.503 Access denied, banned sender", Microsoft, STOP),
    (Rcpt, "550 5.7.64 TenantAttribution; Relay Access Denied [VE1EUR01FT016.eop-EUR01.prod.protection.outlook.com]", Microsoft, STOP_UPSTREAM),
    (Mail, "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources", Microsoft, STOP_UPSTREAM),
    (Rcpt, "550 5.4.1 Relay Access Denied", Microsoft, STOP_UPSTREAM),
    (Rcpt, "550 5.4.1 Recipient address rejected: Access denied. [VE1EUR01FT016.eop-EUR01.prod.protection.outlook.com]", Microsoft, Bounce),
    (FinalDot, "550 5.7.703 Your message can't be delivered because one or more recipients are blocked by your organization's tenant recipient block policy.", Microsoft, Bounce),
    (FinalDot, "550 5.2.121 Recipient's per hour message receive limit from specific sender exceeded.", Microsoft, Retry),
    (FinalDot, "550 5.2.122 Recipient's per hour message receive limit exceeded.", Microsoft, Retry),
    (FinalDot, "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant and include a valid From address", Microsoft, Bounce),
    (FinalDot, "550 5.7.515 Access denied, sending domain firm.example does not meet the required authentication level.", Microsoft, STOP_DOMAIN),

    (Rcpt, "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address. - gsmtp", Google, HARD),
    (Mail, "421 4.3.0 Temporary System Problem. Try again later (10). 4fb4d7f45d1cf-1234 - gsmtp", Google, slow(60)),
    (Greeting, "421 4.4.5 Server busy, try again later. 4fb4d7f45d1cf-1234 - gsmtp", Google, slow(60)),
    (Hello, "421 4.7.0 Try again later, closing connection. (EHLO) 4fb4d7f45d1cf-1234 - gsmtp", Google, slow(60)),
    (Mail, "450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error. 4fb4d7f45d1cf-1234 - gsmtp", Google, slow(60)),
    (Rcpt, "452 4.5.3 Your message has too many recipients. For more information regarding Google's sending limits go to https://support.google.com/mail/?p=TooManyRecipients - gsmtp", Microsoft, Split),
    (Auth, "454 4.7.0 Too many login attempts, please try again later. 4fb4d7f45d1cf-1234 - gsmtp", Google, NO_LOGIN),
    (Auth, "535 5.7.8 Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials 4fb4d7f45d1cf-1234 - gsmtp", Google, Refresh),
    (Auth, "534 5.7.9 Application-specific password required. For more information, go to https://support.google.com/mail/?p=InvalidSecondFactor 4fb4d7f45d1cf-1234 - gsmtp", Google, Refresh),
    (Auth, "534 5.7.9 Please log in with your web browser and then try again. For more information, go to https://support.google.com/mail/?p=WebLoginRequired 4fb4d7f45d1cf-1234 - gsmtp", Google, Refresh),
    (FinalDot, "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to https://support.google.com/a/answer/166852 - gsmtp", Google, PAUSE),
    (Mail, "550 5.7.1 Daily SMTP relay limit exceeded for customer. For more information on SMTP relay sending limits please contact your administrator. - gsmtp", Google, PAUSE_UPSTREAM),

    (FinalDot, "454 Throttling failure: Maximum sending rate exceeded.", Amazon, slow(1)),
    (FinalDot, "454 Throttling failure: Daily message quota exceeded.", Amazon, PAUSE_UPSTREAM),
    (Greeting, "421 Too many concurrent SMTP connections", Amazon, fewer(5)),

    (Greeting, "554 5.3.2 no SMTP service here", Any, AWAY),
    (Connect, "421 4.3.2 closing", Any, AWAY),
    (Auth, "454 4.7.0 the directory does not answer", Any, NO_LOGIN),
    (Auth, "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", Any, Refresh),
    (Auth, "535 Incorrect authentication data", Any, Refresh),
    (Auth, "534 5.7.9 Authentication mechanism is too weak", Any, NO_LOGIN),
    (Auth, "525 5.7.13 User account disabled", Any, STOP),
    (Auth, "538 5.7.11 Encryption required for requested authentication mechanism", Any, NO_LOGIN),
    (Auth, "530 5.7.0 Must issue a STARTTLS command first", Any, NO_LOGIN),
    (Auth, "550 5.7.1 this account sends no mail", Any, NO_LOGIN),
    (Mail, "421 4.3.2 shutting down", Any, Defer),
    (Rcpt, "421 4.3.2 shutting down", Any, Defer),
    (Rcpt, "452 4.3.1 Insufficient system storage", Any, Split),
    (Rcpt, "552 5.5.3 too many recipients", Any, Split),
    (Rcpt, "552 too many recipients", Any, Split),
    (Rcpt, "552 5.2.2 mailbox full", Any, Retry),
    (Rcpt, "452 4.2.2 The recipient's inbox is out of storage space. 4fb4d7f45d1cf-1234 - gsmtp", Any, Defer),
    (Mail, "452 4.3.1 Insufficient system storage", Any, Defer),
    (Mail, "552 5.3.4 Message size exceeds fixed limit", Any, Bounce),
    (FinalDot, "552 5.3.4 Message size exceeds fixed maximum message size", Any, Bounce),
    (FinalDot, "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare line feeds, which cannot be sent via DATA", Any, Bounce),
    (Rcpt, "550 5.1.1 <nobody@firm.example>: Recipient address rejected: User unknown in virtual mailbox table", Any, Bounce),
    (FinalDot, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient nobody@firm.example not found by SMTP address lookup", Any, Bounce),
];

/// What looks like a row of a provider and is not.
#[rustfmt::skip]
const LOOKS_ALIKE: &[(Stage, &str, ReplyAction)] = &[
    (Rcpt, "550 5.4.1 no answer from host", Bounce),
    (FinalDot, "550 5.7.1 Our system has detected that this message is likely unsolicited mail. - gsmtp", Bounce),
    (Mail, "550 5.1.8 <a@nowhere.example>: Sender address rejected: Domain not found", Bounce),
    // The mailbox of a recipient, not ours.
    (Rcpt, "554 5.2.2 mailbox full", Bounce),
    (FinalDot, "554 5.2.2 mailbox full", Bounce),
    (FinalDot, "552 5.2.2 over quota", Bounce),
    (Rcpt, "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered. - gsmtp", Defer),
    (Rcpt, "450 4.2.0 Greylisted, see https://postgrey.example/help", Defer),
    (Rcpt, "451 4.7.1 Greylisting in action, please try again in 5 minutes", Defer),
    (Mail, "421 4.7.0 mx.firm.example Error: too many errors", Defer),
    (Mail, "432 4.3.2 not now", Defer),
    (FinalDot, "451 4.4.2 timeout", Defer),
    (Rcpt, "451 4.7.499 no", Defer),
    (Rcpt, "451 4.7.700 no", Defer),
    (Rcpt, "451 server busy 4.7.500", Defer),
    (FinalDot, "554 5.2.0 STOREDRV.Submission.Exception:CorruptDataException", Bounce),
    (FinalDot, "550 5.4.5 network congestion", Bounce),
    (FinalDot, "454 4.7.1 Relay access denied", Defer),
    (Auth, "535 5.7.8 SmtpClientAuthentication is disabled for the Tenant", Refresh),
    // Before the login nothing is about a message, whatever it says.
    (Greeting, "550 5.7.1 Daily SMTP relay limit exceeded for customer.", AWAY),
    (Hello, "554 5.2.0 SubmissionQuotaExceededException", AWAY),
    (FinalDot, "452 4.5.3 too many recipients", Defer),
];

/// A reply as it comes over the wire.
fn parse(lines: &str) -> Reply {
    let mut parser = ReplyParser::new();
    parser.push(lines.as_bytes());
    parser.push(b"\r\n");
    parser.next().unwrap().unwrap()
}

#[test]
fn every_row_and_what_providers_really_say() {
    let mut hit: HashSet<*const Row> = HashSet::new();
    let hosters = hosters::SAID.iter().map(|(stage, line, want)| (stage, line, &Any, want));
    let providers = SAID.iter().map(|(stage, line, provider, want)| (stage, line, provider, want));
    let graph = graph::SAID.iter().map(|(stage, line, want)| (stage, line, &Microsoft, want));
    for (stage, line, provider, want) in providers.chain(hosters).chain(graph) {
        let row = row_for(*stage, &parse(line));
        assert_eq!((row.action, row.provider), (*want, *provider), "{stage:?} {line}");
        hit.insert(row);
    }
    let missed: Vec<_> = rows().filter(|row| !hit.contains(&std::ptr::from_ref(*row))).collect();
    assert!(missed.is_empty(), "no reply for {missed:#?}");
}

#[test]
fn look_alikes_are_something_else() {
    for (stage, line, want) in LOOKS_ALIKE.iter().chain(hosters::LOOKS_ALIKE) {
        assert_eq!(row_for(*stage, &parse(line)).action, *want, "{stage:?} {line}");
    }
}

#[test]
fn each_row_says_what_to_do() {
    for row in rows().chain([&general::LAST]) {
        for advice in [LoginMethod::Password, LoginMethod::Token].map(|method| row.advice_for(method)) {
            assert!(advice.len() > 20 && !advice.ends_with('.') && advice.is_ascii(), "{row:?}");
            assert!(!advice.contains("  "), "{row:?}");
        }
        let mut parts = row.text.iter().chain(row.unless);
        assert!(parts.all(|part| !part.is_empty() && *part == part.to_lowercase()), "{row:?}");
        // Nobody but Microsoft Graph is asked by requests.
        if row.provider != Any && *row.stages.start() != Request {
            let narrow = row.status != StatusPattern::Any || !row.text.is_empty();
            assert!(
                narrow && row.codes != Codes::Any,
                "a provider's row must not take others' replies: {row:?}"
            );
        }
    }
}

/// Whatever an upstream answers, something is done; and nothing bounces before MAIL or with a transient code.
#[test]
fn nothing_bounces_that_may_still_go() {
    let stages = [
        Connect,
        Stage::Tls,
        Greeting,
        Hello,
        Stage::StartTls,
        Auth,
        Mail,
        Rcpt,
        Data,
        Stage::Content,
        FinalDot,
        Request,
    ];
    for code in 200..600 {
        for stage in stages {
            for status in [None, Some((5, 1, 1)), Some((4, 7, 500)), Some((5, 7, 233))] {
                let reply = Reply { code, status, lines: vec!["SubmissionQuotaExceeded".into()] };
                let bounces = row_for(stage, &reply).action == Bounce;
                assert!(!bounces || (stage >= Mail && code >= 500), "{stage:?} {reply}");
            }
        }
    }
}

#[test]
fn the_text_may_stand_in_several_lines() {
    let lines = ["Daily SMTP relay", "limit exceeded for customer. - gsmtp"].map(str::to_owned);
    let reply = Reply { code: 550, status: Some((5, 7, 1)), lines: lines.into() };
    assert_eq!(row_for(Mail, &reply).action, PAUSE_UPSTREAM);
}
