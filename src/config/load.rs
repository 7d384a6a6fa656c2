//! Finds the file, reads it, applies the environment, and checks everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{Fault, Faults, Finding, SourcePlace, Warning};
use super::machine::Machine;
use super::reader::{ReadContext, Section};
use super::sections::{dkim, listener, queue, session, switches, top, upstream, user};
use super::tree::Table;
use super::{Config, check, files, overrides, tree};

/// The longest configuration file, in octets.
const LONGEST: u64 = 1 << 20;
/// The variable that names the file.
const FILE_VARIABLE: &str = "MAILSLUICE_CONFIG";

/// A configuration that was read, and how.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    /// What a person should look at.
    pub warnings: Vec<Warning>,
    /// The file, as it was named; `None` when there was none.
    pub path: Option<PathBuf>,
}

/// A file's text and what else we know about it.
struct Source<'t> {
    text: &'t str,
    /// What findings call it; `None` when there is no file.
    name: Option<String>,
    /// What relative paths are relative to. Absolute.
    folder: PathBuf,
    open_to_others: bool,
}

impl Config {
    /// Reads the configuration: the file at `path`, else the one that `MAILSLUICE_CONFIG` names, else the first of
    /// the usual files that is there, else none; then the environment's `MAILSLUICE__…`.
    ///
    /// Does no more than reading: nothing is made, bound or connected. Blocks on the file system.
    ///
    /// # Errors
    /// All faults at once. The operator must mend them; a relay that runs keeps its old configuration.
    pub fn load(path: Option<&Path>, machine: &Machine) -> Result<LoadedConfig, Faults> {
        let Some(path) = find(path, machine) else {
            let folder = machine.working_folder.clone();
            let (config, warnings) =
                read(&Source { text: "", name: None, folder, open_to_others: false }, machine)?;
            return Ok(LoadedConfig { config, warnings, path: None });
        };
        let name = path.display().to_string();
        let full = machine.working_folder.join(&path);
        let fault = |place, what: String, instead: &str| {
            let (key, instead) = ("file".to_owned(), instead.to_owned());
            Faults(vec![Fault(Finding { place, key, what, instead }.line(Some(&name)))])
        };
        let (octets, open_to_others) = files::octets(&full, LONGEST).map_err(|what| {
            fault(SourcePlace::Start, what, "write the path of a file that the relay can read")
        })?;
        let text = String::from_utf8(octets).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = String::from_utf8_lossy(good);
            let place = SourcePlace::File(
                line.split('\n').count(),
                line.split('\n').next_back().map_or(0, |l| l.chars().count()) + 1,
            );
            fault(place, "this line is not UTF-8 text".to_owned(), "save the file as UTF-8")
        })?;
        let folder = full.parent().unwrap_or(&machine.working_folder).to_owned();
        let source = Source { text: &text, name: Some(name.clone()), folder, open_to_others };
        let (config, warnings) = read(&source, machine)?;
        Ok(LoadedConfig { config, warnings, path: Some(path) })
    }

    /// Reads a configuration from a text, with no environment, as if it stood in `folder/mailsluice.toml` of a machine
    /// named `localhost`.
    ///
    /// # Errors
    /// All faults at once.
    pub fn from_toml(text: &str, folder: &Path) -> Result<LoadedConfig, Faults> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let machine = Machine::bare(&folder);
        let name = Some("mailsluice.toml".to_owned());
        let (config, warnings) = read(&Source { text, name, folder, open_to_others: false }, &machine)?;
        Ok(LoadedConfig { config, warnings, path: None })
    }
}

/// The file to read. One that is named must be there; one of the usual ones is passed over only when it is not there.
fn find(path: Option<&Path>, machine: &Machine) -> Option<PathBuf> {
    let named = || machine.environment.get(FILE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    let is_there = |path: &&PathBuf| {
        let facts = std::fs::symlink_metadata(machine.working_folder.join(path));
        !facts.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    path.map(Path::to_owned).or_else(named).or_else(|| machine.usual_files.iter().find(is_there).cloned())
}

fn read(source: &Source<'_>, machine: &Machine) -> Result<(Config, Vec<Warning>), Faults> {
    let line = |finding: &Finding| finding.line(source.name.as_deref());
    let faults = |mut findings: Vec<Finding>| {
        findings.sort();
        findings.dedup();
        Faults(findings.iter().map(|finding| Fault(line(finding))).collect())
    };
    let mut tree = tree::parse(source.text).map_err(faults)?;
    let context = ReadContext::new(machine, source.folder.clone(), source.open_to_others);
    let wrong_names = overrides::apply(&mut tree, &machine.environment);
    context.faults.borrow_mut().extend(wrong_names);
    let config = sections(&context, &tree);
    let found = context.faults.take();
    if !found.is_empty() {
        return Err(faults(found));
    }
    let mut warnings = context.warnings.take();
    warnings.sort();
    Ok((config, warnings.iter().map(|finding| Warning(line(finding))).collect()))
}

/// Reads all sections. Where something is wrong, a fault is noted and any value stands in.
fn sections(context: &ReadContext<'_>, tree: &Table) -> Config {
    let mut root = Section::root(context, tree);
    let test_mode = switches::test_mode(root.section("test_mode"));
    let upstreams = upstream::read_all(&mut root, test_mode.capture_max);
    let listeners = listener::read_all(&mut root);
    let upstreams = check::upstreams(&root, upstreams, &listeners);
    let config = Config {
        hostname: top::hostname(&mut root),
        data_dir: top::data_dir(&mut root),
        shutdown_grace: top::shutdown_grace(&mut root),
        timezone: top::timezone(&mut root),
        watch: root.flag("watch").unwrap_or(false),
        log: switches::log(root.section("log")),
        listeners: listeners.into_iter().map(|placed| placed.listener).collect(),
        session: session::read(root.section("session")),
        queue: queue::read(root.section("queue")),
        test_mode,
        blacklist: switches::blacklist(root.section("blacklist")),
        upstreams: upstreams.into_iter().map(Arc::new).collect(),
        dkim: dkim::read_all(&mut root),
        users: user::read_all(&mut root),
    };
    root.finish();
    config
}

#[cfg(test)]
mod tests;
