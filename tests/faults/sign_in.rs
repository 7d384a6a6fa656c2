//! Logins with tokens: what waits without one, what wakes it, and what a refused one costs.

use std::time::Duration;

use mailsluice::account::UpstreamView;
use mailsluice::lane::LaneState;
use mailsluice::oauth::{NoToken, Resource, TokenFeed, TokenState};
use mailsluice::store::RecipientState;
use mailsluice::time::Moment;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::support::direct_client::Client;
use super::support::simulation::{Simulation, secs};
use super::support::tokens::{ready, ready_anew, renew};
use super::support::upstream::{Script, Upstream};
use super::{FROM, one};

const HOUR: u64 = 3_600;
const SIGN_INS: &str = "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\n\
    client_id = \"00000000-0000-0000-0000-000000000000\"\nflow = \"device_code\"\n";
const LOGIN: &str =
    "allow_plaintext_auth = true\nuser = \"anna@firm.example\"\noauth = \"m365\"\ndisable_after = 2\n";
const REFUSED: &str = "535 5.7.3 Authentication unsuccessful";

fn toml(more: &str) -> String {
    format!("{}{more}{SIGN_INS}", one(LOGIN))
}

fn absent(reason: &str, until: Option<Moment>) -> TokenState {
    let action = until.is_none().then(|| "mailsluice connect m365".to_owned());
    TokenState::Absent(NoToken { reason: reason.to_owned(), until, action })
}

fn takes(tokens: &[&str]) -> Upstream {
    Upstream::new(Script::default().with_tokens("PLAIN XOAUTH2", tokens).refusing_tokens(REFUSED))
}

/// A relay whose account logs in with the tokens that are fed.
async fn relay(up: &Upstream, toml: &str, token: TokenState) -> (Simulation, TokenFeed) {
    let mut sim = Simulation::new(toml, &[("up", up), ("backup", up)]);
    let feed = sim.sign_ins.feed("m365", Resource::Smtp);
    feed.set(token);
    sim.start().await;
    (sim, feed)
}

/// Gives the next of these tokens in place of the present one when that is refused.
fn keeper(feed: TokenFeed, tokens: &[&str]) -> JoinHandle<usize> {
    let tokens: Vec<_> = tokens.iter().map(|&token| ready(token)).collect();
    tokio::spawn(renew(feed, tokens.into_iter()))
}

async fn view(sim: &Simulation) -> UpstreamView {
    sim.core.as_ref().unwrap().context.accounts.view("main").await.unwrap().unwrap()
}

fn now(sim: &Simulation) -> Moment {
    sim.core.as_ref().unwrap().context.timeline.now()
}

#[tokio::test(start_paused = true)]
async fn mail_waits_for_a_sign_in_and_goes_at_once() {
    let up = takes(&["t1"]);
    let (mut sim, feed) = relay(&up, &toml(""), absent("nobody has signed in yet", None)).await;
    for round in 0..2 {
        let id = sim.submit(FROM, &["x@there.example"]).await;
        sleep(secs(5 * HOUR)).await;
        let want = LaneState::SignIn {
            reason: "nobody has signed in yet".into(),
            until: None,
            action: Some("mailsluice connect m365".into()),
        };
        assert_eq!((up.messages().len(), up.connections()), (round, round), "nothing is tried");
        assert_eq!((sim.lane("main").state, view(&sim).await.state), (want.clone(), want));
        assert!(!view(&sim).await.accounts[0].tried || round > 0);
        let shown = sim.store().show(id.clone()).await.unwrap().unwrap();
        assert_eq!(shown.recipients[0].attempts, 0, "it uses up no attempt");
        assert_eq!(sim.estimate().of(&shown).await.unwrap(), None, "nobody knows when somebody signs in");
        let start = Instant::now();
        feed.set(ready("t1"));
        sim.until_empty(secs(2)).await;
        assert!(start.elapsed() < secs(1), "no periodic look");
        assert_eq!((up.messages().len(), view(&sim).await.state), (round + 1, LaneState::Up));
        sleep(secs(60)).await;
        feed.set(absent("nobody has signed in yet", None));
        sleep(secs(1)).await;
        assert_eq!(up.open_connections(), 0, "who may not log in keeps no connection");
        assert_eq!(view(&sim).await.state.name(), "sign_in");
    }
    assert!(sim.store().suspensions().await.unwrap().is_empty());
    assert!(up.commands_of("AUTH PLAIN").is_empty());
}

