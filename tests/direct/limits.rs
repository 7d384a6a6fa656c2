//! Limits while a client waits: it is told until when, and no kill makes them be forgotten.

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{Client, FROM, relay};

fn limits(keys: &str) -> String {
    format!("[upstream.limits]\n{keys}\n")
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_reached_says_until_when() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, &limits("per_minute = { messages = 2 }")).await;
    let mut client = Client::at(&sim, 0).await;
    for _ in 0..2 {
        assert!(client.send(FROM, &["x@there.example"], FROM).await[2].starts_with("250"));
    }
    let replies = client.send(FROM, &["x@there.example"], FROM).await;
    let words = "451 4.7.1 limit per minute of main reached, next at ";
    let until = replies[1].strip_prefix(words).unwrap_or_else(|| panic!("{replies:?}"));
    let until: jiff::Timestamp = until.parse().unwrap();
    let wait = until.duration_since(sim.core.as_ref().unwrap().context.timeline.wall());
    assert!(wait.as_secs() >= 55 && wait.as_secs() <= 62, "{wait}");
    assert_eq!(up.messages().len(), 2);
    tokio::time::sleep(secs(62)).await;
    assert!(client.send(FROM, &["x@there.example"], FROM).await[2].starts_with("250"));
}

#[tokio::test(start_paused = true)]
async fn recipients_count_one_by_one() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, &limits("per_minute = { recipients = 3 }")).await;
    let mut client = Client::at(&sim, 0).await;
    let all = ["v@there.example", "w@there.example", "x@there.example", "y@there.example"];
    let replies = client.send(FROM, &all, FROM).await;
    assert!(replies[4].starts_with("451 4.7.1 ") || replies[4].starts_with("452 4.5.3 "), "{replies:?}");
    assert_eq!(replies[5], "250 2.0.0 queued as 42");
    assert_eq!(up.messages()[0].recipients.len(), 3);
    let replies = client.send(FROM, &["z@there.example"], FROM).await;
    assert!(replies[1].starts_with("451 4.7.1 limit per minute of main reached, next at "), "{replies:?}");
    assert_eq!(up.messages().len(), 1);
}

/// How many octets a message has is known at its final dot; what has no room then is not sent.
#[tokio::test(start_paused = true)]
async fn octets_count_when_they_are_known() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, &limits("per = { \"5m\" = { octets = \"3kB\" } }")).await;
    let mut client = Client::at(&sim, 0).await;
    let octets = || up.messages().iter().map(|seen| seen.content.len()).collect::<Vec<_>>();
    let refused = loop {
        let replies = client.send(FROM, &["x@there.example"], FROM).await;
        if !replies[2].starts_with("250") {
            break replies;
        }
        assert!(octets().len() < 20, "{:?}", octets());
    };
    assert!(refused[1].starts_with("250"), "there is room for another recipient: {refused:?}");
    assert!(refused[2].starts_with("451 4.7.1 limit per 5m of main reached, next at "), "{refused:?}");
    let (sent, one) = (octets().iter().sum::<usize>(), octets()[0]);
    assert!(sent <= 3_000 && sent + one + octets().len() * 64 > 3_000, "{:?}", octets());
    tokio::time::sleep(secs(302)).await;
    let mut client = Client::at(&sim, 0).await;
    assert!(client.send(FROM, &["x@there.example"], FROM).await[2].starts_with("250"));
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_is_given_twice_is_asked_about_and_counted_once() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, &limits("per_minute = { recipients = 2 }")).await;
    let mut client = Client::at(&sim, 0).await;
    let all = ["v@there.example", "w@there.example", "\"V\"@There.example", "w@there.example"];
    let replies = client.send(FROM, &all, FROM).await;
    assert!(replies[1..=4].iter().all(|reply| reply.starts_with("250 2.1.5 ")), "{replies:?}");
    assert_eq!(replies[5], "250 2.0.0 queued as 42");
    assert_eq!(up.messages()[0].recipients.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_holds_as_many_recipients_as_it_may() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, &limits("recipients_per_message = 2")).await;
    let mut client = Client::at(&sim, 0).await;
    let replies = client.send(FROM, &["x@there.example", "y@there.example", "z@there.example"], FROM).await;
    assert!(replies[3].starts_with("452 4.5.3 no more than 2 recipients"), "{replies:?}");
    assert_eq!(replies[4], "250 2.0.0 queued as 42");
}

