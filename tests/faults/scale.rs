//! What is linear stays linear. Times are compared with each other, never with a clock: four times as much may take
//! seven times as long, where a square would take sixteen. They are the processor's time for a process in which such a test
//! is alone: what else the machine does is not in them.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use mailsluice::store::ListFilter;
use tokio::time::sleep;

use super::support::simulation::{Simulation, secs};
use super::support::upstream::{Act, Script, Step, Upstream};

/// Less than this is taken for this: what else a machine is doing weighs more.
const FLOOR: Duration = Duration::from_millis(200);

const ALONE: &str = "MAILSLUICE_TEST_ALONE";

/// Runs a test of this file in a process of its own, and is false there.
fn is_done_alone(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    run_alone(name, &[], (ALONE, "1"));
    true
}

/// Runs a test of this file in a process of its own, which must pass; returns what it printed.
fn run_alone(name: &str, more: &[&str], (variable, value): (&str, &str)) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("scale::{name}"), "--test-threads=1"]).args(more);
    let output = command.env(variable, value).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text
}

/// The processor's time that this process has had.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Fails when `large`, which is `times` as much as `small`, takes more than `most` times as long.
fn assert_in_proportion(what: &str, small: Duration, large: Duration, most: u32) {
    let limit = small.max(FLOOR) * most;
    assert!(large <= limit, "{what}: {large:?}, beside {small:?} for the small one, and {limit:?} at most");
}

fn down() -> Upstream {
    Upstream::new(Script::default().with(Step::Connect, Act::Refuse))
}

fn named(name: &str) -> String {
    format!(
        "[queue]\nexpire_after = \"90d\"\nwarn_after = \"never\"\n[[upstream]]\nname = \"{name}\"\nhost = \"up\"\nsecurity = \"none\"\n"
    )
}

async fn all_in(sim: &Simulation, upstream: &str, messages: usize) -> bool {
    let filter =
        ListFilter { upstream: Some(upstream.to_owned()), limit: messages as u32, ..ListFilter::default() };
    sim.store().list(filter).await.unwrap().len() == messages
}

/// How long it takes until all mail of a renamed upstream stands under its new name.
async fn rename(messages: usize, restart: bool) -> Duration {
    let up = down();
    let mut sim = Simulation::new(&named("old"), &[("up", &up)]);
    sim.start().await;
    for n in 0..messages {
        sim.submit(&format!("s{}@firm.example", n / 2), &["r@there.example"]).await;
    }
    if restart {
        sim.stop().await;
        sim.configure(&named("new"));
    }
    let start = worked();
    if restart {
        sim.start().await;
    } else {
        sim.reload(&named("new")).await;
    }
    sim.until(secs(120), secs(1), async |sim| all_in(sim, "new", messages).await).await;
    worked().saturating_sub(start)
}

#[tokio::test(start_paused = true)]
async fn renaming_an_upstream_is_linear_in_its_mail() {
    if is_done_alone("renaming_an_upstream_is_linear_in_its_mail") {
        return;
    }
    for restart in [false, true] {
        let (small, large) = (rename(1_500, restart).await, rename(6_000, restart).await);
        assert_in_proportion("6,000 mails of 3,000 senders", small, large, 7);
    }
}

/// An upstream with one login that is bound to nobody, and so many that are bound to their senders.
fn bound(accounts: usize) -> String {
    let mut toml = "[[upstream]]\nname = \"main\"\nhost = \"up\"\nsecurity = \"none\"\n\
        allow_plaintext_auth = true\nuser = \"anna\"\npassword = \"secret\"\n"
        .to_owned();
    for n in 0..accounts {
        let _ = write!(
            toml,
            "[[upstream.account]]\nuser = \"user{n}@firm.example\"\npassword = \"secret\"\nsender_bound = true\n"
        );
    }
    toml
}

async fn started(accounts: usize) -> (Simulation, Duration) {
    let up = Upstream::new(Script::default());
    let mut sim = Simulation::new(&bound(accounts), &[("up", &up)]);
    let start = worked();
    sim.start().await;
    sleep(secs(1)).await;
    (sim, worked().saturating_sub(start))
}

#[tokio::test(start_paused = true)]
async fn the_start_is_linear_in_the_accounts() {
    if is_done_alone("the_start_is_linear_in_the_accounts") {
        return;
    }
    let (small, large) = (started(100).await.1, started(800).await.1);
    assert_in_proportion("800 bound accounts", small, large, 20);
}

/// Octets of memory of this process, in kibibytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const ACCOUNTS: &str = "MAILSLUICE_TEST_ACCOUNTS";

/// What the next one runs, in a process for each figure.
#[tokio::test(start_paused = true)]
#[ignore = "no test of its own"]
async fn memory_of_a_relay() {
    let (sim, _) = started(std::env::var(ACCOUNTS).unwrap().parse().unwrap()).await;
    sleep(secs(120)).await;
    println!("resident={}", resident());
    drop(sim);
}

fn measured(accounts: usize) -> usize {
    let more = ["--ignored", "--nocapture"];
    let text = run_alone("memory_of_a_relay", &more, (ACCOUNTS, &accounts.to_string()));
    let figure = text.split_once("resident=").map(|(_, rest)| rest.lines().next().unwrap().trim());
    figure.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn a_thousand_accounts_cost_little_memory() {
    let (one, thousand) = (measured(1), measured(1_000));
    let more = thousand.saturating_sub(one) / 1024;
    assert!(more <= 40, "{more} MiB more than with one account ({} MiB)", one / 1024);
}

/// How long five hours take in which so many mails wait whose senders have been warned.
async fn warned(messages: usize) -> Duration {
    let up = down();
    let toml = named("main").replace("\"never\"", "\"1h\"");
    let mut sim = Simulation::new(&toml, &[("up", &up)]);
    sim.start().await;
    for _ in 0..messages {
        let mut message = sim.message("", &["r@there.example"]);
        // Rows that do not lie side by side in the cache, as those of a busy day.
        message.client.helo = "h".repeat(1_000);
        sim.enqueue(message).await;
    }
    sleep(secs(2 * 3_600)).await;
    let start = worked();
    sleep(secs(5 * 3_600)).await;
    let took = worked().saturating_sub(start);
    assert_eq!(sim.store().queue_length() as usize, messages, "the mail is kept");
    took
}

/// Each look for late mail passes by those that were found before: else what one look does for each mail, all looks
/// together do for each mail and each look.
#[tokio::test(start_paused = true)]
async fn the_sweep_of_late_mail_passes_by_what_it_has_done() {
    if is_done_alone("the_sweep_of_late_mail_passes_by_what_it_has_done") {
        return;
    }
    let (small, large) = (warned(100).await, warned(8_000).await);
    assert_in_proportion("8,000 mails that were warned of", small, large, 3);
}
