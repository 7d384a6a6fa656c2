//! Finds the file, reads it, applies the environment, and checks everything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::TextDigest;
use super::fault::{Fault, Faults, Finding, SourcePlace, Warning};
use super::known_keys::KnownKeys;
use super::lines::Lines;
use super::machine::Machine;
use super::reader::{MissingKey, ReadContext, Section, UnknownKey};
use super::sections::{
    alert, console, dkim, dns, history, limit_group, listener, oauth, queue, rule, secrets, session,
    signature, smime, switches, top, upstream, user,
};
use super::tree::Table;
use super::{Config, check, files, overrides, syntax, tree};

/// The longest configuration file, in octets.
pub(super) const LONGEST: u64 = 1 << 20;
/// The variable that names the file.
const FILE_VARIABLE: &str = "MAILSLUICE_CONFIG";
const WRITE_FILE: &str = "write the path of a file that the relay can read";

/// A configuration that was read, and how.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    /// What a person should look at.
    pub warnings: Vec<Warning>,
    /// The file, as it was named; `None` when there was none.
    pub path: Option<PathBuf>,
    /// The files that it names, and that were read with it: secrets, certificates, keys.
    pub files: Vec<PathBuf>,
    /// Of the file's text; `None` when there was none.
    pub digest: Option<TextDigest>,
}

/// Where the configuration is, or would be. Relative to the working folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigPlace {
    /// This file is read, or at least there is something of its name.
    Taken(PathBuf),
    /// There is none; a new one would be read here.
    Free(PathBuf),
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

impl ConfigPlace {
    /// The place that [`Config::load`] would read, or else the one where a new file would be read.
    #[must_use]
    pub fn find(path: Option<&Path>, machine: &Machine) -> Self {
        let is_there = |path: &Path| std::fs::symlink_metadata(machine.working_folder.join(path)).is_ok();
        let has_folder =
            |path: &&PathBuf| machine.working_folder.join(path).parent().is_some_and(Path::is_dir);
        match find(path, machine) {
            ConfigFile::At(path) if is_there(&path) => Self::Taken(path),
            ConfigFile::At(path) => Self::Free(path),
            ConfigFile::Nowhere(_) => {
                let usual = machine.usual_files.iter().find(has_folder).or(machine.usual_files.first());
                Self::Free(usual.cloned().unwrap_or_else(|| PathBuf::from("mailsluice.toml")))
            }
        }
    }
}

impl Config {
    /// Reads the configuration: the file at `path`, else the one that `MAILSLUICE_CONFIG` names, else the first of
    /// the usual files that is there, else none; then the environment's `MAILSLUICE__…`.
    ///
    /// Does no more than looking: nothing is made, no port is taken, nobody is connected to. Blocks on the file system.
    ///
    /// # Errors
    /// All faults at once. The operator must mend them; a relay that runs keeps its old configuration.
    pub fn load(path: Option<&Path>, machine: &Machine) -> Result<LoadedConfig, Faults> {
        let path = match find(path, machine) {
            ConfigFile::At(path) => path,
            ConfigFile::Nowhere(tried) => {
                let folder = machine.working_folder.clone();
                let nothing = Source { text: "", name: None, folder, tried, open_to_others: false };
                return read(&nothing, machine);
            }
        };
        let (octets, open_to_others) = octets(&path, machine, WRITE_FILE)?;
        let text = String::from_utf8(octets).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = String::from_utf8_lossy(good);
            let place = Lines::of(&line).place(line.len());
            of_file(&path, place, "this line is not UTF-8 text", "save the file as UTF-8")
        })?;
        judged(path, &text, open_to_others, machine)
    }

    /// Reads a configuration from a text as if it stood in the file at `path`.
    ///
    /// # Errors
    /// All faults at once.
    pub(super) fn judge(path: &Path, text: &str, machine: &Machine) -> Result<LoadedConfig, Faults> {
        let (_, open_to_others) = octets(path, machine, WRITE_FILE)?;
        judged(path.to_owned(), text, open_to_others, machine)
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
        read(&Source { text, name, folder, tried: Vec::new(), open_to_others: false }, &machine)
    }
}

