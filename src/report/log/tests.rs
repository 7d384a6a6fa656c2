use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::*;

struct Noon;

impl Clock for Noon {
    fn wall(&self) -> Timestamp {
        "2026-11-22T12:00:00.1236Z".parse().unwrap()
    }
    fn since_boot(&self) -> Duration {
        Duration::ZERO
    }
    fn boot_id(&self) -> String {
        String::new()
    }
}

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn written(format: LogFormat, level: LogLevel, events: impl FnOnce(&Control)) -> String {
    let paper = Paper::default();
    let (layer, control) =
        LineLayer::new(Log { format, level, subject: false }, Arc::new(Noon), paper.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || events(&control));
    let bytes = paper.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn text_has_the_keys_in_order_and_quotes_when_needed() {
    let line = written(LogFormat::Text, LogLevel::Info, |_| {
        let host: Option<&str> = None;
        tracing::info!(
            event = "sent",
            queue_id = %"0DMA",
            from = "",
            reply = "250 2.0.0 \"OK\"",
            host,
            account = Some("a@b"),
            attempt = 1,
            delay = %"1.2s"
        );
    });
    let want = concat!(
        "2026-11-22T12:00:00.123Z INFO sent queue_id=0DMA from=\"\" ",
        "reply=\"250 2.0.0 \\\"OK\\\"\" account=a@b attempt=1 delay=1.2s\n"
    );
    assert_eq!(line, want);
}

#[test]
fn json_is_valid_and_keeps_types() {
    let line = written(LogFormat::Json, LogLevel::Info, |_| {
        let next: Option<u64> = None;
        tracing::warn!(
            size = 10_240_u64,
            event = "deferred",
            reply = "450 \u{1b}[2J\r\nlater",
            delay = 1.5,
            to = %"a\u{202e}\"b",
            dsn = true,
            next
        );
    });
    assert_eq!(line.matches('\n').count(), 1);
    assert!(!line.contains(['\u{1b}', '\u{202e}']));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let want = json!({
        "time": "2026-11-22T12:00:00.123Z", "level": "WARN", "event": "deferred", "size": 10_240,
        "reply": "450 \u{1b}[2J\r\nlater", "delay": 1.5, "to": "a\u{202e}\"b", "dsn": true
    });
    assert_eq!(value, want);
}

#[test]
fn a_reply_cannot_forge_a_line_or_a_key() {
    let reply = "250 ok\r\n2026-11-22T12:00:00.123Z INFO sent queue_id=FORGED";
    let line = written(LogFormat::Text, LogLevel::Info, |_| {
        tracing::info!(event = "bounced", reply, to = %"x\" status=sent\u{85}");
    });
    assert_eq!(line.lines().count(), 1);
    assert!(
        line.contains(r#"reply="250 ok\r\n2026-11-22T12:00:00.123Z INFO sent queue_id=FORGED""#),
        "{line}"
    );
    assert!(line.ends_with("to=\"x\\\" status=sent\\u0085\"\n"), "{line}");
}

/// What libraries say as they work, which may hold whatever they work on.
fn for_libraries() {
    tracing::trace!(target: "hyper::proto", token = "hidden");
    tracing::debug!(target: "rustls::client", "hidden");
    tracing::info!(target: "mailsluice_other", "hidden");
    let _span = tracing::trace_span!(target: "h2", "hidden").entered();
}

#[test]
fn levels_hold_and_can_be_changed() {
    let lines = written(LogFormat::Text, LogLevel::Info, |control| {
        tracing::debug!(event = "hidden");
        tracing::info!(target: "rustls", "hidden, as it is a library's");
        tracing::warn!(target: "rustls::conn", "shown");
        control.set(Log { format: LogFormat::Text, level: LogLevel::Debug, subject: false });
        tracing::debug!(event = "seen");
        tracing::trace!(event = "hidden");
        control.set(Log { format: LogFormat::Text, level: LogLevel::Trace, subject: false });
        tracing::trace!(event = "seen");
        for_libraries();
        control.set(Log { format: LogFormat::Text, level: LogLevel::Error, subject: false });
        tracing::warn!(event = "hidden");
        tracing::warn!(target: "rustls::conn", "hidden too");
        tracing::error!(event = "trouble");
    });
    let want = [
        "2026-11-22T12:00:00.123Z WARN library target=rustls::conn message=shown",
        "2026-11-22T12:00:00.123Z DEBUG seen",
        "2026-11-22T12:00:00.123Z TRACE seen",
        "2026-11-22T12:00:00.123Z ERROR trouble",
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), want);
}

#[test]
fn says_how_many_lines_are_missing_in_either_format() {
    let settings = Settings::new(Log { format: LogFormat::Text, level: LogLevel::Error, subject: false });
    assert_eq!(loss_line(&settings, &Noon, 7), "2026-11-22T12:00:00.123Z WARN log_lost lines=7\n");
    settings.set(Log { format: LogFormat::Json, level: LogLevel::Error, subject: false });
    let line = loss_line(&settings, &Noon, 7);
    let value: serde_json::Value = serde_json::from_str(line.strip_suffix('\n').unwrap()).unwrap();
    let want =
        json!({ "time": "2026-11-22T12:00:00.123Z", "level": "WARN", "event": "log_lost", "lines": 7 });
    assert_eq!(value, want);
}

#[test]
fn a_panic_is_an_event() {
    let before = std::panic::take_hook();
    let lines = written(LogFormat::Text, LogLevel::Error, |_| {
        log_panics();
        std::panic::catch_unwind(|| panic!("two\nlines")).unwrap_err();
    });
    std::panic::set_hook(before);
    let (line, rest) = lines.split_once('\n').unwrap();
    assert!(
        line.starts_with(
            r#"2026-11-22T12:00:00.123Z ERROR panic reason="two\nlines" place=src/report/log/tests.rs:"#
        ),
        "{line}"
    );
    assert!(rest.is_empty(), "{rest}");
}
