//! `mailsluice init` without a terminal: what it writes, and what it does not. (With one: `tests/outside/test_init.py`.)

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]
#![allow(clippy::disallowed_methods, reason = "a test writes where it likes")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn mailsluice(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mailsluice"))
        .args(arguments)
        .env_clear()
        .env("MAILSLUICE__HOSTNAME", "relay.firm.example")
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `init` with these flags writes to m.toml; `check` accepts it.
fn written(folder: &Path, flags: &[&str]) -> String {
    let made = mailsluice(folder, &[&["init", "--config", "m.toml"], flags].concat());
    assert_eq!(made.status.code(), Some(0), "{flags:?}: {}", said(&made));
    let checked = mailsluice(folder, &["check", "--config", "m.toml"]);
    let text = fs::read_to_string(folder.join("m.toml")).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{text}{}", said(&checked));
    text
}

#[test]
fn office_365_in_ten_lines() {
    let folder = tempfile::tempdir().unwrap();
    let text = written(folder.path(), &["--preset", "office365", "--address", "a@firm.example"]);
    assert!(text.lines().count() <= 10, "{text}");
    for line in
        ["preset = \"office365\"", "user = \"a@firm.example\"", "tenant = \"firm.example\"", "client_id = "]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.contains("# ") && !text.contains("password"), "{text}");
    // That there is no application yet is said by `check`, and stops nothing.
    let checked = mailsluice(folder.path(), &["check", "--config", "m.toml"]);
    assert!(said(&checked).contains("oauth.client_id"), "{}", said(&checked));
}

#[test]
fn microsoft_graph_wants_a_mailbox() {
    let folder = tempfile::tempdir().unwrap();
    let text = written(folder.path(), &["--preset", "office365-graph", "--address", "a@firm.example"]);
    for line in
        ["preset = \"office365-graph\"", "mailbox = \"a@firm.example\"", "oauth = \"office365-graph\""]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.lines().count() <= 10 && !text.contains("user = "), "{text}");
}

#[test]
fn every_way_of_every_provider_passes() {
    let mut seen = 0;
    for (preset, address) in [
        ("office365", "a@firm.example"),
        ("office365-graph", "a@firm.example"),
        ("gmail", "a@gmail.example"),
        ("gmx", "a@gmx.example"),
        ("ses", "AKIA"),
    ] {
        for way in ["device_code", "authorization_code", "client_credentials", "password"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("hush"), "s3cr3t-canary\n").unwrap();
            fs::set_permissions(folder.path().join("hush"), fs::Permissions::from_mode(0o600)).unwrap();
            let flags = [
                "--preset",
                preset,
                "--address",
                address,
                "--sign-in",
                way,
                "--secret-file",
                "hush",
                "--client-id",
                "1234-5678",
            ];
            let host =
                if preset == "ses" { &["--host", "email-smtp.eu-west-1.amazonaws.com"][..] } else { &[] };
            let flags = [&flags[..], host].concat();
            let is_possible = match preset {
                "office365" => true,
                "office365-graph" => way != "password",
                "gmail" => ["authorization_code", "password"].contains(&way),
                _ => way == "password",
            };
            if is_possible {
                let text = written(folder.path(), &flags);
                assert!(!text.contains("s3cr3t-canary"), "{text}");
                seen += 1;
            } else {
                let refused =
                    mailsluice(folder.path(), &[&["init", "--config", "m.toml"], &flags[..]].concat());
                assert_eq!(refused.status.code(), Some(2), "{preset} {way}: {}", said(&refused));
                assert!(said(&refused).contains("--sign-in"), "{}", said(&refused));
                assert!(!folder.path().join("m.toml").exists());
            }
        }
    }
    assert_eq!(seen, 11);
}

#[test]
fn what_is_missing_is_wrong_use_and_named() {
    for (flags, missing) in [
        (&[][..], "--preset and --address"),
        (&["--preset", "office365"], "--address"),
        (&["--address", "a@firm.example"], "--preset"),
        (&["--preset", "gmx", "--address", "a@gmx.example"], "--secret-file"),
        (&["--preset", "ses", "--address", "AKIA"], "--host"),
        (
            &["--preset", "gmail", "--address", "a@gmail.example", "--sign-in", "authorization_code"],
            "--client-id and --secret-file",
        ),
        (&["--preset", "office356", "--address", "a@firm.example"], "--preset: \"office356\""),
        (&["--preset", "office365", "--address", "a"], "--address: "),
        (&["--preset", "office365", "--address", "a@firm.example", "--sign-in", "magic"], "--sign-in"),
        (
            &["--preset", "gmx", "--address", "a@gmx.example", "--secret-file", "/no/such/file"],
            "/no/such/file",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let refused = mailsluice(folder.path(), &[&["init"], flags].concat());
        assert_eq!(refused.status.code(), Some(2), "{flags:?}: {}", said(&refused));
        assert!(said(&refused).contains(missing), "{flags:?}: {}", said(&refused));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{flags:?}");
    }
}

#[test]
fn an_application_may_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--preset", "office365", "--address", "a@firm.example", "--sign-in", "client_credentials"];
    let text = written(folder.path(), &flags);
    assert!(text.contains("client_secret = { file = \"office365.client_secret\" }"), "{text}");
    let mode = fs::metadata(folder.path().join("office365.client_secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn nothing_is_ever_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["init", "--preset", "office365", "--address", "a@firm.example"];
    fs::create_dir(folder.path().join("config")).unwrap();
    let usual = folder.path().join("config/mailsluice.toml");
    for (arguments, file) in [
        (&flags[..], &usual),
        (&[&flags[..], &["--config", "own.toml"]].concat(), &folder.path().join("own.toml")),
    ] {
        let made = mailsluice(folder.path(), arguments);
        assert_eq!(made.status.code(), Some(0), "{}", said(&made));
        for mode in [0o644, 0o000] {
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
            let again = mailsluice(folder.path(), arguments);
            assert_eq!(again.status.code(), Some(1), "{}", said(&again));
            assert!(said(&again).contains(file.file_name().unwrap().to_str().unwrap()), "{}", said(&again));
        }
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(fs::read_to_string(file).unwrap().contains("office365"));
    }
    std::os::unix::fs::symlink("nowhere", folder.path().join("link.toml")).unwrap();
    let link = mailsluice(folder.path(), &[&flags[..], &["--config", "link.toml"]].concat());
    assert_eq!(link.status.code(), Some(1), "{}", said(&link));
}

#[test]
fn in_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let made = mailsluice(
        folder.path(),
        &["init", "--json", "--preset", "office365", "--address", "a@firm.example"],
    );
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(made["file"], "config/mailsluice.toml");
    assert_eq!((&made["secret_file"], &made["connect"]), (&serde_json::Value::Null, &"office365".into()));
}
