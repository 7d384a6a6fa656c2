//! What the documents say is so. `mailsluice check` accepts every configuration that the project shows: the shipped one, the
//! examples, and those in the documents.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]
#![allow(clippy::disallowed_methods, reason = "a test writes where it likes")]

#[path = "documented/commands.rs"]
mod commands;
#[path = "documented/events.rs"]
mod events;
#[path = "documented/interface.rs"]
mod interface;
#[path = "documented/metrics.rs"]
mod metrics;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

const BLOCK: &str = "```toml\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files in a folder that end so.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(end));
    files.sort();
    files
}

/// Runs `mailsluice check`; each secret that the file wants from the environment is there.
fn check(file: &Path) -> Output {
    let text = fs::read_to_string(file).unwrap();
    let secrets = text.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next());
    Command::new(env!("CARGO_BIN_EXE_mailsluice"))
        .env_clear()
        .envs(secrets.map(|name| (name, "secret")))
        // What is said of a machine's bare name is none of the file's business.
        .env("MAILSLUICE__HOSTNAME", "relay.firm.example")
        // Nor is whether whoever runs this may write where the relay's user may.
        .env("MAILSLUICE__DATA_DIR", std::env::temp_dir())
        .args(["check", "--config"])
        .arg(file)
        .output()
        .unwrap()
}

/// What `check` has against a file; nothing when it accepts it without a warning.
fn complaints(file: &Path) -> Option<String> {
    let output = check(file);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success() || !said.is_empty()).then(|| format!("{}: {said}", file.display()))
}

/// The file of a service account, as Google gives it.
fn service_account() -> String {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    json!({ "client_email": "relay@firm.iam.example", "private_key": pem }).to_string()
}

#[test]
fn the_shipped_configuration_and_all_examples() {
    let mut all = files("config/examples", ".toml");
    assert!(all.len() >= 5, "only {} examples", all.len());
    all.push(root().join("config/mailsluice.toml"));
    let wrong: Vec<String> = all.iter().filter_map(|file| complaints(file)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn configurations_in_documents() {
    let folder = tempfile::tempdir().unwrap();
    let account = folder.path().join("service-account.json");
    fs::write(&account, service_account()).unwrap();
    fs::set_permissions(account, Permissions::from_mode(0o600)).unwrap();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for document in files("docs", ".md") {
        let text = fs::read_to_string(&document).unwrap();
        for block in text.split(BLOCK).skip(1) {
            let block = block.split("```").next().unwrap();
            // A piece without an upstream is no configuration.
            if !block.contains("[[upstream]]") {
                continue;
            }
            seen += 1;
            let name = document.file_stem().unwrap().to_string_lossy();
            let file = folder.path().join(format!("{name}-{seen}.toml"));
            fs::write(&file, block).unwrap();
            wrong.extend(complaints(&file));
        }
    }
    assert!(seen >= 5, "only {seen} were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_key_that_is_wrong_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mailsluice.toml");
    fs::write(&file, "[[upstream]]\nname = \"a\"\nkind = \"capture\"\nfalback = [\"b\"]\n").unwrap();
    assert!(complaints(&file).is_some_and(|said| said.contains("fallback")));
}