fn judged(
    path: PathBuf,
    text: &str,
    open_to_others: bool,
    machine: &Machine,
) -> Result<LoadedConfig, Faults> {
    let full = machine.working_folder.join(&path);
    let folder = full.parent().unwrap_or(&machine.working_folder).to_owned();
    let name = Some(path.display().to_string());
    let source = Source { text, name, folder, tried: Vec::new(), open_to_others };
    let digest = Some(TextDigest::of(text.as_bytes()));
    Ok(LoadedConfig { path: Some(path), digest, ..read(&source, machine)? })
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
pub(super) fn octets(path: &Path, machine: &Machine, instead: &str) -> Result<(Vec<u8>, bool), Faults> {
    files::octets(&machine.working_folder.join(path), LONGEST)
        .map_err(|what| of_file(path, SourcePlace::Start, &what, instead))
}

/// A fault of the file as such.
pub(super) fn of_file(path: &Path, place: SourcePlace, what: &str, instead: &str) -> Faults {
    let (key, what, instead) = ("file".to_owned(), what.to_owned(), instead.to_owned());
    faults(&[Finding { place, key, what, instead }], &[], Some(&path.display().to_string()))
}

/// All findings about a file, each once and in its order.
pub(super) fn faults(found: &[Finding], warnings: &[Finding], file: Option<&str>) -> Faults {
    Faults {
        all: in_order(found).map(|finding| Fault(finding.of_file(file))).collect(),
        warnings: in_order(warnings).map(|finding| Warning(finding.of_file(file))).collect(),
        file: file.map(str::to_owned),
    }
}

fn in_order(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().collect::<BTreeSet<_>>().into_iter()
}

fn read(source: &Source<'_>, machine: &Machine) -> Result<LoadedConfig, Faults> {
    let name = source.name.as_deref();
    let mut tree = tree::parse(source.text)
        .map_err(|errors| faults(&syntax::explain(source.text, &errors, &known_keys()), &[], name))?;
    let mut context = ReadContext::new(machine, source.folder.clone(), source.open_to_others);
    context.tried.clone_from(&source.tried);
    let wrong_names = overrides::apply(&mut tree, &machine.environment);
    context.faults.borrow_mut().extend(wrong_names);
    let config = sections(&context, &tree);
    let mut found = context.faults.take();
    found.extend(keys(&context));
    let mut warnings = context.warnings.take();
    let is_named = |name: &str| {
        name == FILE_VARIABLE || source.text.contains(name) || machine.environment.values().any(|v| v == name)
    };
    let known = || known_keys().names().collect();
    warnings.extend(overrides::single_underscores(&machine.environment, is_named, known));
    let told = faults(&found, &warnings, name);
    if !told.all.is_empty() {
        return Err(told);
    }
    let files = context.files.take().into_iter().collect();
    Ok(LoadedConfig { config, warnings: told.warnings, path: None, files, digest: None })
}

/// A configuration in which all sections stand that may be repeated, so that each can tell its keys.
const ALL_SECTIONS: &str = "[[listener]]\n[[upstream]]\n[[upstream.account]]\n[[dkim]]\n[[user]]\n[[rule]]\n[[oauth]]\n\
    [[signature]]\n[[smime]]\n[[limit_group]]\n[[api_token]]\n";

/// The keys of all sections, whether a configuration has them or not.
fn known_keys() -> KnownKeys {
    // Nothing of this machine is looked at.
    let machine = Machine::bare(Path::new("/"));
    let sample = ReadContext::new(&machine, machine.working_folder.clone(), false);
    let tree = tree::parse(ALL_SECTIONS).unwrap_or_default();
    sections(&sample, &tree);
    sample.known.into_inner()
}

/// A fault for each key that no section knows where it stands, and for each that is missing, unless it is there by a
/// wrong name.
fn keys(context: &ReadContext<'_>) -> Vec<Finding> {
    let (unknown, missing) = (context.unknown.take(), context.missing.take());
    let known = if unknown.is_empty() { KnownKeys::default() } else { known_keys() };
    let mut meant_by_wrong_names = Vec::new();
    let mut found = Vec::new();
    for UnknownKey { place, section, section_place, key } in unknown {
        let meant = known.meant(&section, &key);
        let instead = match &place {
            SourcePlace::Environment(name) => meant.advice_for_variable(name, &section, &key),
            _ => meant.advice(&section),
        };
        found.push(Finding { place, key: section.name(&key), what: "is not a key here".to_owned(), instead });
        meant_by_wrong_names.extend(meant.key().map(|key| (section_place, key)));
    }
    let is_there = |missing: &MissingKey| {
        let is_it = |(place, key): &(SourcePlace, String)| {
            *place == missing.section_place && *key == missing.finding.key
        };
        meant_by_wrong_names.iter().any(is_it)
    };
    found.extend(missing.into_iter().filter(|missing| !is_there(missing)).map(|missing| missing.finding));
    found
}

/// Reads all sections. Where something is wrong, a fault is noted and any value stands in.
fn sections(context: &ReadContext<'_>, tree: &Table) -> Config {
    let mut root = Section::root(context, tree);
    let test_mode = switches::test_mode(root.section("test_mode"));
    let mut upstreams = upstream::read_all(&mut root, test_mode.capture_max);
    let limit_groups = limit_group::read_all(&mut root);
    check::limit_groups(&root, limit_groups, &mut upstreams);
    let listeners = listener::read_all(&mut root);
    let sign_ins = oauth::read_all(&mut root);
    let sign_ins = check::sign_ins(&root, sign_ins, &upstreams);
    let upstreams = check::upstreams(&root, upstreams, &listeners);
    let signatures = signature::read_all(&mut root);
    let signatures = check::signatures(&root, signatures);
    check::machine::listeners(&root, &listeners);
    let api_tokens = console::tokens(&mut root);
    let console = console::read(&mut root, &api_tokens, &listeners);
    let session = session::read(root.section("session"));
    let upstream_count = upstreams.len();
    let mut config = Config {
        hostname: top::hostname(&mut root),
        data_dir: top::data_dir(&mut root),
        control_group: top::control_group(&mut root),
        shutdown_grace: top::shutdown_grace(&mut root),
        timezone: top::timezone(&mut root),
        language: top::language(&mut root),
        watch: root.flag("watch").unwrap_or(false),
        complete_addresses: top::complete_addresses(&mut root),
        log: switches::log(root.section("log")),
        listeners: listeners.into_iter().map(|placed| placed.listener).collect(),
        queue: queue::read(root.section("queue")),
        users: user::read_all(&mut root, &test_mode, session.max_message_size),
        session,
        test_mode,
        blacklist: switches::blacklist(root.section("blacklist")),
        history: history::read(&mut root),
        upstreams: upstreams.into_iter().map(Arc::new).collect(),
        dkim: dkim::read_all(&mut root),
        dns: dns::read(root.section("dns")),
        smime: smime::read_all(&mut root),
        signatures,
        rules: Vec::new(),
        sign_ins,
        secrets: secrets::read(root.section("secrets")),
        alert: alert::read(root.section("alert"), upstream_count),
        console,
        api_tokens,
    };
    let rules = rule::read_all(&mut root, &config.test_mode);
    config.rules = check::rules::check(&root, rules, &config);
    check::hostname(&root, &config);
    check::users(&root, &config);
    check::without_effect(&root, &config);
    check::machine::data_dir(&root, &config.data_dir);
    root.finish();
    config
}

#[cfg(test)]
mod tests;
