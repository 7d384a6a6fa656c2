//! What an answer means, and to whom: the message, a recipient, the connection, the account or the upstream.

use std::time::Duration;

use mailsluice::store::RecipientState;
use tokio::time::sleep;

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};
use super::{FROM, arrivals, one};

const HOUR: u64 = 3_600;

fn with_password(password: &str) -> String {
    one(&format!(
        "allow_plaintext_auth = true\nauth = \"plain\"\nuser = \"anna\"\npassword = \"{password}\"\ndisable_after = 2\n"
    ))
}

/// Tries at a login since the last look.
struct Logins<'a>(&'a Upstream, usize);

impl Logins<'_> {
    fn since(&mut self) -> usize {
        let all = self.0.commands_of("AUTH").len();
        all - std::mem::replace(&mut self.1, all)
    }
}

/// A wrong password is not tried for ever; it is tried when it has changed, and once an hour.
#[tokio::test(start_paused = true)]
async fn a_stop_for_a_refused_login_ends_with_its_reason() {
    let up = Upstream::new(Script::default().with_login("PLAIN"));
    let mut sim = Simulation::new(&with_password("wrong"), &[("up", &up)]);
    sim.start().await;
    sim.submit(FROM, &["x@there.example"]).await;
    let mut logins = Logins(&up, 0);
    sleep(secs(HOUR / 2)).await;
    assert_eq!(logins.since(), 2, "as often as disable_after says");
    sim.reload(&with_password("wrong")).await;
    sim.stop().await;
    sim.start().await;
    sleep(secs(60)).await;
    assert_eq!(logins.since(), 0, "neither a reload nor a start tries what has not changed");
    sleep(secs(3 * HOUR)).await;
    let tried = logins.since();
    assert!((2..=4).contains(&tried), "{tried} times in three hours and a half");
    sim.reload(&with_password("wrong, too")).await;
    sleep(secs(5)).await;
    assert_eq!(logins.since(), 1, "what has changed is tried at once");
    sim.reload(&with_password("secret")).await;
    sleep(secs(5)).await;
    assert_eq!((up.messages().len(), sim.store().queue_length()), (1, 0));
    assert_eq!(sim.store().suspensions().await.unwrap(), [], "nothing is left of it");
}

/// The provider has mended it, and nobody here does anything.
#[tokio::test(start_paused = true)]
async fn a_refused_login_needs_no_person_when_the_provider_takes_it_again() {
    let refused = Act::reply(
        535,
        "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant",
    );
    let up = Upstream::new(Script::default().with_login("PLAIN").with(Step::Auth, refused));
    let mut sim = Simulation::new(&with_password("secret"), &[("up", &up)]);
    sim.start().await;
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(60)).await;
    up.set(Script::default().with_login("PLAIN"));
    sleep(secs(HOUR / 2)).await;
    assert_eq!(up.messages().len(), 0);
    sim.until_empty(secs(HOUR)).await;
    assert_eq!((up.messages().len(), sim.store().suspensions().await.unwrap().len()), (1, 0));
}

/// One reply too many, and each command gets its neighbour's: no refusal is believed.
#[tokio::test(start_paused = true)]
async fn replies_out_of_step_bounce_nobody() {
    for (step, last) in [(Step::Mail, 2), (Step::Mail, 1), (Step::Rcpt(0), 2), (Step::Rcpt(0), 1)] {
        let script = Script::default()
            .with(step, Act::Append(b"250 2.1.0 once more\r\n".to_vec()))
            .with(Step::Rcpt(last), Act::reply(550, "5.1.1 nobody of that name"));
        let up = Upstream::new(script);
        let mut sim = Simulation::new(&one(""), &[("up", &up)]);
        sim.start().await;
        let to = ["a@there.example", "b@there.example", "c@there.example"];
        sim.submit(FROM, &to[..=last]).await;
        sleep(secs(5)).await;
        let totals = sim.totals().await;
        assert_eq!((totals.bounced, totals.generated, up.messages().len()), (0, 0, 0), "{step:?} {last}");
        assert_eq!(
            sim.store().blacklist_page(mailsluice::store::BlacklistFilter::default()).await.unwrap().entries,
            [],
            "{step:?} {last}"
        );
        up.set(Script::default());
        sim.until_empty(secs(200)).await;
        assert_eq!(arrivals(&up).len(), last + 1, "{step:?} {last}");
    }
}

/// Words about relaying: while nobody gets anything they are about us, and bounce nobody; where others get their mail they
/// are about the recipient.
#[tokio::test(start_paused = true)]
async fn contested_words_follow_what_happens_to_others() {
    let denied = || Act::reply(554, "5.7.1 Relay access denied");
    let up = Upstream::new(Script::default().with(Step::AnyRcpt, denied()));
    let mut sim = Simulation::new(&one(""), &[("up", &up)]);
    sim.start().await;
    for to in ["a@one.example", "b@two.example", "c@three.example", "d@four.example"] {
        sim.submit(FROM, &[to]).await;
        sleep(secs(1)).await;
    }
    sleep(secs(HOUR)).await;
    let totals = sim.totals().await;
    assert_eq!((totals.bounced, totals.queued), (0, 4), "{totals:?}");
    assert!(up.commands_of("RCPT").len() < 60, "probes alone: {}", up.commands_of("RCPT").len());
    up.set(Script::default());
    sim.until_empty(secs(2 * HOUR)).await;
    assert_eq!(up.messages().len(), 4);
    // Others get theirs now.
    up.set(Script::default().with(Step::Rcpt(1), denied()));
    sim.submit(FROM, &["in@house.example", "out@five.example"]).await;
    sleep(secs(5)).await;
    assert_eq!(sim.totals().await.bounced, 1, "that one may not be relayed to");
}