/// While a try at a token is under way, nobody looks again and again whether it is done.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_try_at_a_token_sleeps() {
    let up = takes(&["t1"]);
    let (mut sim, feed) = relay(&up, &toml(""), absent("starting", None)).await;
    feed.set(absent("the token server does not answer", Some(now(&sim).after(secs(1)))));
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(2)).await;
    let runtime = tokio::runtime::Handle::current().metrics();
    let before = runtime.worker_park_count(0);
    sleep(secs(60)).await;
    let woken = runtime.worker_park_count(0) - before;
    assert!(woken < 1_000, "woken {woken} times in a minute");
    feed.set(ready("t1"));
    sim.until_empty(secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_on_its_way_tells_when() {
    let up = takes(&["t1"]);
    let (mut sim, feed) = relay(&up, &toml(""), absent("starting", None)).await;
    let until = now(&sim).after(secs(300));
    feed.set(absent("the token server does not answer", Some(until)));
    let id = sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(1)).await;
    let state = sim.lane("main").state;
    assert!(
        !state.needs_a_person() && state.until() == Some(until) && state.name() == "sign_in",
        "{state:?}"
    );
    let shown = sim.store().show(id).await.unwrap().unwrap();
    let eta = sim.estimate().of(&shown).await.unwrap().unwrap();
    assert!(eta >= until && eta <= until.after(secs(2)), "{eta:?} {until:?}");
    assert_eq!(up.connections(), 0);
    // Its reason is current, though nothing else happens.
    feed.set(absent("the refresh token has expired", None));
    sleep(secs(1)).await;
    assert_eq!(sim.lane("main").state.reason(), "the refresh token has expired");
    feed.set(ready("t1"));
    sim.until_empty(secs(1)).await;
}

