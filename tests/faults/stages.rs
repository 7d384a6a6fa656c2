//! Each rule about what an answer means, at each stage at which it can be given.

use std::time::Duration;

use mailsluice::limits::SHARED;
use tokio::time::sleep;

use super::paper::Paper;
use super::support::direct_client::Client;
use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream, Whose};
use super::{FROM, arrivals, one};

/// The stages of a transaction.
const TRANSACTION: [Step; 5] = [Step::Mail, Step::Rcpt(0), Step::Data, Step::Content, Step::Dot];
const ONE_CONNECTION: &str = "[upstream.limits]\nconnections = 1\n";

/// The ways in which a dialogue ends.
fn ends() -> [Act; 3] {
    [Act::Drop, Act::ReplyAndDrop(421, "4.3.2 closing".to_owned()), Act::Hang]
}

async fn relay(up: &Upstream, more: &str) -> Simulation {
    let mut sim = Simulation::new(&one(more), &[("up", up)]);
    sim.start().await;
    sim
}

/// Nothing was concluded about anybody: no report, no entry in the blacklist, no stop.
async fn nobody_is_blamed(sim: &Simulation, case: &str) {
    let totals = sim.totals().await;
    assert_eq!((totals.bounced, totals.generated), (0, 0), "{case}: {totals:?}");
    assert_eq!(
        sim.store().blacklist_page(mailsluice::store::BlacklistFilter::default()).await.unwrap().entries,
        [],
        "{case}"
    );
    assert_eq!(sim.store().suspensions().await.unwrap(), [], "{case}");
}

fn of(up: &Upstream, name: &str) -> usize {
    arrivals(up).iter().filter(|(to, _)| to.starts_with(name)).count()
}

/// Rule 1: a message at which the dialogue ends rests by itself, and all else goes on.
#[tokio::test(start_paused = true)]
async fn a_dialogue_that_ends_is_the_messages_affair() {
    for step in TRANSACTION {
        for act in ends() {
            let case = format!("{step:?} {act:?}");
            let bad = Whose::sender("bad@firm.example");
            let up = Upstream::new(Script::default().with_for(bad, step, act.clone()));
            let mut sim = relay(&up, ONE_CONNECTION).await;
            sim.submit("bad@firm.example", &["bad@there.example"]).await;
            sleep(Duration::from_millis(10)).await;
            for n in 0..20 {
                sim.submit(FROM, &[&format!("good{n}@there.example")]).await;
            }
            // Whoever says nothing is waited for, ten minutes at most (RFC 5321 4.5.3.2.6).
            let most = if act == Act::Hang { secs(605) } else { secs(5) };
            sim.until(most, Duration::from_millis(200), async |_| of(&up, "good") == 20).await;
            assert_eq!(up.commands_of("MAIL FROM:<bad@").len(), 1, "{case}: not again before its time");
            nobody_is_blamed(&sim, &case).await;
            up.set(Script::default());
            sim.until_empty(secs(3_600)).await;
            assert!(of(&up, "bad") >= 1, "{case}");
        }
    }
}

/// Rule 1: at several different messages in a row it is the account's; the probe takes another, and what goes then goes all.
#[tokio::test(start_paused = true)]
async fn dialogues_that_end_at_several_messages_are_the_accounts_affair() {
    for step in TRANSACTION {
        for act in [Act::Drop, Act::ReplyAndDrop(421, "4.3.2 closing".to_owned())] {
            let case = format!("{step:?} {act:?}");
            let bad = ["bad0@firm.example", "bad1@firm.example", "bad2@firm.example"];
            let script = bad.iter().fold(Script::default(), |script, from| {
                script.with_for(Whose::sender(from), step, act.clone())
            });
            let up = Upstream::new(script);
            let mut sim = relay(&up, ONE_CONNECTION).await;
            let (paper, _listening) = Paper::listen();
            for (n, from) in bad.iter().enumerate() {
                sim.submit(from, &[&format!("bad{n}@there.example")]).await;
            }
            sleep(Duration::from_millis(50)).await;
            sim.submit(FROM, &["good0@there.example"]).await;
            sim.submit(FROM, &["good1@there.example"]).await;
            let down = paper.lines().iter().filter(|line| line.starts_with("upstream_down")).count();
            assert_eq!((down, of(&up, "good")), (1, 0), "{case}");
            sim.until(secs(60), secs(1), async |_| of(&up, "good") == 2).await;
            assert_eq!(up.commands_of("MAIL FROM:<bad").len(), 3, "{case}: the probe takes another");
            nobody_is_blamed(&sim, &case).await;
            up.set(Script::default());
            sim.until_empty(secs(3_600)).await;
        }
    }
}

