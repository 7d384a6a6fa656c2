//! `mailsluice captured`: the local mailbox of test mode. The relay may run or not: these commands read its folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::context::CliContext;
use super::dialogue::TerminalDialogue;
use super::failure::Failure;
use super::output::{self, count, size};
use super::table::TextTable;
use super::viewer::Viewer;
use crate::config::DataDir;
use crate::control::view::rfc3339;
use crate::mail::header::Fields;
use crate::mail::{MessageLabel, QueueId, header};
use crate::report::log::escape::printable;
use crate::upstream::{CapturedFile, Mailbox, RECIPIENT_FIELD};

/// What is read of a message for a list, in octets.
const HEAD: u64 = 64 << 10;
/// The columns of a list that go below the rows of a narrow terminal, one after the other.
const FOLDING: [&str; 4] = ["SIZE", "TO", "FROM", "SUBJECT"];

#[derive(Debug, clap::Subcommand)]
pub(super) enum CapturedCommand {
    /// What was captured, oldest first
    #[command(after_help = "Example:\n  mailsluice captured list")]
    List,
    /// Print a message, with its envelope before it
    #[command(after_help = "Example:\n  mailsluice captured show 01M8B598RBW1B5PE")]
    Show {
        /// Its queue id
        id: String,
    },
    /// Delete messages
    #[command(after_help = "Example:\n  mailsluice captured delete 01M8B598RBW1B5PE")]
    Delete {
        /// Queue ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Delete all that was captured until now; asks before
    #[command(after_help = "Example:\n  mailsluice captured clear --yes")]
    Clear {
        /// Without asking
        #[arg(long)]
        yes: bool,
    },
}

/// A captured message as `--json` has it.
#[derive(Debug, Serialize)]
struct CapturedJson {
    queue_id: String,
    captured_at: String,
    size: u64,
    from: String,
    to: Vec<String>,
    subject: Option<String>,
    message_id: Option<String>,
    /// Whether a mail program has seen it.
    seen: bool,
}

/// What has been deleted, as `--json` has it.
#[derive(Debug, Serialize)]
struct DeletedJson {
    deleted: Vec<String>,
}

pub(super) fn execute(command: CapturedCommand, context: &CliContext) -> Result<(), Failure> {
    let files = files(context)?;
    match command {
        CapturedCommand::List => list(&files, context),
        CapturedCommand::Show { id } => show(&files, &id, context),
        CapturedCommand::Delete { ids } => delete(&files, &ids, context),
        CapturedCommand::Clear { yes } => clear(&files, yes, context),
    }
}

/// All that was captured.
fn files(context: &CliContext) -> Result<Vec<CapturedFile>, Failure> {
    let DataDir { path, .. } = DataDir::find(context.config.as_deref(), &context.machine())?;
    if !path.is_dir() {
        let what =
            format!("there is no data folder {}: name the relay's by --data-dir or --config", path.display());
        return Err(Failure::new(what));
    }
    Mailbox::list(&path.join("captured")).map_err(|error| Failure::Failed(error.into()))
}

fn list(files: &[CapturedFile], context: &CliContext) -> Result<(), Failure> {
    let mut lines = Vec::with_capacity(files.len());
    for file in files {
        lines.extend(read(file)?);
    }
    let viewer = Viewer::now();
    context.print_value(&lines, &(render(&lines, &viewer) + &viewer.zone_line()))
}

/// What a list shows of a message; `None` when it is gone since.
fn read(file: &CapturedFile) -> Result<Option<CapturedJson>, Failure> {
    let mut head = Vec::new();
    match File::open(&file.path).and_then(|opened| opened.take(HEAD).read_to_end(&mut head)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| unread(&file.path, error))?,
    };
    let head = &head[..header::end(&head).unwrap_or(head.len())];
    let label = MessageLabel::of(head);
    let value = |field: &header::Field<'_>| {
        let text = String::from_utf8_lossy(&field.unfolded()).trim().to_owned();
        text.trim_matches(['<', '>']).to_owned()
    };
    let (mut from, mut to) = (String::new(), Vec::new());
    for (place, field) in Fields::new(head).enumerate() {
        match () {
            () if place == 0 && field.is("Return-Path") => from = value(&field),
            () if place == to.len() + 1 && field.is(RECIPIENT_FIELD) => to.push(value(&field)),
            () => break,
        }
    }
    let captured_at = Timestamp::try_from(file.captured).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Some(CapturedJson {
        queue_id: file.id.clone(),
        captured_at: rfc3339(captured_at),
        size: file.size,
        from,
        to,
        subject: label.subject(),
        message_id: label.message_id,
        seen: file.seen,
    }))
}