/// Waiting for a sign-in makes mail older, as a stop does: it expires in the end, untried.
#[tokio::test(start_paused = true)]
async fn mail_expires_while_it_waits_for_a_sign_in() {
    let up = takes(&["t1"]);
    let toml = toml("").replace("expire_after = \"90d\"", "expire_after = \"2h\"");
    let (mut sim, _feed) = relay(&up, &toml, absent("nobody has signed in yet", None)).await;
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(3 * HOUR)).await;
    let totals = sim.totals().await;
    assert_eq!((totals.expired, up.connections()), (1, 0), "{totals:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_stands_in_for_a_sign_in() {
    for (on, until, stands_in) in [
        ("disabled", None, true),
        ("unreachable", None, false),
        ("disabled", Some(Moment(i64::MAX / 2)), false),
        ("unreachable", Some(Moment(i64::MAX / 2)), true),
        ("quota", None, false),
    ] {
        let backup = format!(
            "default = true\nfallback = [\"backup\"]\nfallback_on = [\"{on}\"]\n\
             [[upstream]]\nname = \"backup\"\nhost = \"backup\"\nsecurity = \"none\"\nfilter = [\"nobody.example\"]\n"
        );
        let up = Upstream::new(Script::default());
        let (mut sim, _feed) = relay(&up, &toml(&backup), absent("nobody has signed in yet", until)).await;
        sim.submit(FROM, &["x@there.example"]).await;
        sleep(secs(60)).await;
        assert_eq!(up.messages().len(), usize::from(stands_in), "{on} {until:?}");
        assert_eq!(sim.lane("main").via.is_some(), stands_in, "{on} {until:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_account_goes_on() {
    let up = Upstream::new(Script::default().with_login("PLAIN XOAUTH2"));
    let other = "[[upstream.account]]\nuser = \"anna\"\npassword = \"secret\"\n";
    let (mut sim, _feed) = relay(&up, &toml(other), absent("nobody has signed in yet", None)).await;
    for n in 0..5 {
        sim.submit(FROM, &[&format!("x{n}@there.example")]).await;
    }
    sim.until_empty(secs(5)).await;
    let view = view(&sim).await;
    assert_eq!(view.state, LaneState::Up);
    assert_eq!(view.accounts[0].state.name(), "sign_in");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_is_told_to_come_again() {
    let up = takes(&["t1"]);
    let toml = toml("").replace("[queue]", "[queue]\nmode = \"direct\"");
    let (sim, feed) = relay(&up, &toml, absent("nobody has signed in yet", None)).await;
    let mut client = Client::at(&sim, 0).await;
    let start = Instant::now();
    let replies = client.send(FROM, &["x@there.example"], FROM).await;
    let told = "451 4.7.0 main waits for a sign-in: nobody has signed in yet";
    assert!(replies.iter().any(|reply| reply.starts_with(told)), "{replies:?}");
    assert!(start.elapsed() < secs(1), "it would wait in vain");
    client.leave().await;
    feed.set(ready("t1"));
    let mut client = Client::at(&sim, 0).await;
    let replies = client.send(FROM, &["x@there.example"], FROM).await;
    assert!(replies.last().is_some_and(|reply| reply.starts_with("250")), "{replies:?}");
    client.leave().await;
    assert_eq!(up.messages().len(), 1);
}

/// Refused once: renewed, and sent with the first attempt.
#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_and_the_mail_is_sent() {
    let up = takes(&["new"]);
    let (mut sim, feed) = relay(&up, &toml(""), ready("old")).await;
    let keeper = keeper(feed, &["new"]);
    let id = sim.submit(FROM, &["x@there.example"]).await;
    sim.until_empty(secs(2)).await;
    assert_eq!(up.tokens(), ["old", "new"]);
    let shown = sim.store().show(id).await.unwrap();
    assert!(shown.is_none_or(|shown| shown.recipients[0].state == RecipientState::Sent));
    assert!(!keeper.is_finished());
}

/// Refused twice: a failed login, which counts; a sign-in that is made anew is tried at once.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_again_is_a_failed_login() {
    let up = takes(&["good"]);
    let (mut sim, feed) = relay(&up, &toml(""), ready("1")).await;
    let (handed, mut feeds) = tokio::sync::mpsc::unbounded_channel();
    // Whoever keeps them gives a new token each time, and hands the feed back in the end.
    let keeper = tokio::spawn(async move {
        let mut feed = feed;
        for token in 2.. {
            tokio::select! {
                renewal = feed.renewal() => {
                    let Some(renewal) = renewal else { return };
                    feed.set(ready(&token.to_string()));
                    let _ = renewal.done.send(());
                }
                () = sleep(secs(3 * HOUR)) => break,
            }
        }
        handed.send(feed).unwrap();
    });
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(HOUR / 2)).await;
    assert_eq!(up.tokens(), ["1", "2", "3"], "two failed logins, and no token twice");
    let state = view(&sim).await.state;
    assert!(state.needs_a_person() && state.reason().contains("Set-CASMailbox"), "{state:?}");
    sleep(secs(4 * HOUR)).await;
    let tried = up.tokens().len() - 3;
    assert!((3..=5).contains(&tried), "{tried} times in four hours and a half");
    keeper.abort();
    drop(feeds.try_recv());
    let feed = sim.sign_ins.feed("m365", Resource::Smtp);
    feed.set(absent("the sign-in was revoked", None));
    sim.reload(&toml("")).await;
    sleep(secs(1)).await;
    feed.set(ready("good"));
    sleep(secs(2)).await;
    assert_eq!((up.messages().len(), sim.store().queue_length()), (1, 0), "{:?}", view(&sim).await);
    assert!(sim.store().suspensions().await.unwrap().is_empty(), "nothing is left of it");
}

/// What the table calls a stop stops at once; no other token is asked for.
#[tokio::test(start_paused = true)]
async fn a_policy_stops_at_once() {
    let policy =
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.";
    let up = Upstream::new(Script::default().with_tokens("XOAUTH2", &[]).refusing_tokens(policy));
    let (mut sim, feed) = relay(&up, &toml(""), ready("1")).await;
    let keeper = keeper(feed, &["2"]);
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(HOUR / 2)).await;
    let state = view(&sim).await.state;
    assert!(state.needs_a_person() && state.reason().contains("Set-CASMailbox"), "{state:?}");
    assert_eq!((up.tokens(), keeper.is_finished()), (vec!["1".to_owned()], false));
    assert_eq!(sim.store().suspensions().await.unwrap().len(), 1);
}

/// A sign-in that is made anew lifts the stop at once, though the old token was good all the time; a renewal does not.
#[tokio::test(start_paused = true)]
async fn a_new_sign_in_lifts_the_stop_of_a_refused_login() {
    let policy =
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.";
    let up = Upstream::new(Script::default().with_tokens("XOAUTH2", &["good"]).refusing_tokens(policy));
    let (mut sim, feed) = relay(&up, &toml(""), ready("1")).await;
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(10)).await;
    assert!(view(&sim).await.state.needs_a_person());
    feed.set(ready("2"));
    sleep(secs(10)).await;
    assert_eq!(up.tokens(), ["1"], "another token of the same sign-in changes nothing");
    let start = Instant::now();
    feed.set(ready_anew("good"));
    sim.until_empty(secs(2)).await;
    assert!(start.elapsed() < secs(2), "no periodic look");
    assert_eq!(
        (up.tokens(), view(&sim).await.state),
        (vec!["1".to_owned(), "good".to_owned()], LaneState::Up)
    );
    assert!(sim.store().suspensions().await.unwrap().is_empty(), "nothing is left of it");
}

