//! Metrics over the interface: who may read them, in which form, and what they say while the store is broken.

use std::sync::Arc;

use mailsluice::config::MetricsAccess;
use mailsluice::control::ApiState;
use mailsluice::metrics::{CountedLogin, CountedOutcome, FAMILIES, MetricKind, TextFormat, family};

use super::Relay;
use super::console::{Console, VIEWER};

/// The value of a sample, by its name and labels as they are written.
fn value(text: &str, sample: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == sample))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// The relay with its metrics open.
fn open(relay: &mut Relay) {
    let mut config = (*relay.state.config).clone();
    config.console.metrics = MetricsAccess::Open;
    relay.state = ApiState { config: Arc::new(config), ..relay.state.clone() };
}

#[test]
fn who_shows_a_token_reads_them_in_the_form_of_choice() {
    let relay = Relay::start();
    let console = Console::of(&relay);
    relay.enqueue(1, &["a@x.example", "b@x.example"], false);
    relay.enqueue(2, &["c@x.example"], true);
    for accept in ["*/*", "application/openmetrics-text; version=1.0.0"] {
        let format = TextFormat::wanted(accept);
        let answer = console.ask("GET /metrics", &[("Authorization", VIEWER), ("Accept", accept)]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.head.contains(&format!("content-type: {}", format.content_type())), "{}", answer.head);
        assert_eq!(answer.body.ends_with("# EOF\n"), format == TextFormat::OpenMetrics);
        for (sample, want) in [
            (r#"mailsluice_queue_messages{state="ready"}"#, 1.0),
            (r#"mailsluice_queue_messages{state="held"}"#, 1.0),
            (r#"mailsluice_store_recipients_total{outcome="accepted"}"#, 3.0),
            ("mailsluice_store_healthy", 1.0),
            ("mailsluice_ready", 1.0),
            (r#"mailsluice_build_info{version="9.9.9"}"#, 1.0),
        ] {
            assert_eq!(value(&answer.body, sample), Some(want), "{sample}\n{}", answer.body);
        }
    }
}

#[test]
fn every_family_is_there_and_no_other() {
    let relay = Relay::start();
    relay.state.metrics.configure(std::iter::once(CountedLogin::of_upstream("m365")));
    let console = Console::of(&relay);
    let text = console.get("/metrics", VIEWER).body;
    let typed: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut sorted = typed.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), typed.len(), "a family stands twice: {typed:?}");
    let mut want: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    want.sort_unstable();
    assert_eq!(sorted, want);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = family(name).unwrap_or_else(|| panic!("{line}"));
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        let mut found: Vec<&str> =
            labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)).collect();
        found.retain(|label| *label != "le" || family.kind != MetricKind::Histogram);
        assert_eq!(found, family.labels, "{line}");
    }
}

#[test]
fn anybody_reads_them_where_they_are_open_and_nothing_else() {
    let mut relay = Relay::start();
    open(&mut relay);
    let console = Console::of(&relay);
    assert_eq!(console.ask("GET /metrics", &[]).status, 200);
    assert_eq!(console.ask("GET /api/v1/status", &[]).status, 401);
    // A page that has its name lead here reads nothing.
    assert_eq!(console.ask("GET /metrics", &[("Host", "evil.example")]).status, 421);
}

#[test]
fn they_answer_while_the_store_is_broken() {
    let relay = Relay::start();
    relay.state.metrics.count(CountedOutcome::Sent, CountedLogin::NONE, 7);
    let file = relay.state.config.data_dir.join("queue.db");
    rusqlite::Connection::open(file).unwrap().execute_batch("ALTER TABLE message RENAME TO gone").unwrap();
    let console = Console::of(&relay);
    let text = console.get("/metrics", VIEWER).body;
    for (sample, want) in [
        (r#"mailsluice_recipients_total{outcome="sent",upstream="",account=""}"#, 7.0),
        ("mailsluice_store_healthy", 0.0),
        (r#"mailsluice_account_state{upstream="m365",account="",state="up"}"#, 1.0),
    ] {
        assert_eq!(value(&text, sample), Some(want), "{sample}\n{text}");
    }
    assert_eq!(value(&text, r#"mailsluice_queue_messages{state="ready"}"#), None);
    assert!(value(&text, "mailsluice_needs_a_person").is_some_and(|count| count >= 1.0), "{text}");
}
