//! `mailsluice presets`

use serde::Serialize;

use super::context::CliContext;
use super::failure::Failure;
use super::limits::in_each;
use super::table::TextTable;
use super::viewer::Viewer;
use crate::config::{ByteSize, Limits, PRESETS, Preset, Quota, Security};

/// A provider as `--json` shows it. What is not known is null.
#[derive(Serialize)]
struct PresetLine {
    name: &'static str,
    /// Null when there is a host per region.
    host: Option<&'static str>,
    port: u16,
    /// `none starttls tls`
    security: &'static str,
    connections: u32,
    recipients_per_message: u32,
    /// Octets.
    message_size: Option<u64>,
    /// What may be sent in a window.
    limits: Vec<PresetLimit>,
}

#[derive(Serialize)]
struct PresetLimit {
    window: String,
    messages: Option<u32>,
    recipients: Option<u32>,
    /// Of content.
    octets: Option<u64>,
}

/// Lists the providers that are known; asks neither the relay nor the configuration.
pub(super) fn execute(context: &CliContext) -> Result<(), Failure> {
    let lines: Vec<PresetLine> = PRESETS.iter().map(line).collect();
    context.print_value(&lines, &render(&Viewer::now()))
}

fn line(preset: &Preset) -> PresetLine {
    let limits = preset.limits();
    PresetLine {
        name: preset.name,
        host: preset.host,
        port: preset.port,
        security: word(preset.security()),
        connections: limits.connections,
        recipients_per_message: limits.recipients_per_message,
        message_size: limits.message_size.map(|ByteSize(octets)| octets),
        limits: quotas(&limits),
    }
}

fn quotas(limits: &Limits) -> Vec<PresetLimit> {
    let quotas = limits.quotas.iter().map(|(window, quota)| {
        let Quota { messages, recipients, octets } = quota;
        PresetLimit { window: window.to_string(), messages, recipients, octets }
    });
    quotas.collect()
}

/// As the configuration has it.
fn word(security: Security) -> &'static str {
    match security {
        Security::None => "none",
        Security::StartTls => "starttls",
        Security::Tls => "tls",
    }
}

fn render(viewer: &Viewer) -> String {
    let mut table = TextTable::new(&["PRESET", "HOST", "PORT", "SECURITY", "LIMITS"]).folding(&["LIMITS"]);
    for preset in PRESETS {
        let host = preset.host.map_or_else(|| format!("write {}", preset.hosts), str::to_owned);
        let security = word(preset.security()).to_owned();
        table.row(&[preset.name.to_owned(), host, preset.port.to_string(), security, limits(preset)]);
    }
    table.render(viewer)
}

/// `30 messages a minute, 10000 recipients a day, 500 recipients a message, 35MiB`
fn limits(preset: &Preset) -> String {
    let (known, ours) = (preset.limits(), Limits::default());
    let mut parts = Vec::new();
    for PresetLimit { window, messages, recipients, octets } in quotas(&known) {
        parts.extend(messages.map(|most| format!("{most} messages {}", in_each(&window))));
        parts.extend(recipients.map(|most| format!("{most} recipients {}", in_each(&window))));
        parts.extend(octets.map(|most| format!("{} {}", ByteSize(most), in_each(&window))));
    }
    if known.recipients_per_message != ours.recipients_per_message {
        parts.push(format!("{} recipients a message", known.recipients_per_message));
    }
    if known.connections != ours.connections {
        parts.push(format!("{} connections", known.connections));
    }
    parts.extend(known.message_size.map(|size| size.to_string()));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_all_with_hosts_and_limits() {
        let text = render(&Viewer::utc("2026-11-22T07:00:00Z"));
        assert_eq!(text.lines().count(), PRESETS.len() + 1);
        let office = text.lines().find(|line| line.starts_with("office365 ")).unwrap();
        let cells: Vec<&str> = office.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let limits =
            "30 messages a minute, 10000 recipients a day, 500 recipients a message, 3 connections, 35MiB";
        assert_eq!(cells, ["office365", "smtp.office365.com", "587", "starttls", limits]);
        assert!(text.contains("write \"email-smtp.REGION.amazonaws.com\" with your region"));
        let narrow = render(&Viewer::utc("2026-11-22T07:00:00Z").with_width(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    }
}
