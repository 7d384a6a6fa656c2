//! The command line: a file per command.
//!
//! Exit status: 0 done, 1 failed (also: nothing found by that id or name), 2 wrong use or configuration.

mod alert;
mod at_rest;
mod backup;
mod blacklist;
mod captured;
mod check;
mod client;
mod completions;
mod connect;
mod context;
mod dialogue;
mod dkim;
mod doctor;
mod explain;
mod failure;
mod folder_owner;
mod hash_password;
mod history;
mod init;
mod interrupt;
mod limits;
mod man;
mod output;
mod own_relay;
mod own_sign_ins;
mod presets;
mod probe;
mod progress;
mod queue;
mod relay_user;
mod reload;
mod request_path;
mod run;
mod send;
mod shell;
mod status;
mod store;
mod table;
mod test_mode;
mod trace;
mod upstream;
mod viewer;
mod wrapping;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use context::CliContext;
use failure::Failure;
use viewer::Viewer;

/// What the help calls the options of all commands.
const GLOBAL: &str = "Options of all commands";
/// What the program's end tells.
const EXIT_STATUSES: &str = "\
Exit status:
  0  done
  1  failed; also when nothing is there by that id or name
  2  wrong use, or a configuration with faults";

/// A local SMTP relay: takes mail from programs that only speak plain SMTP and sends it on, signed, throttled, retried
/// and never lost.
#[derive(Debug, Parser)]
#[command(name = "mailsluice", version, propagate_version = true, term_width = 0, after_help = EXIT_STATUSES)]
struct Arguments {
    /// The configuration file [default: config/mailsluice.toml, else /etc/mailsluice/mailsluice.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    config: Option<PathBuf>,
    /// The relay's data folder, whatever the configuration says; commands to a running relay need nothing else
    #[arg(long, global = true, value_name = "FOLDER", help_heading = GLOBAL)]
    data_dir: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    #[command(subcommand)]
    command: MainCommand,
}

#[derive(Debug, Subcommand)]
enum MainCommand {
    /// Run the relay, in the foreground
    #[command(after_help = "Example:\n  mailsluice run --config /etc/mailsluice/mailsluice.toml")]
    Run,
    /// Validate the configuration
    #[command(after_help = "Example:\n  mailsluice check --config mailsluice.toml")]
    Check,
    /// Write a small configuration where there is none: asks at a terminal, or takes all by flags
    #[command(after_help = "Example:\n  mailsluice init --preset office365 --address office@firm.example")]
    Init(init::InitOptions),
    /// Sign in at a provider for [[oauth]], or try whether a sign-in that needs nobody works
    #[command(after_help = "Example:\n  mailsluice connect m365")]
    Connect(connect::ConnectOptions),
    /// Show the providers whose hosts and limits are known: a word for `preset` in [[upstream]]
    #[command(after_help = "Example:\n  mailsluice presets")]
    Presets,
    /// Show listeners, upstreams, limits, the queue and test mode
    #[command(after_help = "Example:\n  mailsluice status --check")]
    Status(status::StatusOptions),
    /// Look at the queue, try again, delete
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Show what became of mail that has left, forget an address, send again
    #[command(after_help = "Example:\n  mailsluice history --to anna@customer.example --since 2d")]
    History(history::HistoryOptions),
    /// Look at the blacklist, add, remove, check
    #[command(subcommand)]
    Blacklist(blacklist::BlacklistCommand),
    /// Look at the local mailbox of test mode, delete; the relay may run or not
    #[command(subcommand)]
    Captured(captured::CapturedCommand),
    /// Test accounts: resolve, connect, TLS, EHLO, AUTH; sends nothing, and says what is wrong and what to do
    #[command(after_help = "Example:\n  mailsluice probe m365")]
    Probe(probe::ProbeOptions),
    /// Look for what keeps mail from arriving: accounts, DNS (SPF, DKIM, DMARC), what expires, disk, clock; says what to do
    #[command(after_help = "Example:\n  mailsluice doctor")]
    Doctor(doctor::DoctorOptions),
    /// Send a real test mail through the running relay, and wait for its outcome
    #[command(after_help = "Example:\n  mailsluice send --to me@firm.example --upstream m365")]
    Send(send::SendOptions),
    /// Show which rules, route, signature and limits a message would get; sends nothing
    #[command(
        after_help = "Example:\n  mailsluice explain invoice.eml --from erp@firm.example --to someone@example.org"
    )]
    Explain(explain::ExplainOptions),
    /// Show the dialogue with an upstream as it goes on, until Ctrl-C; secrets and contents are left out
    #[command(after_help = "Example:\n  mailsluice trace m365")]
    Trace(trace::TraceOptions),
    /// Show what is used of the limits, or reset them
    #[command(subcommand)]
    Limits(limits::LimitsCommand),
    /// Show the upstreams, switch one off or on again
    #[command(subcommand)]
    Upstream(upstream::UpstreamCommand),
    /// Back up the store with its contents into a tar, while the relay runs or not; unpack it into an empty data folder
    #[command(after_help = "Example:\n  mailsluice backup /srv/backup/mailsluice.tar")]
    Backup(backup::BackupOptions),
    /// Look for damage in the store, or save what can be read of it; the relay is stopped
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Try whether alerts arrive
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Read the configuration again; a bad one is reported and the old one stays in force
    #[command(after_help = "Example:\n  mailsluice reload")]
    Reload,
    /// Switch test mode on or off
    #[command(subcommand, name = "test-mode")]
    TestMode(test_mode::TestModeCommand),
    /// Make DKIM keys, show the records to publish, compare them with the DNS
    #[command(subcommand)]
    Dkim(dkim::DkimCommand),
    /// Hash a password for [[user]]: asks for it, or reads one line from stdin
    #[command(after_help = "Example:\n  mailsluice hash-password")]
    #[command(name = "hash-password")]
    HashPassword(hash_password::Options),
    /// Print the script by which a shell completes this command
    #[command(after_help = "Example:\n  mailsluice completions bash > /etc/bash_completion.d/mailsluice")]
    Completions(completions::CompletionOptions),
    /// Print the manual page, or write a page for each command into a folder
    #[command(after_help = "Example:\n  mailsluice man --out /usr/local/share/man/man1")]
    Man(man::ManOptions),
}

