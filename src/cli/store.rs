//! `mailsluice store`

use super::context::CliContext;
use super::failure::Failure;
use super::output::count;
use super::progress::{ProgressUnit, TaskProgress};
use super::relay_user::check_owner;
use crate::config::DataDir;
use crate::report::log::escape::printable;
use crate::store::sqlite::{self, Salvaged, StoreReport};
use crate::time::{Clock as _, SystemClock};

#[derive(Debug, clap::Subcommand)]
pub(super) enum StoreCommand {
    /// Look for damage in the store of a relay that is stopped: exit status 1 when there is some
    ///
    /// Tables and their indexes, rows that can't be read, contents that are cut or changed, contents without messages and messages
    /// without contents. Nothing is changed.
    #[command(after_help = "Example:\n  mailsluice store check")]
    Check,
    /// Go on with what can be read of the damaged store of a relay that is stopped
    ///
    /// The damaged files are kept in a folder beside, with the time in its name. All mail that was saved is held as a possible
    /// duplicate until a person releases it, and the totals say how many recipients were lost.
    #[command(after_help = "Example:\n  mailsluice store salvage")]
    Salvage,
}

pub(super) fn execute(command: &StoreCommand, context: &CliContext) -> Result<(), Failure> {
    let data_dir = DataDir::find(context.config.as_deref(), &context.machine())?.path;
    if !data_dir.join("queue.db").exists() && !sqlite::is_half_salvaged(&data_dir) {
        return Err(Failure::new(format!("{} has no queue.db", data_dir.display())));
    }
    check_owner(&data_dir)?;
    let failed = |error: crate::store::StoreError| Failure::Failed(error.into());
    match command {
        StoreCommand::Check => {
            let shown = TaskProgress::unknown("Looking at the store", ProgressUnit::Things("message"));
            let report = sqlite::check(&data_dir).map_err(failed)?;
            drop(shown);
            context.print_value(&report, &checked(&report))?;
            if report.damage.is_empty() { Ok(()) } else { Err(Failure::Told) }
        }
        StoreCommand::Salvage => {
            let now = SystemClock.wall().as_millisecond();
            let shown = TaskProgress::unknown("Saving what can be read", ProgressUnit::Things("message"));
            let salvaged = sqlite::salvage(&data_dir, now).map_err(failed)?;
            drop(shown);
            context.print_value(&salvaged, &told(&salvaged))
        }
    }
}

fn checked(report: &StoreReport) -> String {
    let StoreReport { messages, contents, damage, damaged, notes } = report;
    let looked = format!("looked at {} and {}", count(*messages, "message"), count(*contents, "content"));
    let mut lines: Vec<String> = damage.iter().map(|what| printable(what)).collect();
    let more = damaged.saturating_sub(damage.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more of that kind"));
    }
    lines.extend(notes.iter().map(|note| printable(note)));
    lines.push(if damage.is_empty() {
        format!("No damage was found: {looked}.")
    } else {
        format!(
            "The store is damaged: {looked}. Put a backup in its place, or go on with what can be read: mailsluice store salvage"
        )
    });
    lines.join("\n")
}

fn told(salvaged: &Salvaged) -> String {
    let Salvaged { messages, recipients, lost_recipients, tables, aside } = salvaged;
    let mut lines = vec![format!(
        "Saved {} for {}; {} lost.",
        count(*messages, "message"),
        count(*recipients, "recipient"),
        match lost_recipients {
            0 => "no recipient is".to_owned(),
            1 => "1 recipient is".to_owned(),
            more => format!("{more} recipients are"),
        }
    )];
    lines.extend(tables.iter().filter(|table| table.has_gaps).map(|table| {
        format!(
            "Table {}: {} saved, some could not be read.",
            printable(&table.name),
            count(table.rows, "row")
        )
    }));
    lines.push(format!("The damaged files are in {}.", printable(&aside.display().to_string())));
    lines.push(
        "All mail is held as possible duplicates: start the relay, then mailsluice queue list --state held"
            .to_owned(),
    );
    lines.join("\n")
}
