//! What the service refuses beyond the plain limits, and how the relay works around it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::support::direct_client::Client;
use super::support::office365::{Office365, Rules, Trouble};
use super::support::simulation::{Simulation, secs};

const USERS: [&str; 3] = ["mailer@firm.example", "mailer2@firm.example", "mailer3@firm.example"];

fn config(more: &str) -> String {
    format!(
        "[queue]\nexpire_after = \"90d\"\nwarn_after = \"never\"\n\
         [[upstream]]\nname = \"office\"\ndefault = true\npreset = \"office365\"\nsecurity = \"none\"\nallow_plaintext_auth = true\n\
         user = \"{}\"\npassword = \"secret\"\n{more}",
        USERS[0]
    )
}

fn accounts() -> String {
    let account = |user: &&str| format!("[[upstream.account]]\nuser = \"{user}\"\npassword = \"secret\"\n");
    USERS[1..].iter().map(account).collect()
}

async fn submit(sim: &mut Simulation, messages: u32) {
    for n in 0..messages {
        sim.submit("invoices@firm.example", &[&format!("r{n}@there.example")]).await;
    }
}

async fn until_empty(sim: &Simulation, most: u64) {
    sim.until(secs(most), secs(1), async |sim| sim.store().queue_length() == 0).await;
}

fn assert_kept(service: &Office365) {
    let violations = service.violations();
    assert!(violations.is_empty(), "{} violations, first {:?}", violations.len(), violations[0]);
    let throttled = service.throttled();
    assert!(throttled.is_empty(), "{} throttle replies, first {:?}", throttled.len(), throttled[0]);
}

