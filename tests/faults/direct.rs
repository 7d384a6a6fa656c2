//! Clients that wait for the upstream, beside the queue and beside each other.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::support::direct_client::Client;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{FROM, arrivals, recipients};

async fn relay(up: &Upstream, limits: &str) -> Simulation {
    let toml = format!(
        "[queue]\nmode = \"direct\"\nwarn_after = \"never\"\n\
         [[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\n[upstream.limits]\n{limits}\n"
    );
    let mut sim = Simulation::new(&toml, &[("up", up)]);
    sim.start().await;
    sim
}

/// An upstream that takes so long for each message.
fn slow(pause: Duration) -> Upstream {
    Upstream::new(Script::default().with(Step::Dot, Act::Late(pause)))
}

async fn backlog(sim: &mut Simulation, messages: usize) {
    for to in recipients("queued", messages) {
        sim.submit(FROM, &[&to]).await;
    }
}

fn queued_that_went(up: &Upstream) -> usize {
    arrivals(up).iter().filter(|(to, _)| to.starts_with("queued")).count()
}

/// One client after another: how many of them got through, each with so many tries.
async fn clients(sim: &Simulation, count: usize, tries: usize) -> usize {
    let mut through = 0;
    for n in 0..count {
        let to = format!("direct{n}@there.example");
        for _ in 0..tries {
            let mut client = Client::at(sim, 0).await;
            let replies = client.send(FROM, &[&to], FROM).await;
            client.leave().await;
            if replies[2].starts_with("250") {
                through += 1;
                break;
            }
            sleep(secs(1)).await;
        }
    }
    through
}

#[tokio::test(start_paused = true)]
async fn clients_take_turns_with_a_backlog() {
    for (limits, rounds) in [
        ("connections = 1", 66),
        ("connections = 2", 66),
        ("connections = 2\nper_minute = { messages = 60 }\npace = \"even\"", 30),
    ] {
        let up = slow(Duration::from_millis(400));
        let mut sim = relay(&up, limits).await;
        backlog(&mut sim, 1_000).await;
        sleep(secs(2)).await;
        let (start, before) = (Instant::now(), queued_that_went(&up));
        let through = clients(&sim, rounds, 1).await;
        let (took, queued) = (start.elapsed(), queued_that_went(&up) - before);
        assert_eq!(through, rounds, "{limits}: in {took:?}, while {queued} of the queue went");
        assert!(took <= secs(3) * rounds as u32, "{limits}: {took:?}");
        assert!(queued >= rounds / 2, "{limits}: {queued} of the queue went beside {rounds} clients");
        assert!(up.most_connections() <= 2, "{limits}");
    }
}

