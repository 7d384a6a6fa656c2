//! `mailsluice upstream`

use hyper::Method;

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use super::status::{host, limits_left, notes, state, until};
use super::table::TextTable;
use super::viewer::Viewer;
use crate::control::view::UpstreamJson;

#[derive(Debug, clap::Subcommand)]
pub(super) enum UpstreamCommand {
    /// How the upstreams and their accounts are: what can send, what can't, why, and until when
    #[command(after_help = "Example:\n  mailsluice upstream list")]
    List,
    /// Make an upstream the default: the one that takes what no filter matches
    ///
    /// Written into the configuration file, whose comments and order stay. A file that was edited since the relay has read it is
    /// not touched. Where it can't be written the switch is kept in the store, and `status` says so. Mail in the queue follows.
    #[command(after_help = "Example:\n  mailsluice upstream default office365")]
    Default {
        /// The upstream
        upstream: String,
    },
    /// Let an upstream send again that was disabled by hand or has stopped by itself
    ///
    /// Mail that waited for it goes at once. A pause that the provider has asked for stays: `limits reset` ends that. Where the
    /// configuration file has `enabled = false`, that is changed, as with `upstream default`.
    #[command(after_help = "Example:\n  mailsluice upstream enable office365")]
    Enable {
        /// The upstream
        upstream: String,
    },
    /// Send nothing by an upstream until it is enabled again, over restarts and reloads
    ///
    /// What is under way may end. Its mail waits, or takes its fallback; it never goes by another upstream else. Written into the
    /// configuration file as with `upstream default`.
    #[command(after_help = "Example:\n  mailsluice upstream disable office365")]
    Disable {
        /// The upstream
        upstream: String,
    },
}

pub(super) fn execute(command: &UpstreamCommand, context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    let (name, verb) = match command {
        UpstreamCommand::List => {
            let reply = client.get::<Vec<UpstreamJson>>(&RequestPath::path(&["upstreams"]))?;
            return context.print(&reply, |all, viewer| render(all, viewer));
        }
        UpstreamCommand::Default { upstream } => (upstream, "default"),
        UpstreamCommand::Enable { upstream } => (upstream, "enable"),
        UpstreamCommand::Disable { upstream } => (upstream, "disable"),
    };
    let reply =
        client.command::<UpstreamJson>(&Method::POST, &RequestPath::path(&["upstreams", name, verb]))?;
    context.print(&reply, |one, viewer| render(std::slice::from_ref(one), viewer))
}

fn render(upstreams: &[UpstreamJson], viewer: &Viewer) -> String {
    let mut table = TextTable::new(&["UPSTREAM", "STATE", "UNTIL", "HOST", "CONNECTIONS", "LIMITS LEFT"])
        .folding(&["LIMITS LEFT", "CONNECTIONS", "HOST", "UNTIL"]);
    for upstream in upstreams {
        let open: u32 = upstream.accounts.iter().map(|account| account.connections).sum();
        table.row(&[
            format!("{}{}", upstream.name, if upstream.default { " (default)" } else { "" }),
            state(&upstream.state, upstream.tried).to_owned(),
            until(&upstream.state, upstream.until.as_deref(), viewer),
            host(upstream),
            open.to_string(),
            limits_left(upstream),
        ]);
        for note in notes(upstream, viewer) {
            table.note(&note);
        }
    }
    table.render(viewer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::view::{AccountJson, LimitJson, Used};

    #[test]
    fn tells_which_can_send_and_why_not() {
        let account = |name: &str, state: &str, reason: Option<&str>| AccountJson {
            account: name.to_owned(),
            sender_bound: false,
            state: state.to_owned(),
            tried: true,
            reason: reason.map(str::to_owned),
            until: (state == "limited").then(|| "2026-11-22T07:00:40.000Z".to_owned()),
            action: None,
            connections: 2,
            most_connections: 3,
            pace: None,
        };
        let upstream =
            |name: &str, state: &str, reason: Option<&str>, accounts: Vec<AccountJson>| UpstreamJson {
                name: name.to_owned(),
                default: name == "m365",
                state: state.to_owned(),
                tried: name != "backup",
                reason: reason.map(str::to_owned),
                until: None,
                action: (state == "disabled").then(|| format!("mailsluice upstream enable {name}")),
                host: Some("smtp.example.net".to_owned()),
                port: Some(587),
                not_in_file: None,
                fallback: None,
                accounts,
                limits: vec![LimitJson {
                    upstream: name.to_owned(),
                    account: "a@firm.example".to_owned(),
                    limit_group: None,
                    window: "minute".to_owned(),
                    messages: Used { used: 29, limit: Some(30) },
                    recipients: Used { used: 41, limit: None },
                    octets: Used { used: 0, limit: None },
                    next_free: None,
                    reason: None,
                }],
                refused_senders: vec![],
                strange_replies: vec![],
            };
        let several = vec![
            account("a@firm.example", "up", None),
            account("b@firm.example", "limited", Some("limit per minute")),
        ];
        let off = Some("disabled \u{1b}by hand");
        let all = [
            upstream("m365", "up", None, several),
            upstream("backup", "disabled", off, vec![account("c", "disabled", off)]),
        ];
        let want = "\
UPSTREAM        STATE     UNTIL  HOST                  CONNECTIONS  LIMITS LEFT
m365 (default)  up               smtp.example.net:587  4
    a@firm.example: up
    b@firm.example: limited until 07:00:40 (in 40s): limit per minute
backup          disabled         smtp.example.net:587  2            1 of 30 messages a minute
    disabled \\u001bby hand
    to let it send again: mailsluice upstream enable backup
";
        assert_eq!(render(&all, &Viewer::utc("2026-11-22T07:00:00Z")), want);
    }
}
