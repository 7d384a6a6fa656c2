//! Finds the file, reads it, applies the environment, and checks everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{Fault, Faults, Finding, SourcePlace, Warning};
use super::machine::Machine;
use super::reader::{ReadContext, Section, UnknownKey};
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

/// The file that is read.
pub(super) enum ConfigFile {
    /// One that is named, or one of the usual ones that is there.
    At(PathBuf),
    /// None of these is there.
    Nowhere(Vec<PathBuf>),
}

/// A file's text and what else we know about it.
struct Source<'t> {
    text: &'t str,
    /// What findings call it; `None` when there is no file.
    name: Option<String>,
    /// What relative paths are relative to. Absolute.
    folder: PathBuf,
    /// The files that were looked for in vain.
    tried: Vec<PathBuf>,
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
        let path = match find(path, machine) {
            ConfigFile::At(path) => path,
            ConfigFile::Nowhere(tried) => {
                let folder = machine.working_folder.clone();
                let nothing = Source { text: "", name: None, folder, tried, open_to_others: false };
                let (config, warnings) = read(&nothing, machine)?;
                return Ok(LoadedConfig { config, warnings, path: None });
            }
        };
        let name = path.display().to_string();
        let full = machine.working_folder.join(&path);
        let (octets, open_to_others) = octets(&path, machine)?;
        let text = String::from_utf8(octets).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = String::from_utf8_lossy(good);
            let place = SourcePlace::File(
                line.split('\n').count(),
                line.split('\n').next_back().map_or(0, |l| l.chars().count()) + 1,
            );
            of_file(&path, place, "this line is not UTF-8 text", "save the file as UTF-8")
        })?;
        let folder = full.parent().unwrap_or(&machine.working_folder).to_owned();
        let source =
            Source { text: &text, name: Some(name.clone()), folder, tried: Vec::new(), open_to_others };
        let (config, warnings) = read(&source, machine)?;
        Ok(LoadedConfig { config, warnings, path: Some(path) })
    }

    /// Reads a configuration from a text, with no environment, as if it stood in `folder/mailsluice.toml` of a machine
    /// named `relay.example`.
    ///
    /// # Errors
    /// All faults at once.
    pub fn from_toml(text: &str, folder: &Path) -> Result<LoadedConfig, Faults> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let machine = Machine::bare(&folder);
        let name = Some("mailsluice.toml".to_owned());
        let (config, warnings) =
            read(&Source { text, name, folder, tried: Vec::new(), open_to_others: false }, &machine)?;
        Ok(LoadedConfig { config, warnings, path: None })
    }
}

/// The file to read. One that is named must be there; one of the usual ones is passed over only when it is not there.
pub(super) fn find(path: Option<&Path>, machine: &Machine) -> ConfigFile {
    let named = || machine.environment.get(FILE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    let is_there = |path: &&PathBuf| {
        let facts = std::fs::symlink_metadata(machine.working_folder.join(path));
        !facts.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    let usual = || machine.usual_files.iter().find(is_there).cloned();
    let tried = || machine.usual_files.iter().map(|file| machine.working_folder.join(file)).collect();
    path.map(Path::to_owned)
        .or_else(named)
        .or_else(usual)
        .map_or_else(|| ConfigFile::Nowhere(tried()), ConfigFile::At)
}

/// The octets of the file, and whether others can read it.
pub(super) fn octets(path: &Path, machine: &Machine) -> Result<(Vec<u8>, bool), Faults> {
    const INSTEAD: &str = "write the path of a file that the relay can read";
    files::octets(&machine.working_folder.join(path), LONGEST)
        .map_err(|what| of_file(path, SourcePlace::Start, &what, INSTEAD))
}

/// A fault of the file as such.
fn of_file(path: &Path, place: SourcePlace, what: &str, instead: &str) -> Faults {
    let (key, what, instead) = ("file".to_owned(), what.to_owned(), instead.to_owned());
    Faults(vec![Fault(Finding { place, key, what, instead }.line(Some(&path.display().to_string())))])
}

fn read(source: &Source<'_>, machine: &Machine) -> Result<(Config, Vec<Warning>), Faults> {
    let line = |finding: &Finding| finding.line(source.name.as_deref());
    let faults = |mut findings: Vec<Finding>| {
        findings.sort();
        findings.dedup();
        Faults(findings.iter().map(|finding| Fault(line(finding))).collect())
    };
    let mut tree = tree::parse(source.text).map_err(faults)?;
    let mut context = ReadContext::new(machine, source.folder.clone(), source.open_to_others);
    context.tried.clone_from(&source.tried);
    let wrong_names = overrides::apply(&mut tree, &machine.environment);
    context.faults.borrow_mut().extend(wrong_names);
    let config = sections(&context, &tree);
    let mut found = context.faults.take();
    found.extend(unknown_keys(&context));
    if !found.is_empty() {
        return Err(faults(found));
    }
    let mut warnings = context.warnings.take();
    warnings.sort();
    Ok((config, warnings.iter().map(|finding| Warning(line(finding))).collect()))
}

/// A configuration in which all sections stand that may be repeated, so that each can tell its keys.
const ALL_SECTIONS: &str = "[[listener]]\n[[upstream]]\n[[upstream.account]]\n[[dkim]]\n[[user]]\n";

/// A fault for each key that no section knows where it stands.
fn unknown_keys(context: &ReadContext<'_>) -> Vec<Finding> {
    let unknown = context.unknown.take();
    if unknown.is_empty() {
        return Vec::new();
    }
    // What the file does not have has not told its keys yet.
    let sample = ReadContext::new(context.machine, context.folder.clone(), false);
    let tree = tree::parse(ALL_SECTIONS).unwrap_or_default();
    sections(&sample, &tree);
    let known = sample.known.into_inner();
    let fault = |UnknownKey { place, section, key }: UnknownKey| Finding {
        place,
        instead: known.advice(&section, &key),
        key: section.name(&key),
        what: "is not a key here".to_owned(),
    };
    unknown.into_iter().map(fault).collect()
}

/// Reads all sections. Where something is wrong, a fault is noted and any value stands in.
fn sections(context: &ReadContext<'_>, tree: &Table) -> Config {
    let mut root = Section::root(context, tree);
    let test_mode = switches::test_mode(root.section("test_mode"));
    let upstreams = upstream::read_all(&mut root, test_mode.capture_max);
    let listeners = listener::read_all(&mut root);
    let sign_ins: Vec<String> = root
        .sections("oauth")
        .iter()
        .filter_map(|sign_in| sign_in.written("name").map(|(_, name)| name.to_owned()))
        .collect();
    check::named_sign_ins(&root, &upstreams, &sign_ins);
    let upstreams = check::upstreams(&root, upstreams, &listeners);
    let config = Config {
        hostname: top::hostname(&mut root),
        data_dir: top::data_dir(&mut root),
        control_group: top::control_group(&mut root),
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
    check::hostname(&root, &config);
    root.finish();
    config
}

#[cfg(test)]
mod tests;
