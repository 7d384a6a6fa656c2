//! What the command tells of itself to shells and to `man`.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

const BIN: &str = env!("CARGO_BIN_EXE_mailsluice");

fn said(arguments: &[&str]) -> String {
    let output = Command::new(BIN).args(arguments).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every command, as `help` lists them.
fn commands() -> Vec<String> {
    let help = said(&["--help"]);
    let listed = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let name =
        |line: &str| line.strip_prefix("  ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    listed.lines().filter_map(name).filter(|name| !name.is_empty() && name != "help").collect()
}

#[test]
fn every_shell_has_its_completions() {
    let all = commands();
    assert!(all.len() > 20, "{all:?}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = said(&["completions", shell]);
        for command in &all {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
    }
    let unknown = Command::new(BIN).args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}

/// A real bash reads it, knows to complete the command by it, and completes a word.
#[test]
fn bash_completes_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("mailsluice");
    fs::write(&script, said(&["completions", "bash"])).unwrap();
    let bash = |words: &str| {
        let output =
            Command::new("bash").args(["--norc", "-c", words, "bash"]).arg(&script).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    bash("bash -n \"$1\"");
    assert!(bash("source \"$1\"; complete -p mailsluice").contains("mailsluice"));
    let asked = "source \"$1\"; COMP_WORDS=(mailsluice queue re); COMP_CWORD=2; \
        _mailsluice mailsluice re queue; printf '%s\\n' \"${COMPREPLY[@]}\"";
    assert_eq!(bash(asked), "retry\nrelease\n");
}

#[test]
fn every_command_has_a_page_that_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man/man1");
    for _ in 0..2 {
        // What an older version has left is replaced.
        said(&["man", "--out", out.to_str().unwrap()]);
    }
    let mut pages: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let names: Vec<_> =
        pages.iter().map(|page| page.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    for command in commands() {
        assert!(names.contains(&format!("mailsluice-{command}")), "{command}: {names:?}");
    }
    assert!(
        names.contains(&"mailsluice-queue-list".to_owned())
            && !names.iter().any(|name| name.contains("help"))
    );
    assert_eq!(fs::read_to_string(out.join("mailsluice.1")).unwrap(), said(&["man"]));
    let page = fs::read_to_string(out.join("mailsluice-queue-list.1")).unwrap();
    for part in [".TH", "MAILSLUICE-QUEUE-LIST", "\\-\\-recipient", "\\-\\-data\\-dir", "Example"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // Where there is a formatter, it takes each page without a word.
    for page in &pages {
        let text = fs::read(page).unwrap();
        let command = Command::new("groff")
            .args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut groff) = command else { return };
        groff.stdin.take().unwrap().write_all(&text).unwrap();
        let output = groff.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", page.display());
    }
}