/// Rule 1: a connection that fails is the upstream's affair: no message rests for it, and a recovery wakes them all.
#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_is_the_upstreams_affair() {
    for step in [Step::Connect, Step::Greeting, Step::Ehlo, Step::Auth] {
        for act in ends() {
            if step == Step::Connect && matches!(act, Act::ReplyAndDrop(..)) {
                continue;
            }
            let case = format!("{step:?} {act:?}");
            let up = Upstream::new(Script::default().with_login("PLAIN").with(step, act));
            let login =
                "allow_plaintext_auth = true\nauth = \"plain\"\nuser = \"anna\"\npassword = \"secret\"\n";
            let mut sim = relay(&up, login).await;
            for n in 0..5 {
                sim.submit(FROM, &[&format!("x{n}@there.example")]).await;
            }
            sleep(secs(3_600)).await;
            assert_eq!(up.commands_of("MAIL").len(), 0, "{case}");
            nobody_is_blamed(&sim, &case).await;
            up.set(Script::default().with_login("PLAIN"));
            // At once when the probe has come through: nothing rests for its own sake.
            sim.until(secs(3_700), secs(1), async |_| up.messages().len() == 5).await;
            let at = arrivals(&up);
            assert!(at[4].1 - at[0].1 < secs(2), "{case}: {at:?}");
        }
    }
}

/// Words of a server about us.
struct AboutUs {
    code: u16,
    text: &'static str,
    /// Whether they are about a recipient where others get their mail.
    is_contested: bool,
}

const fn about_us(code: u16, text: &'static str, is_contested: bool) -> AboutUs {
    AboutUs { code, text, is_contested }
}

