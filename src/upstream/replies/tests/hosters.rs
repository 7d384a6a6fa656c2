//! What the servers of hosters, firms and universities really say.

use super::*;

const NAME: ReplyAction = ReplyAction::Contested { scope: AppliesTo::Upstream };
const ADDRESS: ReplyAction = ReplyAction::Contested { scope: AppliesTo::Upstream };
const LOGIN: ReplyAction = ReplyAction::Contested { scope: AppliesTo::Account };
const RELAYING: ReplyAction = ReplyAction::Contested { scope: AppliesTo::Account };
const HOUR: ReplyAction = ReplyAction::Pause { scope: AppliesTo::Account, until: Window::HOUR };
const DAY: ReplyAction = PAUSE;

#[rustfmt::skip]
pub(super) const SAID: &[(Stage, &str, ReplyAction)] = &[
    (Hello, "421 4.7.1 mx.firm.example Error: No client certificate presented", AWAY),
    (Hello, "421 4.7.1 mx.firm.example Error: Client certificate not trusted", AWAY),
    // A login is missing, or is another one's.
    (Mail, "530 5.7.0 Must issue a STARTTLS command first", NO_LOGIN),
    (Mail, "535 5.7.8 log in anew", NO_LOGIN),
    (Mail, "538 5.7.11 Encryption required", NO_LOGIN),
    (Mail, "530 Authentication required", NO_LOGIN),
    (Mail, "530 5.7.1 Client was not authenticated", NO_LOGIN),
    (Mail, "550 5.7.1 Client was not authenticated", LOGIN),
    (Rcpt, "530 SMTP authentication is required.", NO_LOGIN),
    (FinalDot, "530 5.7.0 Authentication required", NO_LOGIN),
    (Mail, "550 Authentication is required for relay", LOGIN),
    (Rcpt, "550 smtp auth required", LOGIN),
    (Rcpt, "550 5.7.1 authentication required", LOGIN),
    (Rcpt, "550 Please turn on SMTP Authentication in your mail client. relay.firm.example [192.0.2.1]:51234 is not permitted to relay through this server without authentication.", LOGIN),
    (Rcpt, "503 This mail server requires authentication when attempting to send to a non-local e-mail address. Please check your mail client settings or contact your administrator to verify that the domain or address is defined for this server.", LOGIN),
    (Rcpt, "553 5.7.1 <mailer@firm.example>: Sender address rejected: not logged in", LOGIN),
    (Rcpt, "553 sorry, you don't authenticate or the domain isn't in my list of allowed rcpthosts (#5.7.1)", LOGIN),
    (Rcpt, "550 5.5.1 Must issue a STARTTLS command first.", LOGIN),
    (FinalDot, "550 5.7.1 You are not authorized to send mail, authentication is required", LOGIN),

    (Rcpt, "553 5.7.1 <billing@firm.example>: Sender address rejected: not owned by user shop@firm.example", ReplyAction::StopSender(Senders::Address)),
    (Mail, "553 5.7.1 Sender address rejected: not owned by auth user.", ReplyAction::StopSender(Senders::Address)),
    (FinalDot, "550 Domain firm.example has an outgoing mail suspension. Message rejected.", ReplyAction::Stop { scope: AppliesTo::Account }),

    // Our name.
    (Rcpt, "504 5.5.2 <relay>: Helo command rejected: need fully-qualified hostname", NAME),
    (Mail, "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", NAME),
    (FinalDot, "504 Invalid HELO. response=504 5.5.2 <mx1>: Helo command rejected: need fully-qualified hostname", NAME),
    (Rcpt, "501 5.5.2 <relay_1>: Helo command rejected: Invalid name", NAME),
    (Rcpt, "550 5.7.1 <relay.firm.example>: Helo command rejected: Host not found", NAME),
    (Rcpt, "554 5.7.1 <relay.firm.example>: Helo command rejected: Access denied", NAME),
    (Rcpt, "554 5.7.1 Service unavailable; Helo command [relay.firm.example] blocked using dbl.spamhaus.org", NAME),
    (Rcpt, "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", NAME),
    (Rcpt, "550 Please use your real hostname when saying HELO (not RELAY-01)", NAME),
    (Data, "550 5.7.1 HELO should be your host name, not an address", NAME),

    // Our address.
    (Rcpt, "550 5.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", ADDRESS),
    (Rcpt, "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", ADDRESS),
    (Rcpt, "550 5.7.25 Client host rejected: cannot find your reverse hostname, [192.0.2.1]", ADDRESS),
    (Rcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1", ADDRESS),
    (Rcpt, "550 5.7.1 Service unavailable; client [192.0.2.1] blocked using zen.spamhaus.org", ADDRESS),
    (Mail, "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus. To request removal from this list see https://www.spamhaus.org/query/ip/192.0.2.1 (AS3130). [VE1EUR01FT062.eop-EUR01.prod.protection.outlook.com]", ADDRESS),
    (Rcpt, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit https://sender.office.com/ and follow the directions.", ADDRESS),
    (Mail, "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).", ADDRESS),
    (Rcpt, "550 JunkMail rejected - relay.firm.example [192.0.2.1]:51234 is in an RBL: https://www.spamhaus.org/query/ip/192.0.2.1", ADDRESS),
    (Rcpt, "550 rejected because 192.0.2.1 is in a black list at zen.spamhaus.org", ADDRESS),
    (Rcpt, "550 Sender IP (192.0.2.1) is blacklisted at zen.spamhaus.org", ADDRESS),
    (FinalDot, "550 5.7.1 Mail from IP 192.0.2.1 was rejected due to listing in Spamhaus SBL. For details please see http://www.spamhaus.org/query/bl?ip=192.0.2.1", ADDRESS),
    (FinalDot, "554 5.7.1 Rejected - your IP address was found in a blacklist for sending spam. Please visit: http://spamcop.net/bl.shtml?192.0.2.1", ADDRESS),
    (Mail, "554 mx.firm.example bizsmtp 0bcW1i00G0jifNx01bcmHa no DNS reverse for 192.0.2.1", ADDRESS),
    (Rcpt, "550 IP address does not properly resolve for reverse DNS lookup", ADDRESS),
    (Mail, "550 5.7.1 Access denied. IP name lookup failed [192.0.2.1]", ADDRESS),
    (FinalDot, "550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup, or the corresponding forward DNS entry does not point to the sending IP. - gsmtp", ADDRESS),
    (Rcpt, "554 Your access to this mail system has been rejected due to the sending MTA's poor reputation.", ADDRESS),
    (Rcpt, "553 http://www.spamhaus.org/query/bl?ip=192.0.2.1", ADDRESS),
    (Mail, "550 mwinf5c04 ME Adresse IP source bloquee pour incident de spam. Client host blocked for spamming issues. OFR006_102", ADDRESS),
    (Mail, "550 SC-004 Unfortunately, messages from 192.0.2.1 weren't sent. We recommend that you contact your Internet service provider.", ADDRESS),
    (Rcpt, "571 No PTR Record found. Reverse DNS required: 192.0.2.1", ADDRESS),
    (Mail, "550 Blocked - see https://support.proofpoint.com/dnsbl-lookup.cgi?ip=192.0.2.1", ADDRESS),

    // Relaying.
    (Rcpt, "554 5.7.1 <a@b.example>: Relay access denied", RELAYING),
    (Rcpt, "550 5.7.1 <a@b.example>: Relay access denied", RELAYING),
    (Rcpt, "554 <a@b.example>: Recipient address rejected: Relay access denied", RELAYING),
    (Rcpt, "550 5.7.1 <a@b.example>... Relaying denied", RELAYING),
    (Rcpt, "550 Relaying denied - please see http://support.hoster.example/article.php?197", RELAYING),
    (Rcpt, "550 relay not permitted!", RELAYING),
    (Rcpt, "550 Relaying not allowed", RELAYING),
    (Rcpt, "550 5.7.1 Unable to relay", RELAYING),
    (Rcpt, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", RELAYING),
    (Rcpt, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", RELAYING),
    (Rcpt, "550 5.7.1 Your IP is not permitted to relay through this server", RELAYING),
    (Rcpt, "554 Relay rejected for policy reasons.", RELAYING),
    (Mail, "553 SMTP Relaying Denied", RELAYING),

    // What may be sent.
    (FinalDot, "550 Domain firm.example has exceeded the max emails per hour (200/200 (100%)) allowed. Message discarded.", HOUR),
    (Rcpt, "451 Domain firm.example has exceeded the max emails per hour (200/200 (100%)) allowed. Message will be reattempted later", HOUR),
    (FinalDot, "550 Domain firm.example has exceeded the max defers and failures per hour (5/5 (100%)) allowed. Message discarded.", HOUR),
    (FinalDot, "554 5.7.0 Your message could not be sent. The limit on the number of allowed outgoing messages was exceeded. Try again later.", HOUR),
    (Rcpt, "450 Requested mail action not taken: mailbox unavailable Mail send limit exceeded.", HOUR),
    (FinalDot, "450 4.7.1 <END-OF-MESSAGE>: End-of-data rejected: Number messages per hour exceeded. Error:RATE_MSG", HOUR),
    (Rcpt, "554 5.7.1 <a@b.example>: Recipient address rejected: Number recipients per hour exceeded", HOUR),
    (Rcpt, "450 4.7.1 <a@b.example>: Recipient address rejected: Policy rejection; message count quota exceeded", HOUR),
    (FinalDot, "451 4.7.1 Ratelimit \"user\" exceeded", HOUR),
    (FinalDot, "451 4.7.1 Ratelimit \"hostinger_out_ratelimit\" exceeded", HOUR),
    (FinalDot, "550 - Stop, you are sending too fast!", HOUR),
    (FinalDot, "550 5.7.1 Your mail limit has been reached.", HOUR),
    (Mail, "550 sorry, too many emails (#5.7.1)", HOUR),
    (Mail, "421 4.7.0 hourly limit exceeded", HOUR),
    (Rcpt, "550 User has exceeded outgoing email quota", HOUR),
    (Rcpt, "550 User mailer@firm.example has exceeded its 24-hour sending limit. Messages to 25 recipients out of 25", DAY),
    (FinalDot, "552 C13ypH3DXQO9CC140p6S9y Message would take you over your relay quota of 500 Current quota used: 487", DAY),
    (Rcpt, "550 Daily limit has been exceeded for mailer@firm.example", DAY),
    (Rcpt, "550 5.1.1 <a@b.example>  - 192.0.2.1 has sent to too many recipients this hour. IB607  <http://x.co/rlbounce>", HOUR),
    (FinalDot, "554 p3plsmtpa.example : CAT : You've reached your daily relay quota - 192.0.2.1", DAY),
    (Data, "554 5.7.1 <DATA>: Data command rejected: limit of 400 rcpts per 24 hours for client mailer@firm.example reached", DAY),
    (Data, "554 5.7.1 <DATA>: Data command rejected: only 10 messages per day", DAY),
    (FinalDot, "550 You (firm) have reached your message limit", DAY),
    (FinalDot, "550 5.7.1 Daily sending quota exceeded", DAY),
];

/// What is about a recipient, a sender's domain or a message.
#[rustfmt::skip]
pub(super) const LOOKS_ALIKE: &[(Stage, &str, ReplyAction)] = &[
    (Rcpt, "550 5.1.1 <a@b.example>: user unknown", Bounce),
    (Rcpt, "550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in relay recipient table", Bounce),
    (FinalDot, "550 5.7.1 message refused as spam", Bounce),
    (FinalDot, "554 5.7.1 rejected by policy", Bounce),
    (Rcpt, "550 Administrative prohibition", Bounce),
    (Rcpt, "504 5.5.2 <a>: Recipient address rejected: need fully-qualified address", Bounce),
    (Rcpt, "504 5.5.2 <a>: Sender address rejected: need fully-qualified address", Bounce),
    // Mail of their own only.
    (FinalDot, "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed because the sender was not authenticated when sending to this group", Bounce),
    (FinalDot, "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", Bounce),
    // The sender's domain, a link.
    (FinalDot, "550 5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM. Authentication results: DKIM = did not pass SPF [firm.example] with ip: [192.0.2.1] = did not pass - gsmtp", Bounce),
    (FinalDot, "550 5.7.1 Email rejected per DMARC policy, authentication required", Bounce),
    (Rcpt, "550 5.7.23 SPF check failed: your IP address 192.0.2.1 may not send for firm.example", Bounce),
    (FinalDot, "550 5.7.1 Our system has detected that this message is likely suspicious due to the very low reputation of the sending domain. - gsmtp", Bounce),
    (Rcpt, "554 5.7.1 Service unavailable; Sender address [a@firm.example] blocked using dbl.spamhaus.org", Bounce),
    (Mail, "550 5.7.1 the domain firm.example is listed at dbl.spamhaus.org", Bounce),
    (Mail, "550 5.1.0 MXIN506 MailFrom domain is listed in Spamhaus. To request removal from this list see https://www.spamhaus.org/query/lookup/", Bounce),
    (FinalDot, "550 5.7.26 Unauthenticated email from firm.example is not accepted due to domain's DMARC policy.", Bounce),
    (FinalDot, "554 5.7.1 message contains a URL listed by SURBL", Bounce),
    (Rcpt, "550 Callback setup failed while verifying <a@firm.example>: a bad HELO or MAIL FROM:<> was rejected", Bounce),
    // The mailbox of a recipient.
    (Rcpt, "552 5.2.2 user has exceeded quota, bouncing mail", Retry),
    (Rcpt, "552 5.2.2 Over quota", Retry),
    (Rcpt, "550 5.2.2 <a@b.example>: mailbox full", Bounce),
    (FinalDot, "552 Error: disk quota exceeded", Bounce),
    (FinalDot, "552 5.2.2 The email account that you tried to reach is over quota", Bounce),
    (FinalDot, "550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages: daily limit", Bounce),
    (Rcpt, "550 5.7.1 recipient has reached the number of messages per hour", Bounce),
    (Rcpt, "452 4.2.2 mailbox quota exceeded for today", Defer),
    // With a 4yz it may be greylisting.
    (Rcpt, "450 4.7.1 <unknown[192.0.2.1]>: Client host rejected: Greylisted, try again in 300 seconds", Defer),
    (Rcpt, "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", Defer),
    (Rcpt, "450 4.7.1 <relay>: Helo command rejected: Host not found", Defer),
    (Rcpt, "454 4.7.1 <a@b.example>: Relay access denied", Defer),
    // Before MAIL nothing is about a message.
    (Greeting, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", AWAY),
    (Hello, "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", AWAY),
];