/// Does what the arguments of this process say.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        Err(help) => {
            let told = output::text(&Viewer::now().help(&help.render().to_string()));
            return told.map_or_else(Failure::report, |()| ExitCode::SUCCESS);
        }
    };
    let Arguments { config, data_dir, json, command } = arguments;
    let context = CliContext { config, data_dir, json };
    match dispatch(command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(command: MainCommand, context: &CliContext) -> Result<(), Failure> {
    match command {
        MainCommand::Run => run::execute(context),
        MainCommand::Check => check::execute(context),
        MainCommand::Init(options) => init::execute(&options, context),
        MainCommand::Connect(options) => connect::execute(&options, context),
        MainCommand::Presets => presets::execute(context),
        MainCommand::Status(options) => status::execute(&options, context),
        MainCommand::Queue(command) => queue::execute(command, context),
        MainCommand::History(options) => history::execute(&options, context),
        MainCommand::Blacklist(command) => blacklist::execute(command, context),
        MainCommand::Captured(command) => captured::execute(command, context),
        MainCommand::Probe(options) => probe::execute(&options, context),
        MainCommand::Doctor(options) => doctor::execute(&options, context),
        MainCommand::Send(options) => send::execute(&options, context),
        MainCommand::Explain(options) => explain::execute(&options, context),
        MainCommand::Trace(options) => trace::execute(&options, context),
        MainCommand::Limits(command) => limits::execute(command, context),
        MainCommand::Upstream(command) => upstream::execute(&command, context),
        MainCommand::Backup(options) => backup::execute(&options, context),
        MainCommand::Store(command) => store::execute(&command, context),
        MainCommand::Alert(command) => alert::execute(&command, context),
        MainCommand::Reload => reload::execute(context),
        MainCommand::TestMode(command) => test_mode::execute(command, context),
        MainCommand::Dkim(command) => dkim::execute(&command, context),
        MainCommand::HashPassword(options) => hash_password::execute(&options),
        MainCommand::Completions(options) => completions::execute(&options, Arguments::command()),
        MainCommand::Man(options) => man::execute(&options, Arguments::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_help_fits_a_terminal() {
        let viewer = Viewer::utc("2026-11-22T07:00:00Z").with_width(80);
        let mut all = vec![Arguments::command()];
        let mut seen = 0;
        while let Some(mut command) = all.pop() {
            for text in [command.render_help(), command.render_long_help()] {
                let text = viewer.help(&text.to_string());
                let wide = text.lines().find(|line| wrapping::columns(line) > 80);
                assert_eq!(wide, None, "{}\n{text}", command.get_name());
            }
            seen += 1;
            all.extend(command.get_subcommands().cloned());
        }
        assert!(seen > 20, "only {seen}");
    }

    #[test]
    fn global_flags_stand_before_or_behind() {
        for line in ["mailsluice --json --config f queue list", "mailsluice queue list --json --config f"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert!(arguments.json && arguments.config.is_some(), "{line}");
        }
    }

    #[test]
    fn wrong_use_is_refused() {
        for line in [
            "mailsluice",
            "mailsluice queue",
            "mailsluice queue retry",
            "mailsluice queue retry --all 0DMA",
            "mailsluice queue release --all 0DMA --to test",
            "mailsluice queue release --all",
            "mailsluice captured",
            "mailsluice captured delete",
            "mailsluice queue list --state lost",
            "mailsluice queue list --limit 0",
            "mailsluice history --limit 0",
            "mailsluice history resend",
            "mailsluice history resend nothing",
            "mailsluice history forget",
            "mailsluice history --to a@b forget c@d",
            "mailsluice limits reset up --window year",
            "mailsluice test-mode on --action burn",
            "mailsluice upstream",
            "mailsluice upstream enable",
            "mailsluice trace",
            "mailsluice send",
            "mailsluice send --to nobody",
            "mailsluice send --to a@b.example --timeout soon",
            "mailsluice dkim generate --domain firm.example",
            "mailsluice dkim generate --domain firm.example --selector a/b",
            "mailsluice dkim generate --domain firm.example --selector a --bits 1024",
            "mailsluice dkim record firm.example --key a.pem",
            "mailsluice dkim check",
        ] {
            let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