const WORDS: [AboutUs; 7] = [
    about_us(530, "5.7.0 Authentication required", false),
    about_us(550, "5.7.1 Relay access denied", true),
    about_us(504, "5.5.2 <box>: Helo command rejected: need fully-qualified hostname", true),
    about_us(554, "5.7.1 Client host rejected: Access denied", true),
    about_us(554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using list.example", true),
    about_us(550, "5.7.1 You have exceeded the hourly limit of this account", false),
    about_us(550, "5.4.5 Daily sending quota exceeded", false),
];

/// Rule 2: words about us bounce no mail at any stage, while nobody gets anything.
#[tokio::test(start_paused = true)]
async fn words_about_us_before_the_recipients_bounce_nothing() {
    words_about_us_bounce_nothing(&[Step::Greeting, Step::Ehlo, Step::Mail]).await;
}

#[tokio::test(start_paused = true)]
async fn words_about_us_from_the_recipients_on_bounce_nothing() {
    words_about_us_bounce_nothing(&[Step::AnyRcpt, Step::Data, Step::Dot]).await;
}

async fn words_about_us_bounce_nothing(steps: &[Step]) {
    for &step in steps {
        for words in &WORDS {
            let case = format!("{step:?} {}", words.text);
            let refused = Act::reply(words.code, words.text);
            let script = Script::default().with(step, refused.clone());
            // Who is refused at EHLO tries HELO.
            let up =
                Upstream::new(if step == Step::Ehlo { script.with(Step::Helo, refused) } else { script });
            let mut sim = relay(&up, "disable_after = 3\n").await;
            for n in 0..4 {
                sim.submit(FROM, &[&format!("x@d{n}.example")]).await;
                sleep(secs(1)).await;
            }
            sleep(secs(2 * 3_600)).await;
            let totals = sim.totals().await;
            assert_eq!((totals.bounced, totals.generated, totals.queued), (0, 0, 4), "{case}: {totals:?}");
            assert_eq!(
                sim.store()
                    .blacklist_page(mailsluice::store::BlacklistFilter::default())
                    .await
                    .unwrap()
                    .entries,
                [],
                "{case}"
            );
            up.set(Script::default());
            sim.control().enable("main").await;
            sim.until_empty(secs(26 * 3_600)).await;
            assert_eq!(sim.totals().await.sent, 4, "{case}");
        }
    }
}

/// Rule 2: where others get their mail, they are about the recipient at RCPT and at the final dot; but never words of a quota,
/// or of a login.
#[tokio::test(start_paused = true)]
async fn words_about_us_are_about_the_recipient_where_others_get_mail() {
    for (step, words) in
        [Step::AnyRcpt, Step::Dot].iter().flat_map(|step| WORDS.iter().map(move |w| (*step, w)))
    {
        let case = format!("{step:?} {}", words.text);
        let refused = Act::reply(words.code, words.text);
        let up =
            Upstream::new(Script::default().with_for(Whose::recipient("out@there.example"), step, refused));
        let mut sim = relay(&up, ONE_CONNECTION).await;
        sim.submit(FROM, &["in@house.example"]).await;
        sleep(secs(1)).await;
        sim.submit(FROM, &["out@there.example"]).await;
        sleep(secs(10)).await;
        let totals = sim.totals().await;
        assert_eq!(totals.bounced, u64::from(words.is_contested), "{case}: {totals:?}");
        assert_eq!(
            sim.store().blacklist_page(mailsluice::store::BlacklistFilter::default()).await.unwrap().entries,
            [],
            "{case}: it says nothing of a mailbox"
        );
    }
}

/// Rule 3: what a used connection refuses is made again over a new one, at each stage, and how much one bears is learned.
#[tokio::test(start_paused = true)]
async fn a_used_connection_proves_nothing() {
    let refusals = [
        (452, "4.5.3 one message is enough"),
        (451, "4.3.0 not now"),
        (503, "5.5.1 sender already given"),
        (550, "5.5.1 no"),
        (554, "5.5.0 too many in this session"),
    ];
    for step in [Step::Mail, Step::AnyRcpt, Step::Data] {
        for (code, text) in refusals {
            let case = format!("{step:?} {code} {text}");
            let up = Upstream::new(Script::default().with_for(Whose::Used, step, Act::reply(code, text)));
            let mut sim = relay(&up, ONE_CONNECTION).await;
            for n in 0..20 {
                sim.submit(FROM, &[&format!("x{n}@there.example"), &format!("y{n}@there.example")]).await;
            }
            sim.until(secs(10), Duration::from_millis(100), async |_| up.messages().len() == 20).await;
            nobody_is_blamed(&sim, &case).await;
            let begun = up.commands_of("MAIL").len();
            assert!(begun <= 20 + 4, "{case}: it is learned, but {begun} were begun");
        }
    }
}

/// One message for two recipients, and each reply to it is the good one.
async fn submit_and_wait(client: &mut Client, to: &str, case: &str) {
    for (command, want) in [
        (format!("MAIL FROM:<{FROM}>"), "250"),
        (format!("RCPT TO:<{to}>"), "250"),
        (format!("RCPT TO:<also.{to}>"), "250"),
        ("DATA".to_owned(), "354"),
        (format!("From: {FROM}\r\n\r\nHello.\r\n."), "250"),
    ] {
        let reply = client.say(&command).await;
        assert!(reply.starts_with(want), "{case}: {command}: {reply}");
    }
}

/// Rule 3: so it is for a client that waits: it reads nothing of it, at any stage.
#[tokio::test(start_paused = true)]
async fn a_used_connection_proves_nothing_to_a_client_that_waits() {
    for step in [Step::Mail, Step::AnyRcpt, Step::Data] {
        for (code, text) in [(452, "4.5.3 one message is enough"), (503, "5.5.1 no"), (550, "5.5.0 no more")]
        {
            let up = Upstream::new(Script::default().with_for(Whose::Used, step, Act::reply(code, text)));
            let config = one(ONE_CONNECTION).replacen("[queue]\n", "[queue]\nmode = \"direct\"\n", 1);
            let mut sim = Simulation::new(&config, &[("up", &up)]);
            sim.start().await;
            let mut client = Client::at(&sim, 0).await;
            for n in 0..5 {
                let case = format!("{step:?} {code}, message {n}");
                submit_and_wait(&mut client, &format!("x{n}@there.example"), &case).await;
            }
            let told: Vec<_> = arrivals(&up).into_iter().map(|(to, _)| to).collect();
            assert_eq!((up.messages().len(), told.len()), (5, 10), "{step:?} {code}: {told:?}");
            nobody_is_blamed(&sim, text).await;
        }
    }
}

/// Rule 3: a RSET that is refused ends the connection, and says nothing of what comes next.
#[tokio::test(start_paused = true)]
async fn a_refused_reset_is_nobodys_affair() {
    for (code, text) in [(451, "4.3.0 not now"), (502, "5.5.1 what?"), (421, "4.7.0 goodbye")] {
        let nobody = Act::reply(550, "5.1.1 nobody of that name");
        let script =
            Script::default().with_for(Whose::recipient("nobody@there.example"), Step::AnyRcpt, nobody);
        let up = Upstream::new(script.with(Step::Rset, Act::reply(code, text)));
        let mut sim = relay(&up, ONE_CONNECTION).await;
        sim.submit(FROM, &["nobody@there.example"]).await;
        for n in 0..5 {
            sim.submit(FROM, &[&format!("good{n}@there.example")]).await;
        }
        sim.until(secs(10), Duration::from_millis(100), async |_| of(&up, "good") == 5).await;
        let totals = sim.totals().await;
        assert_eq!((totals.bounced, up.commands_of("RSET").is_empty()), (1, false), "{code}: {totals:?}");
        assert_eq!(sim.store().suspensions().await.unwrap(), [], "{code}");
    }
}

/// Rule 4: connections that are turned away while others are open mean fewer of them.
#[tokio::test(start_paused = true)]
async fn connections_that_are_turned_away_are_learned_from() {
    let greeting = |code, text: &str| Act::ReplyAndDrop(code, text.to_owned());
    for act in [
        Act::Refuse,
        Act::Drop,
        greeting(421, "4.7.0 Error: too many connections from 192.0.2.1"),
        greeting(554, "5.7.0 too many sessions"),
    ] {
        let up = Upstream::new(
            Script::default().with_most_open(2, act.clone()).with(Step::Dot, Act::Late(secs(1))),
        );
        let mut sim = relay(&up, "[upstream.limits]\nconnections = 10\n").await;
        for n in 0..100 {
            sim.submit(FROM, &[&format!("x{n}@there.example")]).await;
        }
        sim.until_empty(secs(100)).await;
        let turned_away = up.turned_away();
        assert!((1..=20).contains(&turned_away), "{act:?}: {turned_away} were turned away");
        nobody_is_blamed(&sim, &format!("{act:?}")).await;
    }
}

/// What was learned of the connections of an upstream as a whole is forgotten when a person says so, and when a limit changes.
#[tokio::test(start_paused = true)]
async fn a_pace_of_connections_is_forgotten_with_the_limits() {
    let most =
        |sim: &Simulation| sim.core.as_ref().unwrap().context.accounts.of("main")[0].most_connections();
    for by_reload in [false, true] {
        let script = Script::default().with_most_open(2, Act::Refuse).with(Step::Dot, Act::Late(secs(1)));
        let mut sim = relay(&Upstream::new(script), "[upstream.limits]\nconnections = 10\n").await;
        for n in 0..20 {
            sim.submit(FROM, &[&format!("x{n}@there.example")]).await;
        }
        sim.until_empty(secs(100)).await;
        assert_eq!(most(&sim), (10, 2));
        if by_reload {
            sim.reload(&one("[upstream.limits]\nconnections = 9\n")).await;
            assert_eq!(most(&sim), (9, u32::MAX));
        } else {
            let forgotten = sim.core.as_ref().unwrap().context.accounts.forget_limits("main");
            assert_eq!(forgotten, [(SHARED.to_owned(), "slowed down to 2 connections".to_owned())]);
            assert_eq!(most(&sim), (10, u32::MAX));
        }
    }
}

/// Rule 4: the same complaint of the rate, message after message, slows the account at MAIL and at the final dot; at RCPT it may
/// be greylisting.
#[tokio::test(start_paused = true)]
async fn complaints_about_the_rate_slow_the_account() {
    for (step, text, is_pace) in [
        (Step::Mail, "4.7.1 Error: too much mail from 192.0.2.1", true),
        (Step::Dot, "4.7.1 Error: too much mail from 192.0.2.1", true),
        (Step::Mail, "4.7.0 rate limit exceeded", true),
        (Step::Dot, "4.7.0 rate limit exceeded", true),
        (Step::Mail, "4.3.0 not now", false),
        (Step::Dot, "4.3.0 not now", false),
        (Step::AnyRcpt, "4.7.1 greylisted, too many new senders", false),
        (Step::AnyRcpt, "4.2.0 try again later", false),
    ] {
        let (paper, _listening) = Paper::listen();
        let up = Upstream::new(Script::default().with(step, Act::reply(450, text)));
        let mut sim = relay(&up, ONE_CONNECTION).await;
        for n in 0..20 {
            sim.submit(FROM, &[&format!("x{n}@there.example")]).await;
        }
        sleep(secs(30)).await;
        let slowed = paper.lines().iter().any(|line| line.starts_with("slowed"));
        assert_eq!(slowed, is_pace, "{step:?} {text}: {:?}", paper.lines());
        let begun = up.commands_of("MAIL").len();
        assert_eq!(begun < 20, is_pace, "{step:?} {text}: {begun} were begun");
        nobody_is_blamed(&sim, text).await;
        up.set(Script::default());
        sim.until_empty(secs(3_600)).await;
    }
}

/// Rule 5: what is deferred in one part of a split envelope rests, while the other parts go, at each stage.
#[tokio::test(start_paused = true)]
async fn a_deferral_is_the_recipients_of_its_transaction() {
    for step in [Step::AnyRcpt, Step::Data, Step::Dot] {
        let case = format!("{step:?}");
        let busy = Act::reply(451, "4.3.0 busy");
        let up = Upstream::new(Script::default().with_for(Whose::recipient("a@there.example"), step, busy));
        let mut sim = relay(&up, "[upstream.limits]\nconnections = 1\nrecipients_per_message = 2\n").await;
        let to = ["a@there.example", "b@there.example", "c@there.example", "d@there.example"];
        sim.submit(FROM, &to).await;
        sleep(secs(50)).await;
        assert_eq!((of(&up, "c@"), of(&up, "d@")), (1, 1), "{case}: the other part");
        assert_eq!(up.commands_of("RCPT TO:<a@").len(), 1, "{case}: not before its time");
        up.set(Script::default());
        sim.until_empty(secs(300)).await;
        assert_eq!(up.commands_of("RCPT TO:<c@").len(), 1, "{case}: the other part went once");
        nobody_is_blamed(&sim, &case).await;
    }
}

/// Rule 9: a reply too many before the content was answered makes nobody believe that it was taken.
#[tokio::test(start_paused = true)]
async fn a_reply_too_many_is_no_success() {
    for step in [Step::Mail, Step::AnyRcpt, Step::Data] {
        for pipelining in [true, false] {
            let script = Script::default()
                .with(step, Act::Append(b"250 2.0.0 once more\r\n".to_vec()))
                .with(Step::Dot, Act::reply(451, "4.3.0 disk full"));
            let up = Upstream::new(if pipelining { script } else { script.without("PIPELINING") });
            let mut sim = relay(&up, ONE_CONNECTION).await;
            sim.submit(FROM, &["x@there.example"]).await;
            sleep(secs(10)).await;
            let case = format!("{step:?} {pipelining}");
            assert_eq!(sim.totals().await.sent, 0, "{case}");
            nobody_is_blamed(&sim, &case).await;
            up.set(Script::default());
            sim.until_empty(secs(3_600)).await;
            assert_eq!(sim.totals().await.sent, 1, "{case}");
        }
    }
}