/// With a window that is used up in a burst a client is told so; but not each time that it comes.
#[tokio::test(start_paused = true)]
async fn clients_get_through_beside_a_backlog_that_waits_for_a_window() {
    for connections in [1, 2] {
        let up = slow(Duration::from_millis(100));
        let limits = format!("connections = {connections}\nper_minute = {{ messages = 30 }}");
        let mut sim = relay(&up, &limits).await;
        backlog(&mut sim, 1_000).await;
        sleep(secs(10)).await;
        let through = clients(&sim, 10, 130).await;
        assert_eq!(through, 10, "of ten clients that came again every second for two minutes");
        assert!(queued_that_went(&up) >= 30, "the queue goes, too");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_makes_no_progress_gives_back_what_it_holds() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, "connections = 1").await;
    let mut idler = Client::at(&sim, 0).await;
    idler.say("MAIL FROM:<a@firm.example>").await;
    assert!(idler.say("RCPT TO:<x@there.example>").await.starts_with("250"));
    for _ in 0..4 {
        sleep(secs(13)).await;
        assert!(idler.say("NOOP").await.starts_with("250"));
    }
    assert!(up.commands_of("RSET").is_empty(), "it has 60 seconds");
    sleep(secs(10)).await;
    assert!(idler.say("NOOP").await.starts_with("250"), "its session goes on");
    assert_eq!(up.commands_of("RSET").len(), 1, "the upstream is told");
    let mut other = Client::at(&sim, 0).await;
    let replies = other.send(FROM, &["y@there.example"], FROM).await;
    assert!(replies[2].starts_with("250"), "{replies:?}");
    assert_eq!((up.connections(), up.messages().len()), (1, 1), "the connection is used again");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_lost_its_turn_may_begin_anew() {
    let next = "RCPT TO:<y@there.example>";
    let up = Upstream::new(Script::default());
    let sim = relay(&up, "connections = 1").await;
    let mut idler = Client::at(&sim, 0).await;
    idler.say("MAIL FROM:<a@firm.example>").await;
    assert!(idler.say("RCPT TO:<x@there.example>").await.starts_with("250"));
    for _ in 0..5 {
        sleep(secs(20)).await;
        idler.say("NOOP").await;
    }
    let told = idler.say(next).await;
    assert!(told.starts_with('4'), "{next}: {told}");
    assert!(idler.say("RSET").await.starts_with("250"));
    let replies = idler.send(FROM, &["z@there.example"], FROM).await;
    assert_eq!(replies[2], "250 2.0.0 queued as 42", "{next}");
    let seen = up.messages();
    assert_eq!((seen.len(), &*seen[0].recipients), (1, &["z@there.example".to_owned()][..]), "{next}");
    sim.until(secs(5), secs(1), async |sim| sim.totals().await.sent == 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_content_of_a_client_that_has_lost_its_turn_goes_in_a_transaction_of_its_own() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, "connections = 1").await;
    let mut idler = Client::at(&sim, 0).await;
    idler.say("MAIL FROM:<a@firm.example>").await;
    assert!(idler.say("RCPT TO:<x@there.example>").await.starts_with("250"));
    for _ in 0..5 {
        sleep(secs(20)).await;
        idler.say("NOOP").await;
    }
    assert_eq!((up.commands_of("MAIL").len(), up.commands_of("RSET").len()), (1, 1));
    assert!(idler.say("DATA").await.starts_with("354"));
    let told = idler.say("From: a@firm.example\r\nSubject: x\r\n\r\nHello.\r\n.").await;
    assert_eq!(told, "250 2.0.0 queued as 42");
    let recipients: Vec<_> = up.messages().iter().map(|seen| seen.recipients.clone()).collect();
    assert_eq!(recipients, [["x@there.example"]], "its recipients were asked about anew");
}

#[tokio::test(start_paused = true)]
async fn the_permit_of_a_client_that_makes_no_progress_is_given_back() {
    let up = Upstream::new(Script::default());
    let mut sim = relay(&up, "per_minute = { recipients = 2 }").await;
    let mut idlers = Vec::new();
    for n in 0..2 {
        let mut idler = Client::at(&sim, 0).await;
        idler.say("MAIL FROM:<a@firm.example>").await;
        assert!(idler.say(&format!("RCPT TO:<x{n}@there.example>")).await.starts_with("250"));
        idlers.push(idler);
    }
    backlog(&mut sim, 1).await;
    for _ in 0..12 {
        sleep(secs(12)).await;
        for idler in &mut idlers {
            idler.say("NOOP").await;
        }
    }
    // A minute until they are given up, and a minute more that the window lasts.
    assert_eq!(up.messages().len(), 1, "the queue has waited for {:?}", sim.control().waits_for().await);
}

#[tokio::test(start_paused = true)]
async fn progress_is_as_slow_as_it_likes() {
    let up = Upstream::new(Script::default());
    let sim = relay(&up, "").await;
    let mut client = Client::at(&sim, 0).await;
    client.say("MAIL FROM:<a@firm.example>").await;
    for n in 0..4 {
        assert!(client.say(&format!("RCPT TO:<x{n}@there.example>")).await.starts_with("250"));
        sleep(secs(50)).await;
    }
    assert!(client.say("DATA").await.starts_with("354"));
    client.write(b"From: a@firm.example\r\n\r\n").await;
    for _ in 0..4 {
        sleep(secs(50)).await;
        client.write(b"and so on\r\n").await;
    }
    assert_eq!(client.say(".").await, "250 2.0.0 queued as 42");
    assert_eq!(up.messages()[0].recipients.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_queue_says_that_it_waits_for_a_connection() {
    let up = Upstream::new(Script::default());
    let mut sim = relay(&up, "connections = 1").await;
    let mut holder = Client::at(&sim, 0).await;
    holder.say("MAIL FROM:<a@firm.example>").await;
    assert!(holder.say("RCPT TO:<x@there.example>").await.starts_with("250"));
    backlog(&mut sim, 2).await;
    sleep(secs(5)).await;
    assert_eq!(sim.control().waits_for().await, ["connection", "connection"]);
    holder.leave().await;
    sim.until_empty(secs(5)).await;
    assert_eq!((up.messages().len(), sim.store().queue_length()), (2, 0));
}

/// What there is no room for in one piece is no limit for what is smaller.
#[tokio::test(start_paused = true)]
async fn a_client_that_wants_more_than_there_is_room_for_holds_up_nobody() {
    let up = Upstream::new(Script::default());
    let mut sim = relay(&up, "connections = 1\nper_hour = { recipients = 4 }").await;
    let mut idler = Client::at(&sim, 0).await;
    idler.say("MAIL FROM:<a@firm.example>").await;
    for to in ["x@there.example", "y@there.example"] {
        assert!(idler.say(&format!("RCPT TO:<{to}>")).await.starts_with("250"));
    }
    for _ in 0..5 {
        sleep(secs(20)).await;
        idler.say("NOOP").await;
    }
    sim.submit(FROM, &["first@there.example"]).await;
    sleep(secs(1)).await;
    // What it had begun counts as well, so there is room for one more, and it wants two.
    assert!(idler.say("DATA").await.starts_with("354"));
    let told = idler.say(&format!("From: {FROM}\r\n\r\nHello.\r\n.")).await;
    assert!(told.starts_with("451 4.7.1 limit per hour of main reached"), "{told}");
    sim.submit(FROM, &["second@there.example"]).await;
    sleep(secs(1)).await;
    assert_eq!(up.messages().len(), 2, "the queue waits for {:?}", sim.control().waits_for().await);
}
