//! The simulation itself: it must see what a relay does wrong, or the tests with it prove nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailsluice::smtp::Reply;
use mailsluice::upstream::{ReplyAction, Stage, row_for};
use tokio::time::sleep;

use super::client::Client;
use super::support::office365::{Limit, Office365, Rules, Trouble, external_recipients};
use super::support::simulation::secs;

const USER: &str = "mailer@firm.example";

fn service(rules: Rules) -> Office365 {
    Office365::with_mailboxes(rules, &[USER, "other@firm.example"])
}

fn limits(service: &Office365) -> Vec<Limit> {
    service.violations().iter().map(|violation| violation.limit).collect()
}

#[tokio::test(start_paused = true)]
async fn more_than_thirty_a_minute_is_seen() {
    let service = service(Rules::default());
    let mut client = Client::login(&service, USER).await;
    for _ in 0..30 {
        assert_eq!(&client.send(USER, 1).await[..3], "250");
    }
    sleep(Duration::from_millis(59_999)).await;
    let reply = client.send(USER, 1).await;
    assert_eq!(reply, "421 4.4.2 Message submission rate for this client has exceeded the configured limit");
    assert!(client.is_over().await);
    assert_eq!(limits(&service), [Limit::Starts]);
    assert_eq!(service.throttled()[0].reply, reply);
    // Another mailbox has a minute of its own, and this one has room once the minute is over.
    assert_eq!(&Client::login(&service, "other@firm.example").await.send(USER, 1).await[..3], "250");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(&Client::login(&service, USER).await.send(USER, 1).await[..3], "250");
    assert_eq!((service.messages(), service.attempts(), service.violations().len()), (32, 33, 1));
}

#[tokio::test(start_paused = true)]
async fn ends_count_as_starts_do() {
    // Two messages that begin a minute apart and end together.
    let rules = Rules { per_minute: 1, hangs_up: false, ..Rules::default() };
    let service = service(rules.clone());
    let mut slow = Client::login(&service, USER).await;
    slow.say("MAIL FROM:<mailer@firm.example>").await;
    slow.say("RCPT TO:<a@there.example>").await;
    slow.say("DATA").await;
    sleep(secs(60)).await;
    assert_eq!(&Client::login(&service, USER).await.send(USER, 1).await[..3], "250");
    assert_eq!(&slow.say("From: a@b.example\r\n\r\nx\r\n.").await[..9], "432 4.4.2");
    assert_eq!(limits(&service), [Limit::Ends]);
}

#[tokio::test(start_paused = true)]
async fn more_than_three_connections_are_seen() {
    let service = service(Rules::default());
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::login(&service, USER).await);
    }
    assert_eq!(limits(&service), [Limit::Connections]);
    assert_eq!(&clients[3].send(USER, 1).await[..9], "432 4.3.2");
    assert_eq!(&clients[2].send(USER, 1).await[..3], "250");
    assert_eq!((service.violations().len(), service.throttled().len()), (1, 1));
    clients.remove(0).say("QUIT").await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(&clients[2].send(USER, 1).await[..3], "250");
}

#[tokio::test(start_paused = true)]
async fn recipients_of_a_message_and_of_a_day_are_counted() {
    let rules = Rules { recipients_per_message: 3, recipients_per_day: 7, ..Rules::default() };
    let service = service(rules);
    let mut client = Client::login(&service, USER).await;
    assert_eq!(&client.send(USER, 4).await[..9], "452 4.5.3");
    client.say("RSET").await;
    for _ in 0..2 {
        assert_eq!(&client.send(USER, 3).await[..3], "250");
    }
    let refused = client.send(USER, 2).await;
    assert!(refused.starts_with("554 5.2.0 ") && refused.contains("SubmissionQuotaExceededException"));
    assert_eq!(&client.send(USER, 1).await[..3], "250");
    assert_eq!(limits(&service), [Limit::RecipientsPerMessage, Limit::RecipientsPerDay]);
    drop(client);
    sleep(secs(86_400)).await;
    assert_eq!(&Client::login(&service, USER).await.send(USER, 3).await[..3], "250");
}

#[tokio::test(start_paused = true)]
async fn external_recipients_of_a_tenant_are_counted() {
    assert_eq!((external_recipients(1), external_recipients(100)), (10_000, 22_059));
    let service = service(Rules::default());
    service.tenant("firm.example", 3);
    let (mut one, mut other) =
        (Client::login(&service, USER).await, Client::login(&service, "other@firm.example").await);
    assert_eq!(&one.send(USER, 2).await[..3], "250");
    assert_eq!(&other.send(USER, 2).await[..11], "550 5.7.233");
    assert_eq!(&other.send(USER, 1).await[..3], "250");
    // Mail within the tenant may go on.
    for line in ["MAIL FROM:<mailer@firm.example>", "RCPT TO:<chief@firm.example>"] {
        assert_eq!(&one.say(line).await[..3], "250");
    }
    one.say("DATA").await;
    assert_eq!(&one.say("From: a@b.example\r\n\r\nx\r\n.").await[..3], "250");
    assert_eq!(limits(&service), [Limit::ExternalRecipients]);
}

