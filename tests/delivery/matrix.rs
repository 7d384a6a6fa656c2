//! Each step × each way to misbehave, for one and for several recipients, with and without pipelining.

use std::time::Duration;

use mailsluice::upstream::Stage;
use tokio::time::Instant;

use super::support::upstream::{Act, Script, Step, Upstream};
use super::{TIMEOUTS, anna, open, open_as, recipients, send, smtp, verdicts};

/// Larger than what the pipe holds, so that the content is still under way when the upstream acts on it.
const CONTENT: usize = 300_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Transient,
    Permanent,
    Closing,
    Hang,
    Drop,
    Nonsense,
    TwoCodes,
    Huge,
    Slow,
    TooSlow,
}

const WAYS: [Way; 10] = [
    Way::Transient,
    Way::Permanent,
    Way::Closing,
    Way::Hang,
    Way::Drop,
    Way::Nonsense,
    Way::TwoCodes,
    Way::Huge,
    Way::Slow,
    Way::TooSlow,
];

fn act(way: Way) -> Act {
    match way {
        Way::Transient => Act::reply(451, "4.3.0 try later"),
        Way::Permanent => Act::reply(554, "5.0.0 never"),
        Way::Closing => Act::ReplyAndDrop(421, "4.3.2 going down".to_owned()),
        Way::Hang => Act::Hang,
        Way::Drop => Act::Drop,
        Way::Nonsense => Act::malformed(),
        Way::TwoCodes => Act::two_codes(),
        Way::Huge => Act::huge(),
        Way::Slow => Act::Slow(Duration::from_millis(10)),
        Way::TooSlow => Act::Slow(Duration::from_secs(6)),
    }
}

/// What is to become of `count` recipients; at RCPT the way is that of the one in the middle.
fn expected(step: Step, way: Way, count: usize) -> String {
    let all = |letter: &str| letter.repeat(count);
    let one =
        |letter: char| (0..count).map(|i| if i == count / 2 { letter } else { 'S' }).collect::<String>();
    match (step, way) {
        (_, Way::Slow) => all("S"),
        (Step::Rcpt(_), Way::Transient) => one('D'),
        (Step::Rcpt(_), Way::Permanent) => one('B'),
        (_, Way::Permanent) => all("B"),
        (_, Way::Transient | Way::Closing) => all("D"),
        (Step::Dot, _) => all("?"),
        _ => all("D"),
    }
}

fn limit(step: Step) -> Duration {
    match step {
        Step::Greeting => TIMEOUTS.greeting,
        Step::Data => TIMEOUTS.data,
        Step::Content => TIMEOUTS.block,
        Step::Dot => TIMEOUTS.final_dot,
        _ => TIMEOUTS.command,
    }
}

async fn transaction(step: Step, way: Way, count: usize, script: Script) {
    let name = format!("{step:?} {way:?} {count}");
    let upstream = Upstream::new(script.with(step, act(way)));
    let mut connection = open(&upstream, smtp()).await.expect(&name);
    let list = recipients(count);
    let started = Instant::now();
    let result = send(&mut connection, &list, &b"A line of it.\r\n".repeat(CONTENT / 15)).await;
    let elapsed = started.elapsed();

    assert_eq!(verdicts(&result), expected(step, way, count), "{name}: {result:?}");
    match way {
        Way::Hang => assert_eq!(elapsed.as_secs(), limit(step).as_secs(), "{name}"),
        Way::TooSlow => assert!(elapsed >= limit(step) && elapsed < 8 * limit(step), "{name}: {elapsed:?}"),
        _ => assert!(elapsed < Duration::from_secs(10), "{name}: {elapsed:?}"),
    }
    let sent: Vec<_> = (0..count).filter(|&i| verdicts(&result).as_bytes()[i] == b'S').collect();
    let taken: Vec<_> = upstream.messages().into_iter().filter(|seen| seen.taken).collect();
    if !verdicts(&result).contains('?') {
        let arrived: Vec<_> = taken.iter().flat_map(|seen| seen.recipients.clone()).collect();
        let want: Vec<_> = sent.iter().map(|&i| list[i].to_string()).collect();
        assert_eq!(arrived, want, "{name}: who is reported as sent is who has it");
    }
    let goes_on = matches!(way, Way::Transient | Way::Permanent | Way::Slow) && step != Step::Content;
    let goes_on = goes_on || (step, way) == (Step::Content, Way::Slow);
    assert_eq!(connection.is_reusable(), goes_on, "{name}");
}

#[tokio::test(start_paused = true)]
async fn every_step_of_a_transaction() {
    for way in WAYS {
        for count in [1, 3] {
            let steps = [Step::Mail, Step::Rcpt(count / 2), Step::Data, Step::Content, Step::Dot];
            for step in steps {
                transaction(step, way, count, Script::default()).await;
                transaction(step, way, count, Script::default().without("PIPELINING")).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_step_of_a_connection() {
    let steps = [(Step::Greeting, Stage::Greeting), (Step::Ehlo, Stage::Hello), (Step::Auth, Stage::Auth)];
    for (step, stage) in steps {
        for way in WAYS {
            let name = format!("{step:?} {way:?}");
            let upstream = Upstream::new(Script::default().with_login("PLAIN").with(step, act(way)));
            let mut config = smtp();
            config.allow_plaintext_auth = true;
            let started = Instant::now();
            let opened = open_as(&upstream, config, &anna("secret")).await;
            assert_eq!(opened.is_ok(), way == Way::Slow, "{name}");
            if let Err(error) = opened {
                assert_eq!(error.stage, stage, "{name}: {error}");
                assert_eq!(error.needs_a_person(), way == Way::Permanent, "{name}: {error}");
                let refused = matches!(way, Way::Transient | Way::Permanent | Way::Closing);
                assert_eq!(error.reply().is_some(), refused, "{name}: {error}");
            }
            match way {
                // It might wait for TLS, so that is tried in another ten seconds.
                Way::Hang if step == Step::Greeting => {
                    assert_eq!(started.elapsed().as_secs(), limit(step).as_secs() + 10, "{name}");
                }
                Way::Hang | Way::TooSlow => {
                    assert_eq!(started.elapsed().as_secs(), limit(step).as_secs(), "{name}");
                }
                _ => assert!(started.elapsed() < Duration::from_secs(10), "{name}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_do_not_come_about() {
    for (act, stage, elapsed) in [
        (Act::Refuse, Stage::Connect, Duration::ZERO),
        (Act::Hang, Stage::Connect, TIMEOUTS.connect),
        (Act::Drop, Stage::Greeting, Duration::ZERO),
    ] {
        let started = Instant::now();
        let upstream = Upstream::new(Script::default().with(Step::Connect, act.clone()));
        let error = open(&upstream, smtp()).await.err().unwrap();
        assert_eq!(
            (error.stage, started.elapsed().as_secs()),
            (stage, elapsed.as_secs()),
            "{act:?}: {error}"
        );
        assert!(!error.needs_a_person());
    }
}