/// Nobody goes on as who was signed in before.
#[tokio::test(start_paused = true)]
async fn a_new_sign_in_makes_connections_anew() {
    let up = takes(&["t1", "t2"]);
    let (mut sim, feed) = relay(&up, &toml(""), ready("t1")).await;
    sim.submit(FROM, &["x@there.example"]).await;
    sim.until_empty(secs(2)).await;
    feed.set(ready_anew("t2"));
    sleep(secs(1)).await;
    sim.submit(FROM, &["y@there.example"]).await;
    sim.until_empty(secs(2)).await;
    assert_eq!((up.tokens(), up.messages().len()), (vec!["t1".to_owned(), "t2".to_owned()], 2));
}

/// The token server does not answer while a token is refused: nobody is at fault here, and the mail goes when the other comes.
#[tokio::test(start_paused = true)]
async fn mail_goes_when_a_refused_token_is_replaced_at_last() {
    let up = takes(&["new"]);
    let (mut sim, mut feed) = relay(&up, &toml(""), ready("old")).await;
    sim.submit(FROM, &["x@there.example"]).await;
    // Renewals that come to nothing, for so long that probes are rare.
    let idle = sleep(secs(HOUR));
    tokio::pin!(idle);
    loop {
        tokio::select! {
            renewal = feed.renewal() => drop(renewal),
            () = &mut idle => break,
        }
    }
    sim.reload(&toml("[upstream.limits]\nconnections = 2\n")).await;
    sleep(secs(120)).await;
    assert_eq!(up.tokens(), ["old"], "it is not offered again, nor after a reload");
    assert!(sim.store().suspensions().await.unwrap().is_empty(), "no login was wrong");
    feed.set(ready("new"));
    sim.until_empty(secs(1)).await;
    assert_eq!(up.tokens(), ["old", "new"]);
    assert_eq!(view(&sim).await.state, LaneState::Up);
}

#[tokio::test(start_paused = true)]
async fn ten_connections_cause_one_renewal() {
    let up = takes(&["new"]);
    let limits = "[upstream.limits]\nconnections = 10\n";
    let (mut sim, feed) = relay(&up, &toml(limits), ready("old")).await;
    let keeper = keeper(feed, &["new", "newer"]);
    sim.core.as_ref().unwrap().context.accounts.suspend(paused()).await.unwrap();
    for n in 0..30 {
        sim.submit(FROM, &[&format!("x{n}@there.example")]).await;
    }
    sleep(secs(60)).await;
    sim.until_empty(Duration::from_mins(2)).await;
    let tokens = up.tokens();
    let of = |wanted: &str| tokens.iter().filter(|token| *token == wanted).count();
    assert_eq!((of("old"), of("newer"), tokens.len()), (10, 0, 10 + of("new")), "{tokens:?}");
    assert_eq!(up.messages().len(), 30);
    keeper.abort();
}

fn paused() -> mailsluice::store::NewSuspension {
    mailsluice::store::NewSuspension {
        upstream: "main".into(),
        account: None,
        kind: mailsluice::store::SuspensionKind::Paused,
        login: None,
        lasts: Some(secs(30)),
        reason: "until all is there".into(),
    }
}

/// A reload to another sign-in is a reload to another login.
#[tokio::test(start_paused = true)]
async fn a_reload_names_another_sign_in() {
    let up = takes(&["t2"]);
    let (mut sim, _feed) = relay(&up, &toml(""), absent("nobody has signed in yet", None)).await;
    let other = sim.sign_ins.feed("other", Resource::Smtp);
    other.set(ready("t2"));
    sim.submit(FROM, &["x@there.example"]).await;
    sleep(secs(60)).await;
    assert_eq!(up.connections(), 0);
    sim.reload(&toml("").replace("\"m365\"", "\"other\"")).await;
    sim.until_empty(secs(2)).await;
    assert_eq!(up.tokens(), ["t2"]);
}
