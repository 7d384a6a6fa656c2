//! The commands of docs/operations.md do what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::service::{Outcome, Service};

const CONFIG: &str = "data_dir = \"lib/mailsluice\"\n[[listener]]\naddress = \"127.0.0.1:PORT\"\n\
    [[upstream]]\nname = \"main\"\nkind = \"capture\"\nenabled = false\n[upstream.limits]\nper_hour = { messages = 30 }\n";

/// The commands below a mark in the document.
fn commands(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = fs::read_to_string(file).unwrap();
    let block = text.split(&format!("<!-- tested: {name} -->\n```sh\n")).nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// A machine on which these commands mean the relay of this test.
struct Machine {
    service: Service,
    bin: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let service = Service::new(CONFIG);
        let bin = tempfile::tempdir().unwrap();
        let machine = Self { service, bin };
        let root = machine.root();
        for folder in ["lib", "backups"] {
            fs::create_dir(Path::new(&root).join(folder)).unwrap();
        }
        let program = env!("CARGO_BIN_EXE_mailsluice");
        machine.script("mailsluice", &format!("exec {program} --config {root}/mailsluice.toml \"$@\"\n"));
        machine.script("runuser", "[ \"$1 $2 $3\" = \"-u mailsluice --\" ]\nshift 3\nexec \"$@\"\n");
        let systemctl = format!(
            "case $1 in\n\
             start) mailsluice run >>{root}/log 2>&1 & echo $! >{root}/pid\n\
             until mailsluice status --json 2>/dev/null | grep -Eq '\"running\": ?true'; do kill -0 $(cat {root}/pid); sleep 0.1; done;;\n\
             stop) pid=$(cat {root}/pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done;;\n\
             *) exit 2;;\nesac\n"
        );
        machine.script("systemctl", &systemctl);
        machine
    }

    fn root(&self) -> String {
        self.service.folder.path().to_str().unwrap().to_owned()
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.bin.path().join(name);
        fs::write(&path, format!("#!/bin/sh\nset -e\n{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs commands of the document; each must succeed.
    fn run(&self, commands: &str) -> Outcome {
        let root = self.root();
        let commands = commands.replace("/var/lib/", &format!("{root}/lib/"));
        let commands = commands.replace("/var/backups/", &format!("{root}/backups/"));
        let path = format!("{}:{}", self.bin.path().display(), std::env::var("PATH").unwrap());
        let output = Command::new("sh").arg("-ec").arg(&commands).env("PATH", path).env("TZ", "UTC").output();
        let outcome: Outcome = output.unwrap().into();
        let log = fs::read_to_string(format!("{root}/log")).unwrap_or_default();
        assert_eq!(outcome.status, Some(0), "{commands}\n{outcome:?}\n{log}");
        outcome
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(format!("{}/pid", self.root())) {
            let _ = Command::new("kill").arg(pid.trim()).stderr(Stdio::null()).status();
        }
    }
}

#[test]
fn backup_restore_and_repair_go_as_they_are_written() {
    let machine = Machine::new();
    machine.run("systemctl start mailsluice");
    machine.service.submit("hello", &["a@there.example", "b@there.example"]);
    machine.run(&commands("backup"));
    machine.service.submit("later", &["c@there.example"]);
    let told = machine.run(&commands("restore")).out;
    assert!(told.contains("NEEDS A PERSON: the store is a backup of"), "{told}");
    assert_eq!(
        machine.service.totals()["queued"],
        2,
        "what came later is in the folder that was moved aside"
    );
    machine.run(&commands("release"));
    assert_eq!(machine.service.status()["queue"]["held"], 0);
    let told = machine.run(&commands("check")).out;
    assert!(told.contains("No damage was found: looked at 1 message"), "{told}");
    let told = machine.run(&commands("salvage")).out;
    assert!(told.contains("Saved 1 message for 2 recipients; no recipient is lost."), "{told}");
    let totals = machine.service.totals();
    assert_eq!((&totals["queued"], &totals["deleted"]), (&json!(2), &json!(0)));
    assert_eq!(machine.service.status()["queue"]["held"], 1);
    machine.run("systemctl stop mailsluice");
}

#[test]
fn the_unit_is_closed_as_the_document_says() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/mailsluice.service");
    let text = fs::read_to_string(unit).unwrap();
    for line in [
        "Type=notify",
        "ExecStart=/usr/bin/mailsluice run --config /etc/mailsluice/mailsluice.toml",
        "WatchdogSec=60s",
        "Environment=MAILSLUICE__DATA_DIR=/var/lib/mailsluice",
        "ProtectSystem=strict",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}");
    }
    // The relay reads the number of the boot there.
    assert!(!text.lines().any(|line| line.starts_with("ProcSubset")));
}