#[tokio::test(start_paused = true)]
async fn three_mailboxes_are_three_times_as_fast() {
    let service = Office365::with_mailboxes(Rules::default(), &USERS);
    let mut sim = Simulation::new(&config(&accounts()), &[("smtp.office365.com", &service)]);
    sim.start().await;
    submit(&mut sim, 10_000).await;
    let start = Instant::now();
    until_empty(&sim, 200 * 60).await;
    assert_kept(&service);
    // 3,334 of one mailbox: 111 minutes must pass before the last four may go.
    let least = secs(111 * 60);
    let took = start.elapsed();
    assert!(took >= least && took <= least + least / 50, "{took:?}");
    for user in USERS {
        let share = service.delivered().iter().filter(|message| message.mailbox == user).count();
        assert!((3_270..=3_400).contains(&share), "{user}: {share}");
    }
    assert!(service.delivered().iter().all(|message| message.from == "invoices@firm.example"));
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_bound_serves_its_own_address_alone() {
    let service = Office365::with_mailboxes(Rules::default(), &USERS);
    let bound = accounts().replace("password", "sender_bound = true\npassword");
    let mut sim = Simulation::new(&config(&bound), &[("smtp.office365.com", &service)]);
    sim.start().await;
    for n in 0..60 {
        sim.submit(USERS[n % 3], &[&format!("r{n}@there.example")]).await;
    }
    submit(&mut sim, 30).await;
    until_empty(&sim, 600).await;
    assert_kept(&service);
    for message in service.delivered().iter().filter(|message| message.mailbox != USERS[0]) {
        assert_eq!(message.from, message.mailbox);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_stricter_than_configured() {
    let strict = Rules { per_minute: 20, connections: 2, ..Rules::default() };
    for hangs_up in [true, false] {
        let service = Office365::with_mailboxes(
            Rules { hangs_up, think: Duration::from_millis(200), ..strict.clone() },
            &USERS,
        );
        let mut sim = Simulation::new(&config(""), &[("smtp.office365.com", &service)]);
        sim.start().await;
        submit(&mut sim, 2_000).await;
        sleep(secs(600)).await;
        let (messages, attempts, throttled) =
            (service.messages(), service.attempts(), service.throttled().len());
        sleep(secs(3_600)).await;
        let sent = service.messages() - messages;
        assert!(sent >= 60 * 18, "hangs up {hangs_up}: {sent} in an hour, of 1,200 that are allowed");
        let (attempts, throttled) = (service.attempts() - attempts, service.throttled().len() - throttled);
        assert!(throttled as u64 * 100 < attempts, "hangs up {hangs_up}: {throttled} of {attempts}");
        until_empty(&sim, 3 * 3_600).await;
        let totals = sim.totals().await;
        assert_eq!((totals.sent, totals.bounced), (2_000, 0), "hangs up {hangs_up}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_day_limit_of_a_service_that_is_stricter_pauses_and_bounces_nothing() {
    let service = Office365::with_mailboxes(Rules { recipients_per_day: 100, ..Rules::default() }, &USERS);
    let mut sim = Simulation::new(&config(""), &[("smtp.office365.com", &service)]);
    sim.start().await;
    submit(&mut sim, 150).await;
    sleep(secs(3_600)).await;
    assert_eq!((service.messages(), sim.totals().await.bounced), (100, 0));
    // It asks now and then, not once a minute.
    assert!(service.throttled().len() < 30, "{}", service.throttled().len());
    until_empty(&sim, 2 * 86_400).await;
    let totals = sim.totals().await;
    assert_eq!((totals.sent, totals.bounced), (150, 0));
}

#[tokio::test(start_paused = true)]
async fn the_tenants_limit_pauses_all_accounts() {
    let service = Office365::with_mailboxes(Rules::default(), &USERS);
    service.tenant("firm.example", 60);
    let mut sim = Simulation::new(&config(&accounts()), &[("smtp.office365.com", &service)]);
    sim.start().await;
    submit(&mut sim, 90).await;
    sleep(secs(3_600)).await;
    assert_eq!((service.messages(), sim.totals().await.bounced), (60, 0));
    let (refused, attempts) = (service.throttled().len(), service.attempts());
    sleep(secs(3_600)).await;
    assert!(service.throttled().len() <= refused + 3, "all accounts wait: {}", service.attempts() - attempts);
    until_empty(&sim, 2 * 86_400).await;
    let totals = sim.totals().await;
    assert_eq!((totals.sent, totals.bounced), (90, 0));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_without_smtp_auth_stops_and_the_others_go_on() {
    let service = Office365::with_mailboxes(Rules::default(), &USERS);
    service.trouble_mailbox(USERS[0], Some(Trouble::SmtpAuthDisabledForMailbox));
    let mut sim = Simulation::new(&config(&accounts()), &[("smtp.office365.com", &service)]);
    sim.start().await;
    submit(&mut sim, 120).await;
    until_empty(&sim, 600).await;
    assert_kept(&service);
    assert!(service.delivered().iter().all(|message| message.mailbox != USERS[0]));
    let (_, logins) = service.connections();
    assert!(logins < 20, "{logins} logins: what is stopped is not tried again");
}

#[tokio::test(start_paused = true)]
async fn a_stop_keeps_the_mail_until_a_person_mends_it() {
    for trouble in
        [Trouble::LowReputation, Trouble::TenantBlocked, Trouble::MailboxFull, Trouble::SpamBlocked]
    {
        let service = Office365::with_mailboxes(Rules::default(), &USERS);
        service.trouble_tenant("firm.example", Some(trouble));
        let mut sim = Simulation::new(&config(""), &[("smtp.office365.com", &service)]);
        sim.start().await;
        submit(&mut sim, 20).await;
        sleep(secs(86_400)).await;
        let totals = sim.totals().await;
        assert_eq!((totals.sent, totals.bounced, totals.queued), (0, 0, 20), "{trouble:?}");
        assert!(service.attempts() < 10, "{trouble:?}: {} attempts", service.attempts());
        service.trouble_tenant("firm.example", None);
        // A program that reads the configuration again is no person.
        let same = config("");
        sim.reload(&same).await;
        sleep(secs(3_600)).await;
        assert_eq!(service.messages(), 0, "{trouble:?}");
        sim.control().enable("office").await;
        until_empty(&sim, 3_600).await;
        assert_eq!(service.messages(), 20, "{trouble:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_not_permitted_stops_alone() {
    let service = Office365::with_mailboxes(Rules::default(), &USERS);
    service.send_as(USERS[0], &["invoices@firm.example"]);
    let mut sim = Simulation::new(&config(""), &[("smtp.office365.com", &service)]);
    sim.start().await;
    for n in 0..5 {
        sim.submit("chief@firm.example", &[&format!("c{n}@there.example")]).await;
    }
    submit(&mut sim, 20).await;
    sleep(secs(3_600)).await;
    let totals = sim.totals().await;
    assert_eq!((totals.sent, totals.bounced, totals.queued), (20, 0, 5));
    assert!(service.attempts() < 30, "{}", service.attempts());
}

#[tokio::test(start_paused = true)]
async fn fallbacks_serve_what_is_disabled_unreachable_or_used_up() {
    let backup = "fallback = [\"backup\"]\nfallback_on = [\"unreachable\", \"disabled\", \"quota\"]\nfallback_after = \"15m\"\n\
                  [upstream.limits]\nper_day = { recipients = 50 }\n\
                  [[upstream]]\nname = \"backup\"\nhost = \"backup\"\nsecurity = \"none\"\nuser = \"mailer@firm.example\"\npassword = \"secret\"\n\
                  allow_plaintext_auth = true\nfilter = [\"backup.example\"]\n";
    for case in ["unreachable", "disabled", "quota"] {
        let (office, spare) = (
            Office365::with_mailboxes(Rules::default(), &USERS),
            Office365::with_mailboxes(Rules { per_minute: 1_000, ..Rules::default() }, &USERS),
        );
        match case {
            "unreachable" => office.set_unreachable(true),
            "disabled" => office.trouble_tenant("firm.example", Some(Trouble::SmtpAuthDisabledForTenant)),
            _ => {}
        }
        let hosts = [("smtp.office365.com", &office), ("backup", &spare)];
        let mut sim = Simulation::new(&config(backup), &[(hosts[0].0, hosts[0].1), (hosts[1].0, hosts[1].1)]);
        sim.start().await;
        submit(&mut sim, 80).await;
        until_empty(&sim, 2 * 3_600).await;
        let (own, others) = (office.messages(), spare.messages());
        let want = if case == "quota" { (50, 30) } else { (0, 80) };
        assert_eq!((own, others), want, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_mail_leaves_within_two_turns_of_a_burst() {
    let service = Office365::with_mailboxes(Rules::default(), &USERS);
    let mut sim = Simulation::new(&config(""), &[("smtp.office365.com", &service)]);
    sim.start().await;
    submit(&mut sim, 10_000).await;
    sleep(secs(90)).await;
    let mut message = sim.message("chief@firm.example", &["friend@there.example"]);
    message.client.address = "192.0.2.77".into();
    let before = service.messages();
    sim.enqueue(message).await;
    sim.until(secs(180), secs(1), async |_| {
        service.delivered().iter().any(|message| message.from == "chief@firm.example")
    })
    .await;
    let place = service.delivered()[before..]
        .iter()
        .position(|message| message.from == "chief@firm.example")
        .unwrap();
    assert!(place < 2 + 3, "{place} others went before it; three may have been under way");
}

#[tokio::test(start_paused = true)]
async fn what_one_lane_has_reserved_is_no_limit_to_another() {
    let (office, spare) = (
        Office365::with_mailboxes(Rules::default(), &USERS),
        Office365::with_mailboxes(Rules { per_minute: 1_000, ..Rules::default() }, &USERS),
    );
    let more = format!(
        "fallback = [\"backup\"]\nfallback_on = [\"quota\"]\nfallback_after = \"1h\"\n\
         [upstream.shared_limits]\nper_day = {{ recipients = 5000 }}\n\
         [[upstream.account]]\nuser = \"{}\"\npassword = \"secret\"\nsender_bound = true\n\
         [[upstream]]\nname = \"backup\"\nhost = \"backup\"\nsecurity = \"none\"\nuser = \"{}\"\npassword = \"secret\"\n\
         allow_plaintext_auth = true\nfilter = [\"backup.example\"]\n",
        USERS[1], USERS[0]
    );
    let mut sim = Simulation::new(&config(&more), &[("smtp.office365.com", &office), ("backup", &spare)]);
    sim.start().await;
    for n in 0..360 {
        sim.submit(USERS[n % 2], &[&format!("r{n}@there.example")]).await;
    }
    until_empty(&sim, 3_600).await;
    assert_kept(&office);
    assert_eq!((office.messages(), spare.messages()), (360, 0));
}

/// Sends one message after the other as a client that waits, for an hour. How many the service took.
async fn sends_for_an_hour(mut client: Client) -> u32 {
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < secs(3_600) {
        let from = "invoices@firm.example";
        let replies = client.send(from, &["direct@there.example"], from).await;
        if replies.last().is_some_and(|reply| reply.starts_with("250")) {
            sent += 1;
        } else {
            sleep(secs(20)).await;
        }
    }
    client.say("QUIT").await;
    sent
}

#[tokio::test(start_paused = true)]
async fn lanes_a_fallback_and_direct_clients_share_the_mailboxes() {
    let service = Office365::with_mailboxes(Rules::default(), &USERS);
    let second = "[[upstream]]\nname = \"second\"\nhost = \"second\"\nsecurity = \"none\"\nenabled = false\n\
                  filter = [\"second.example\"]\nfallback = [\"office\"]\nfallback_on = [\"disabled\"]\n";
    let toml = config(&(accounts() + second)).replace("[queue]", "[queue]\nmode = \"direct\"");
    let mut sim = Simulation::new(&toml, &[("smtp.office365.com", &service)]);
    sim.start().await;
    submit(&mut sim, 4_000).await;
    for n in 0..2_000 {
        sim.submit("a@second.example", &[&format!("second{n}@there.example")]).await;
    }
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..5 {
        clients.spawn(sends_for_an_hour(Client::at(&sim, 0).await));
    }
    until_empty(&sim, 200 * 60).await;
    let took = start.elapsed();
    let direct: u32 = clients.join_all().await.iter().sum();
    assert_kept(&service);
    let all = service.messages() as u32;
    assert_eq!(all, 6_000 + direct);
    assert!(direct >= 300, "clients have their turns: {direct}");
    let least = secs(60 * u64::from((all / 3 - 1) / 30));
    assert!(took >= least && took <= least + least / 50, "{took:?} instead of {least:?} for {all}");
}