#[tokio::test(start_paused = true)]
async fn logins_by_password_and_by_token() {
    let service = service(Rules::default());
    let mut client = Client::connect(&service).await;
    assert_eq!(&client.say("MAIL FROM:<mailer@firm.example>").await[..10], "530 5.7.57");
    assert_eq!(&client.say("EHLO here").await[..3], "250");
    assert_eq!(client.say("AUTH LOGIN").await, "334 VXNlcm5hbWU6");
    assert_eq!(client.say(&STANDARD.encode("Mailer@Firm.example")).await, "334 UGFzc3dvcmQ6");
    assert_eq!(&client.say(&STANDARD.encode("wrong")).await[..9], "535 5.7.3");
    let token = service.issue_token(USER, secs(3_600));
    let login = |user: &str| {
        format!("AUTH XOAUTH2 {}", STANDARD.encode(format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}")))
    };
    assert_eq!(&client.say(&login("other@firm.example")).await[..9], "535 5.7.3", "another's token");
    assert_eq!(&client.say(&login(USER)).await[..3], "235");
    assert_eq!(&client.send(USER, 1).await[..3], "250");
    sleep(secs(3_600)).await;
    assert_eq!(&Client::connect(&service).await.say(&login(USER)).await[..9], "535 5.7.3", "it has expired");
    assert_eq!(service.connections(), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_or_from_somebody_else_is_refused() {
    let service = service(Rules { message_size: 100, ..Rules::default() });
    service.send_as(USER, &["office@firm.example"]);
    let mut client = Client::login(&service, USER).await;
    assert_eq!(&client.say("MAIL FROM:<mailer@firm.example> SIZE=101").await[..9], "552 5.3.4");
    assert_eq!(&client.send("office@firm.example", 1).await[..3], "250");
    let denied = client.send("chief@firm.example", 1).await;
    assert_eq!(
        denied,
        "554 5.2.252 SendAsDenied; mailer@firm.example not allowed to send as chief@firm.example"
    );
    for line in ["MAIL FROM:<mailer@firm.example>", "RCPT TO:<a@there.example>", "DATA"] {
        assert!(client.say(line).await.as_bytes()[0] < b'4');
    }
    let text = format!("From: {USER}\r\n\r\n{}\r\n.", "x".repeat(70));
    assert_eq!(&client.say(&text).await[..9], "552 5.3.4");
    let taken = service.delivered();
    assert_eq!(
        (taken.len(), taken[0].from.as_str(), taken[0].mailbox.as_str()),
        (1, "office@firm.example", USER)
    );
    assert_eq!(taken[0].size, "From: <office@firm.example>\r\nSubject: x\r\n\r\n..\r\n".len());
}

/// Every word of the simulation is one that the relay's table knows, and not by its general rows.
#[tokio::test(start_paused = true)]
async fn its_refusals_are_in_the_table() {
    use Trouble::{
        AuthBusy, BasicAuthDisabled, BasicAuthGone, ConditionalAccess, LowReputation, MailboxFull,
        SecurityDefaults, ServerBusy, SmtpAuthDisabledForMailbox, SmtpAuthDisabledForTenant, SpamBlocked,
        TenantBlocked, UnregisteredDomain,
    };
    let service = service(Rules::default());
    for trouble in [
        SmtpAuthDisabledForMailbox,
        SmtpAuthDisabledForTenant,
        BasicAuthDisabled,
        BasicAuthGone,
        SecurityDefaults,
        ConditionalAccess,
    ] {
        service.trouble_mailbox(USER, Some(trouble));
        let login = format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{USER}\0secret")));
        let reply = Client::connect(&service).await.say(&login).await;
        assert!(matches!(treatment(Stage::Auth, &reply), ReplyAction::Stop { .. }), "{reply}");
    }
    service.trouble_mailbox(USER, Some(AuthBusy));
    let login = format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{USER}\0secret")));
    let reply = Client::connect(&service).await.say(&login).await;
    assert!(matches!(treatment(Stage::Auth, &reply), ReplyAction::Unavailable { .. }), "{reply}");
    service.trouble_mailbox(USER, None);
    let mut client = Client::login(&service, USER).await;
    service.trouble_tenant("firm.example", Some(ServerBusy));
    let reply = client.send(USER, 1).await;
    assert!(matches!(treatment(Stage::Mail, &reply), ReplyAction::Slow(_)), "{reply}");
    for trouble in [SpamBlocked, TenantBlocked, LowReputation, UnregisteredDomain, MailboxFull] {
        service.trouble_tenant("firm.example", Some(trouble));
        let reply = client.send(USER, 1).await;
        assert!(matches!(treatment(Stage::FinalDot, &reply), ReplyAction::Stop { .. }), "{reply}");
    }
    assert_eq!((service.messages(), service.violations().len()), (0, 0));
}

fn treatment(stage: Stage, line: &str) -> ReplyAction {
    let mut parser = mailsluice::smtp::ReplyParser::new();
    parser.push(format!("{line}\r\n").as_bytes());
    let reply: Reply = parser.next().unwrap().unwrap();
    row_for(stage, &reply).action
}