fn render(lines: &[CapturedJson], viewer: &Viewer) -> String {
    if lines.is_empty() {
        return "Nothing was captured.\n".to_owned();
    }
    let heads = ["QUEUE ID", "CAPTURED", "SIZE", "FROM", "TO", "SUBJECT"];
    let mut table = TextTable::new(&heads).folding(&FOLDING);
    for line in lines {
        let to = match line.to.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} +{}", rest.len()),
        };
        let from = if line.from.is_empty() { "<>" } else { &line.from };
        table.row(&[
            line.queue_id.clone(),
            viewer.local(&line.captured_at),
            size(line.size),
            from.to_owned(),
            to,
            line.subject.clone().unwrap_or_default(),
        ]);
    }
    format!("{}{}\n", table.render(viewer), count(lines.len() as u64, "message"))
}

fn show(files: &[CapturedFile], id: &str, context: &CliContext) -> Result<(), Failure> {
    let file = find(files, id).ok_or_else(|| unknown(id))?;
    let octets = fs::read(&file.path).map_err(|error| unread(&file.path, error))?;
    if context.json {
        let text = String::from_utf8_lossy(&octets);
        return context.print_value(&serde_json::json!({ "queue_id": file.id, "content": text }), "");
    }
    output::content(&octets)
}

/// Deletes these; one that is not there keeps none of the others from it.
fn delete(files: &[CapturedFile], ids: &[String], context: &CliContext) -> Result<(), Failure> {
    let mut found = Vec::new();
    let mut failed = false;
    for id in ids {
        if let Some(file) = find(files, id) {
            found.push(file);
        } else {
            let _ = unknown(id).report();
            failed = true;
        }
    }
    remove(&found, context)?;
    if failed { Err(Failure::Told) } else { Ok(()) }
}

fn clear(files: &[CapturedFile], yes: bool, context: &CliContext) -> Result<(), Failure> {
    if !files.is_empty() && !yes {
        let what = format!("{} would be deleted for good", count(files.len() as u64, "captured message"));
        let Some(mut dialogue) = TerminalDialogue::here().filter(|_| !context.json) else {
            return Err(Failure::new(format!("{what}; nothing was: say --yes if that is meant")));
        };
        dialogue.say(&what)?;
        if !dialogue.confirm("Delete them", false)? {
            return Err(Failure::new("nothing was deleted"));
        }
    }
    remove(&files.iter().collect::<Vec<_>>(), context)
}

fn remove(files: &[&CapturedFile], context: &CliContext) -> Result<(), Failure> {
    let mut deleted = Vec::new();
    for file in files {
        match fs::remove_file(&file.path) {
            // The relay may have made room meanwhile.
            Ok(()) => deleted.push(file.id.clone()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("cannot delete {}, after {}", file.path.display(), deleted.len());
                return Err(Failure::Failed(anyhow::Error::new(error).context(what)));
            }
        }
    }
    let text = format!("Deleted {}\n", count(deleted.len() as u64, "captured message"));
    context.print_value(&DeletedJson { deleted }, &text)
}

/// The message of that name, however its queue id is typed.
fn find<'a>(files: &'a [CapturedFile], id: &str) -> Option<&'a CapturedFile> {
    let name = QueueId::parse(id).map_or_else(|_| id.to_owned(), |id| id.to_string());
    files.iter().find(|file| file.id == name)
}

fn unknown(id: &str) -> Failure {
    Failure::new(format!("{} was not captured: `mailsluice captured list` shows what was", printable(id)))
}

fn unread(path: &Path, error: std::io::Error) -> Failure {
    Failure::Failed(anyhow::Error::new(error).context(format!("cannot read {}", path.display())))
}