#[tokio::test(start_paused = true)]
async fn a_kill_in_the_middle_forgets_no_permit() {
    for step in [Step::Rcpt(0), Step::Dot] {
        let up = Upstream::new(Script::default().with(step, Act::Hang));
        let mut sim = relay(&up, &limits("per_hour = { messages = 1 }")).await;
        let mut client = Client::at(&sim, 0).await;
        client.say("MAIL FROM:<a@firm.example>").await;
        client.write(b"RCPT TO:<x@there.example>\r\nDATA\r\n").await;
        tokio::time::sleep(secs(1)).await;
        client.write(b"From: a@firm.example\r\n\r\none\r\n.\r\n").await;
        tokio::time::sleep(secs(1)).await;
        client.session.abort();
        drop(client);
        sim.kill().await;
        up.set(Script::default());
        sim.start().await;
        let mut client = Client::at(&sim, 0).await;
        let replies = client.send(FROM, &["x@there.example"], FROM).await;
        assert!(replies[1].starts_with("451 4.7.1 limit per hour of main reached, next at "), "{replies:?}");
        tokio::time::sleep(secs(3700)).await;
        let mut client = Client::at(&sim, 0).await;
        assert!(client.send(FROM, &["x@there.example"], FROM).await[2].starts_with("250"));
    }
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_free() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, &limits("connections = 1")).await;
    let mut holder = Client::at(&sim, 0).await;
    holder.say("MAIL FROM:<a@firm.example>").await;
    assert!(holder.say("RCPT TO:<x@there.example>").await.starts_with("250"));
    let mut client = Client::at(&sim, 0).await;
    let replies = client.send(FROM, &["x@there.example"], FROM).await;
    assert_eq!(replies[1], "451 4.4.5 all connections to main are in use, try again later");
    holder.leave().await;
    assert!(client.send(FROM, &["x@there.example"], FROM).await[2].starts_with("250"));
    assert_eq!(up.most_connections(), 1);
}

/// What an answer to one has taught holds for what another had asked for before, and is taken as it comes.
#[tokio::test(start_paused = true)]
async fn a_pace_that_was_learned_holds_for_asks_that_stand() {
    let up = Upstream::new(Script::default());
    let mut sim = relay(&up, &limits("per_minute = { messages = 10 }\nconnections = 20")).await;
    sim.submit(FROM, &["first@there.example"]).await;
    sim.until_empty(secs(5)).await;
    tokio::time::sleep(secs(120)).await;
    let text = "4.4.2 Message submission rate for this client has exceeded the configured limit";
    up.set(Script::default().with(Step::Mail, Act::ReplyAndDrop(421, text.to_owned())));
    let mut client = Client::at(&sim, 0).await;
    let replies = client.send(FROM, &["x@there.example"], FROM).await;
    assert!(replies[1].starts_with("451 "), "{replies:?}");
    up.set(Script::default());
    tokio::time::sleep(secs(150)).await;
    for n in 0..20 {
        sim.submit(FROM, &[&format!("x{n}@there.example")]).await;
    }
    tokio::time::sleep(secs(2)).await;
    let sent = up.messages().len() - 1;
    assert!((1..=5).contains(&sent), "{sent} at once");
}

/// Whether an upstream answers again is found out by whoever comes next, and not at the pace of the client that asked first.
#[tokio::test(start_paused = true)]
async fn a_slow_client_keeps_no_upstream_down() {
    let up = Upstream::new(Script::default().with(Step::Connect, Act::Refuse));
    let mut sim = relay(&up, &limits("connections = 2")).await;
    let mut client = Client::at(&sim, 0).await;
    let replies = client.send(FROM, &["x@there.example"], FROM).await;
    assert!(replies[1].starts_with("451 4.4.1 "), "{replies:?}");
    up.set(Script::default());
    tokio::time::sleep(secs(15)).await;
    client.say("MAIL FROM:<a@firm.example>").await;
    assert!(client.say("RCPT TO:<x@there.example>").await.starts_with("250"), "it is the probe");
    sim.submit(FROM, &["q@there.example"]).await;
    sim.until_empty(secs(20)).await;
    client.leave().await;
}

#[tokio::test(start_paused = true)]
async fn queued_and_direct_mail_share_one_set_of_limits() {
    let up = Upstream::new(Script::default());
    let mut sim = relay(&up, &limits("per_hour = { messages = 2 }\nconnections = 1")).await;
    sim.submit(FROM, &["q@there.example"]).await;
    sim.until_empty(secs(5)).await;
    let mut client = Client::at(&sim, 0).await;
    assert!(client.send(FROM, &["x@there.example"], FROM).await[2].starts_with("250"));
    assert!(client.send(FROM, &["x@there.example"], FROM).await[1].starts_with("451 4.7.1 "));
    sim.submit(FROM, &["q@there.example"]).await;
    tokio::time::sleep(secs(60)).await;
    assert_eq!((up.messages().len(), sim.store().queue_length()), (2, 1));
    assert_eq!(up.most_connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stands_in() {
    let (up, other) = (Upstream::new(Script::default()), Upstream::new(Script::default()));
    let toml = r#"
        [queue]
        mode = "direct"
        [[upstream]]
        name = "main"
        host = "up"
        security = "none"
        default = true
        fallback = ["other"]
        [[upstream]]
        name = "other"
        host = "other"
        security = "none"
    "#;
    let mut sim = Simulation::new(toml, &[("up", &up), ("other", &other)]);
    sim.start().await;
    up.set(Script::default().with(Step::Connect, Act::Refuse));
    let mut client = Client::at(&sim, 0).await;
    for _ in 0..2 {
        assert_eq!(client.send(FROM, &["x@there.example"], FROM).await[2], "250 2.0.0 queued as 42");
    }
    assert_eq!((up.connections(), other.messages().len()), (0, 2));
}
