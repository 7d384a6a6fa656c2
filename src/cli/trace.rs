//! `mailsluice trace`

use hyper::Method;

use super::client::{ApiRequest, RequestPath, StreamEnd};
use super::context::CliContext;
use super::failure::Failure;
use super::viewer::Viewer;
use crate::control::view::{TraceEvent, TraceLine};
use crate::report::log::escape::printable;

#[derive(Debug, clap::Args)]
pub(super) struct TraceOptions {
    /// The upstream
    upstream: String,
}

/// Shows the lines as they come. With `--json` each is a text of its own.
pub(super) fn execute(options: &TraceOptions, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    let viewer = Viewer::now();
    let target = RequestPath::path(&["upstreams", &options.upstream, "trace"]);
    let request = ApiRequest { method: &Method::GET, target: &target, body: Vec::new() };
    let show = |event: TraceEvent| context.print_value(&event, &render(&event, &viewer));
    match client.follow(request, show)? {
        StreamEnd::Interrupted => Ok(()),
        StreamEnd::Ended => Err(Failure::new("the relay has ended the trace: it is stopping")),
    }
}

fn render(event: &TraceEvent, viewer: &Viewer) -> String {
    let TraceLine { at, connection, account, speaker, text } = match event {
        TraceEvent::Line(line) => line,
        TraceEvent::Missed { lines } => return format!("({lines} lines came too fast and are missing here)"),
    };
    let speaker = match speaker.as_str() {
        "client" => "C:",
        "server" => "S:",
        _ => "--",
    };
    let account = if account.is_empty() { String::new() } else { format!(" {}", printable(account)) };
    format!("{} #{connection}{account} {speaker} {}", viewer.local_millis(at), printable(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_connection_and_account() {
        let viewer = Viewer::utc("2026-11-22T07:00:00Z");
        let line = |speaker: &str, account: &str, text: &str| {
            TraceEvent::Line(TraceLine {
                at: "2026-11-22T07:00:01.250Z".to_owned(),
                connection: 3,
                account: account.to_owned(),
                speaker: speaker.to_owned(),
                text: text.to_owned(),
            })
        };
        for (event, want) in [
            (line("client", "a@firm.example", "EHLO relay"), "07:00:01.250 #3 a@firm.example C: EHLO relay"),
            (line("server", "", "250 \u{1b}[2J"), "07:00:01.250 #3 S: 250 \\u001b[2J"),
            (line("none", "", "closed"), "07:00:01.250 #3 -- closed"),
            (TraceEvent::Missed { lines: 7 }, "(7 lines came too fast and are missing here)"),
        ] {
            assert_eq!(render(&event, &viewer), want);
        }
    }
}
