//! `mailsluice man`

use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use super::failure::Failure;
use super::output::{self, count};
use crate::folder;

/// The chapter of a manual: commands.
const CHAPTER: &str = "1";

/// What the pages are of.
const SOURCE: &str = concat!("mailsluice ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, clap::Args)]
pub(super) struct ManOptions {
    /// Write a page for each command into this folder in place of printing the main page; older ones are replaced
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// A page of the manual.
struct ManPage {
    /// `mailsluice-queue-list`
    name: String,
    /// In roff.
    text: Vec<u8>,
}

/// Prints or writes the manual of the command that is defined so.
pub(super) fn execute(options: &ManOptions, definition: Command) -> Result<(), Failure> {
    let pages = pages(definition)?;
    let Some(folder) = &options.out else {
        return output::octets(pages.first().map_or(&[], |page| &page.text));
    };
    let failed = |error: io::Error, path: &Path| Failure::new(format!("{}: {error}", path.display()));
    folder::make_for_owner(folder, 0o755).map_err(|error| failed(error, folder))?;
    for page in &pages {
        let path = folder.join(format!("{}.{CHAPTER}", page.name));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error, &path)),
            _ => {}
        }
        folder::create_file(&path, &page.text, 0o644).map_err(|error| failed(error, &path))?;
    }
    output::text(&format!("{} in {}", count(pages.len() as u64, "page"), folder.display()))
}

/// All pages, the main one first.
fn pages(definition: Command) -> io::Result<Vec<ManPage>> {
    let mut definition = definition.disable_help_subcommand(true);
    definition.build();
    let mut pages = Vec::new();
    let mut left = vec![definition];
    while let Some(command) = left.pop() {
        left.extend(command.get_subcommands().cloned());
        pages.push(page(command)?);
    }
    Ok(pages)
}

fn page(command: Command) -> io::Result<ManPage> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    Man::new(command)
        .title(name.to_uppercase())
        .section(CHAPTER)
        .manual("Mailsluice")
        .source(SOURCE)
        .render(&mut text)?;
    Ok(ManPage { name, text })
}
