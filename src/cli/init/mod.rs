//! `mailsluice init`: a small configuration for one provider, where there is none.

mod answers;
mod next;
mod provider;
mod test_mail;
mod text;
mod way;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub(super) use self::answers::InitOptions;
use self::answers::{Answers, SecretAnswer};
use super::context::CliContext;
use super::dialogue::TerminalDialogue;
use super::failure::{Failure, warn};
use super::output;
use super::relay_user::warn_of_closed;
use super::viewer::Viewer;
use crate::config::{Config, ConfigPlace};
use crate::folder;
use crate::report::log::escape::printable;

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    /// The configuration.
    file: PathBuf,
    /// The file with the password or client secret, when one was made.
    secret_file: Option<PathBuf>,
    /// The sign-in that a person must make now, by `mailsluice connect`.
    connect: Option<String>,
}

/// Asks what is not said by flags, if there is somebody to ask, and writes the file; never over one that is there.
pub(super) fn execute(options: &InitOptions, context: &CliContext) -> Result<(), Failure> {
    let place = free_place(context)?;
    let mut dialogue = TerminalDialogue::here();
    let answers = Answers::gather(options, dialogue.as_mut());
    let answers = answers.map_err(|failure| failure.and_so("nothing is written"))?;
    let made = write(&answers, &place)?;
    tell(&made, &answers, context)?;
    next::offer(&answers, options.test_mail.as_ref(), context, dialogue.as_mut())
}

/// Says what was made, what a person should look at, and what comes next.
fn tell(made: &Made, answers: &Answers, context: &CliContext) -> Result<(), Failure> {
    // From now on it is found, as `run` will find it.
    let loaded = context.load()?;
    let viewer = Viewer::now();
    let file = printable(&made.file.display().to_string());
    let written = format!("{file} is written, and `mailsluice check` accepts it.");
    context.print_value(made, &viewer.sentences(&written))?;
    warn(&loaded.warnings);
    if let Some(secret) = &made.secret_file {
        warn_of_closed(secret, context);
    }
    if context.json { Ok(()) } else { output::text(&viewer.help(&next::steps(answers, context))) }
}

/// Where the file goes, when there is none yet.
fn free_place(context: &CliContext) -> Result<PathBuf, Failure> {
    match ConfigPlace::find(context.config.as_deref(), &context.machine()) {
        ConfigPlace::Free(place) => Ok(place),
        ConfigPlace::Taken(file) => Err(Failure::new(format!(
            "there is a configuration already, and it stays as it is: {}; change it, or name another file by --config",
            file.display()
        ))),
    }
}

/// Writes the secret beside the configuration, and then the configuration. When that fails, neither stays.
fn write(answers: &Answers, place: &Path) -> Result<Made, Failure> {
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let secret_file = match answers.secret() {
        Some(SecretAnswer::Typed { name, .. } | SecretAnswer::ToCome { name }) => Some(folder.join(name)),
        Some(SecretAnswer::File(_)) | None => None,
    };
    let failed = |path: &Path, error: std::io::Error| {
        Failure::Failed(anyhow::Error::new(error).context(format!("cannot write {}", path.display())))
    };
    let make = |path: &Path, content: &[u8], mode: u32| {
        let made =
            folder::make_for_owner(folder, 0o755).and_then(|_| folder::create_file(path, content, mode));
        made.map_err(|error| failed(path, error))
    };
    if let (Some(path), Some(secret)) = (&secret_file, answers.secret()) {
        make(path, &secret.line(), 0o600)?;
    }
    let text = text::configuration(answers, place);
    let written = match Config::from_toml(&text, folder) {
        Ok(_) => make(place, text.as_bytes(), 0o644),
        Err(faults) => Err(Failure::Wrong(format!("what was said makes no configuration: {faults}"))),
    };
    if let (Err(_), Some(path)) = (&written, &secret_file) {
        // It was made by us just now, and nobody knows of it.
        let _ = std::fs::remove_file(path);
    }
    written?;
    let connect = answers.sign_in().map(|_| answers.provider.name());
    Ok(Made { file: place.to_owned(), secret_file, connect })
}
