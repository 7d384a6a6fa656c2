//! `mailsluice dkim generate`

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::super::context::CliContext;
use super::super::failure::Failure;
use super::super::relay_user::warn_of_closed;
use super::keys::{RecordJson, name};
use crate::config::{ConfigPlace, dkim_key_name, fits_the_dns, signing_key};
use crate::dkim::{KeyTerm, NewKey, OwnKey, RsaLength, generate};
use crate::folder;
use crate::mail::DomainKey;
use crate::report::log::escape::printable;

#[derive(Debug, Args)]
pub(in crate::cli) struct GenerateOptions {
    /// The domain that signs, that of the From addresses
    #[arg(long, value_parser = name)]
    domain: DomainKey,
    /// The name of the key below it, such as s2026
    #[arg(long, value_parser = name)]
    selector: DomainKey,
    /// What all receivers read is rsa; ed25519 is shorter, to be used beside it
    #[arg(long = "type", value_name = "TYPE", default_value = "rsa")]
    key_type: TypeWord,
    /// The length of an RSA key [default: 2048]
    #[arg(long, value_name = "BITS")]
    bits: Option<BitsWord>,
    /// Where to write it [default: certs/dkim/DOMAIN.SELECTOR.pem beside the configuration]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TypeWord {
    Rsa,
    Ed25519,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BitsWord {
    #[value(name = "2048")]
    Bits2048,
    #[value(name = "3072")]
    Bits3072,
    #[value(name = "4096")]
    Bits4096,
}

/// What was made, and what is to be done with it.
#[derive(Debug, Serialize)]
struct Generated {
    file: PathBuf,
    domain: String,
    selector: String,
    /// What belongs into the configuration.
    entry: String,
    record: RecordJson,
}

/// Makes a key in a file of its own. Neither the relay nor a whole configuration is needed.
pub(super) fn execute(options: &GenerateOptions, context: &CliContext) -> Result<(), Failure> {
    let GenerateOptions { domain, selector, .. } = options;
    let kind = new_key(options)?;
    if !fits_the_dns(&dkim_key_name(domain, selector.as_str())) {
        return Err(Failure::Wrong(format!("the selector {selector} is too long for a name of the DNS")));
    }
    let place = KeyPlace::of(options, context);
    if place.file.symlink_metadata().is_ok() {
        return Err(there_already(&place.file));
    }
    let failed = |error: anyhow::Error| {
        Failure::Failed(error.context(format!("cannot write {}", place.file.display())))
    };
    let pem = generate(kind).map_err(|error| Failure::Failed(error.into()))?;
    let private = signing_key(pem.expose_secret()).map_err(|error| failed(error.into()))?;
    let folder = place.folder();
    let made = folder::make_for_owner(&folder, 0o700).map_err(|error| failed(error.into()))?;
    match folder::create_file(&place.file, pem.expose_secret().as_bytes(), 0o600) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(there_already(&place.file));
        }
        Err(error) => return Err(failed(error.into())),
    }
    warn_of_closed(made.unwrap_or(&place.file), context);
    let key = OwnKey::new(domain.clone(), selector.to_string(), &private, KeyTerm::default());
    let generated = Generated {
        entry: entry(&key, &place.written),
        domain: domain.to_string(),
        selector: key.selector.clone(),
        record: RecordJson::new(&key.record(), &key.public),
        file: place.file,
    };
    context.print_value(&generated, &text(&generated))
}

fn there_already(file: &Path) -> Failure {
    Failure::new(format!(
        "there is a file already, and it stays as it is: {}; choose another --selector, or another file by --out",
        file.display()
    ))
}

fn new_key(options: &GenerateOptions) -> Result<NewKey, Failure> {
    match (options.key_type, options.bits) {
        (TypeWord::Ed25519, None) => Ok(NewKey::Ed25519),
        (TypeWord::Ed25519, Some(_)) => {
            Err(Failure::Wrong("--bits is for --type rsa alone: all Ed25519 keys have one length".to_owned()))
        }
        (TypeWord::Rsa, bits) => Ok(NewKey::Rsa(match bits.unwrap_or(BitsWord::Bits2048) {
            BitsWord::Bits2048 => RsaLength::Bits2048,
            BitsWord::Bits3072 => RsaLength::Bits3072,
            BitsWord::Bits4096 => RsaLength::Bits4096,
        })),
    }
}

/// Where a key goes.
struct KeyPlace {
    /// The file, relative to the working folder.
    file: PathBuf,
    /// The same as the configuration names it: relative to its own folder, or whole.
    written: PathBuf,
}

impl KeyPlace {
    fn of(options: &GenerateOptions, context: &CliContext) -> Self {
        let machine = context.machine();
        let (ConfigPlace::Taken(config) | ConfigPlace::Free(config)) =
            ConfigPlace::find(context.config.as_deref(), &machine);
        let folder = config.parent().unwrap_or(Path::new(""));
        let Some(out) = &options.out else {
            let written = PathBuf::from(format!("certs/dkim/{}.{}.pem", options.domain, options.selector));
            return Self { file: folder.join(&written), written };
        };
        let whole = machine.working_folder.join(out);
        let beside = whole.strip_prefix(machine.working_folder.join(folder)).map(Path::to_owned);
        Self { file: out.clone(), written: beside.unwrap_or(whole) }
    }

    fn folder(&self) -> PathBuf {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).to_owned()
    }
}

/// `[[dkim]]`, as it is to stand in the configuration.
fn entry(key: &OwnKey, file: &Path) -> String {
    // The library knows what TOML wants quoted, and how.
    let text = |text: &str| toml::Value::String(text.to_owned());
    format!(
        "[[dkim]]\ndomain = {}\nselector = {}\nkey = {{ file = {} }}\n",
        text(key.domain.as_str()),
        text(&key.selector),
        text(&file.display().to_string())
    )
}

/// The path stands first, alone on its line.
fn text(generated: &Generated) -> String {
    let Generated { file, entry, record, domain, .. } = generated;
    let entry: Vec<String> = entry.lines().map(printable).collect();
    format!(
        "{}\n\nFor the configuration (with from = \"2027-01-01\", say, it begins to sign on that day):\n\n{}\n\n\
        For the DNS of {domain}:\n\n{}\n\
        Then `mailsluice dkim check {domain}` tells whether it is published, and `mailsluice reload` lets it sign.\n",
        printable(&file.display().to_string()),
        entry.join("\n"),
        record.text(),
    )
}