/// The upstream breaks the line at some messages. They rest by themselves; all else goes on, also while all three of them that
/// make the account suspect are there.
#[tokio::test(start_paused = true)]
async fn messages_that_break_the_line_stop_no_other() {
    let up = Upstream::new(Script::default().with(Step::Dot, Act::Drop));
    let mut sim = Simulation::new(&one("[upstream.limits]\nconnections = 1\n"), &[("up", &up)]);
    sim.start().await;
    for n in 0..5 {
        sim.submit(FROM, &[&format!("bad{n}@there.example")]).await;
    }
    sleep(Duration::from_millis(100)).await;
    up.set(Script::default());
    for n in 0..50 {
        sim.submit(FROM, &[&format!("good{n}@there.example")]).await;
    }
    sleep(secs(25)).await;
    let good = arrivals(&up).iter().filter(|(to, _)| to.starts_with("good")).count();
    assert_eq!(good, 50, "the next probe takes another message, and then all goes");
    let waiting =
        sim.store().list(mailsluice::store::ListFilter { limit: 9, ..Default::default() }).await.unwrap();
    let rests = waiting.iter().all(|message| message.recipients[0].state == RecipientState::Waiting);
    assert!(rests && waiting.len() <= 5, "{waiting:?}");
    sim.until_empty(secs(200)).await;
    let bad: std::collections::BTreeSet<_> =
        arrivals(&up).into_iter().map(|(to, _)| to).filter(|to| to.starts_with("bad")).collect();
    assert_eq!(bad.len(), 5);
}

/// A session that is refused from its sixth message on costs no message a pause, and is learned.
#[tokio::test(start_paused = true)]
async fn what_a_used_connection_refuses_is_tried_over_a_new_one() {
    // The second MAIL of a session, in whatever words.
    for (code, text) in
        [(452, "4.5.3 one message is enough"), (550, "5.5.1 no"), (503, "5.5.1 sender already given")]
    {
        let up = Upstream::new(Script::default());
        let mut sim = Simulation::new(&one("[upstream.limits]\nconnections = 1\n"), &[("up", &up)]);
        sim.start().await;
        sim.submit(FROM, &["first@there.example"]).await;
        sleep(secs(1)).await;
        // The idle connection refuses from now on, and a new one does not.
        let late = Act::Late(Duration::from_millis(50));
        up.set(Script::default().with(Step::Mail, Act::reply(code, text)).with(Step::Greeting, late));
        let again = up.clone();
        let mended = tokio::spawn(async move {
            while again.commands_of("MAIL").len() < 2 {
                sleep(Duration::from_millis(1)).await;
            }
            again.set(Script::default());
        });
        sim.submit(FROM, &["second@there.example"]).await;
        sleep(secs(3)).await;
        mended.await.unwrap();
        assert_eq!((up.messages().len(), sim.totals().await.bounced), (2, 0), "{code}");
    }
}

/// What is made again over a new connection was begun twice, and counts twice: the provider may have counted both.
#[tokio::test(start_paused = true)]
async fn what_is_made_again_counts_again() {
    let up = Upstream::new(Script::default());
    let limits = "[upstream.limits]\nconnections = 1\nper_minute = { messages = 4 }\n";
    let mut sim = Simulation::new(&one(limits), &[("up", &up)]);
    sim.start().await;
    sim.submit(FROM, &["first@there.example"]).await;
    sleep(secs(1)).await;
    up.set(Script::default().with(Step::AnyRcpt, Act::reply(451, "4.3.0 not here, not now")));
    sim.submit(FROM, &["second@there.example"]).await;
    sleep(secs(1)).await;
    assert_eq!(up.commands_of("MAIL").len(), 3, "once over each connection");
    up.set(Script::default());
    for n in 0..3 {
        sim.submit(FROM, &[&format!("other{n}@there.example")]).await;
    }
    sleep(secs(40)).await;
    assert_eq!(up.commands_of("MAIL").len(), 4, "four in a minute");
    sim.until_empty(secs(200)).await;
}

/// A person is told as whom an account may not send: until it may, or until no such mail is there any more.
#[tokio::test(start_paused = true)]
async fn a_refused_sender_is_shown_until_it_is_over() {
    let refused = || Act::reply(553, "5.7.1 Sender address rejected: not owned by user anna");
    let up = Upstream::new(Script::default().with(Step::Mail, refused()));
    let mut sim = Simulation::new(&one(""), &[("up", &up)]);
    sim.start().await;
    let shown = |sim: &Simulation| -> Vec<_> {
        let refused = sim.core.as_ref().unwrap().context.accounts.refused_senders("main");
        refused.into_iter().map(|one| (one.about, one.since)).collect()
    };
    assert_eq!(shown(&sim), []);
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(10)).await;
    let first = shown(&sim);
    assert_eq!(first.iter().map(|(sender, _)| sender.as_str()).collect::<Vec<_>>(), [FROM]);
    sleep(secs(6 * HOUR)).await;
    assert!(up.commands_of("MAIL").len() > 3, "it is tried again");
    assert_eq!(shown(&sim), first, "and refused since then");
    up.set(Script::default());
    sim.until_empty(secs(2 * HOUR)).await;
    assert_eq!(shown(&sim), [], "such mail was accepted");
    up.set(Script::default().with(Step::Mail, refused()));
    let id = sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(10)).await;
    assert_eq!(shown(&sim).len(), 1);
    sim.store().delete(id).await.unwrap();
    sleep(secs(3 * HOUR)).await;
    assert_eq!(shown(&sim), [], "nothing is refused any more");
}
