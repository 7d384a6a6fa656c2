//! What the commands need, and what they say they have done.

use mailsluice::config::{Limits, Login, Upstream};

use super::*;

/// The command without `--config`, in a folder where nothing is, with these variables alone.
fn elsewhere(arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mailsluice"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Outcome {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn commands_need_the_data_folder_alone() {
    let relay = Relay::start();
    let secrets = "user = \"me\"\npassword = { env = \"NOT_SET_HERE\" }\n";
    let no_file = "user = \"me\"\npassword = { file = \"/no/such/file\" }\n";
    for fault in [secrets, no_file, "[log]\nlevel = \"loud\"\n", "[[upstream]\nhost =\n", "colour = 1\n"] {
        std::fs::write(relay.file(), format!("data_dir = \"data\"\n{fault}")).unwrap();
        for arguments in [
            &["status"][..],
            &["queue", "list"],
            &["test-mode", "status"],
            &["limits", "show"],
            &["upstream", "list"],
        ] {
            let done = relay.run(arguments);
            assert_eq!(done.status, Some(0), "{arguments:?} {fault} {done:?}");
        }
        assert_eq!(relay.run(&["check"]).status, Some(2), "{fault}");
    }
    assert_eq!(relay.run(&["upstream", "disable", "m365"]).status, Some(0));
    let folder = relay.state.config.data_dir.display().to_string();
    let by_flag = elsewhere(&["status", "--data-dir", &folder], &[]);
    let by_variable = elsewhere(&["status"], &[("MAILSLUICE__DATA_DIR", &folder)]);
    assert_eq!((by_flag.status, by_variable.status), (Some(0), Some(0)), "{by_flag:?} {by_variable:?}");
    std::fs::set_permissions(relay.file(), std::fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(relay.run(&["status", "--data-dir", &folder]).status, Some(0));
}

#[test]
fn without_a_configuration_the_paths_are_named() {
    for arguments in [&["check"][..], &["run"], &["status"]] {
        let done = elsewhere(arguments, &[]);
        assert_eq!(done.status, Some(if arguments == ["status"] { 1 } else { 2 }), "{done:?}");
        assert!(done.err.contains("no configuration was found at /"), "{done:?}");
        assert!(done.err.contains("/config/mailsluice.toml or /etc/mailsluice/mailsluice.toml"), "{done:?}");
        let ways = "name the relay's folder by --data-dir or MAILSLUICE__DATA_DIR, or its configuration by --config or \
                    MAILSLUICE_CONFIG";
        assert_eq!(done.err.contains(ways), arguments == ["status"], "{done:?}");
    }
    let told = elsewhere(&["check", "--json"], &[("MAILSLUICE__UPSTREAM__HSOT", "h")]);
    let fault = &told.json()["faults"][0];
    assert_eq!(
        fault,
        &json!({"file": null, "line": null, "column": null, "variable": "MAILSLUICE__UPSTREAM__HSOT", "key": "upstream.hsot",
            "text": "is not a key here", "instead": "write MAILSLUICE__UPSTREAM__HOST"})
    );
}

#[test]
fn check_finds_what_the_machine_would_refuse() {
    let relay = Relay::start();
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupied.local_addr().unwrap().port();
    for (data_dir, listener, want) in [
        ("data", format!("127.0.0.1:{port}"), ""),
        ("mailsluice.toml", "127.0.0.1:0".to_owned(), ":1:12: data_dir: "),
        ("mailsluice.toml/data", "127.0.0.1:0".to_owned(), "mailsluice.toml is not a folder: write "),
        (
            "data",
            "192.0.2.7:25".to_owned(),
            ":3:11: listener.address: 192.0.2.7 is not an address of this machine: ",
        ),
    ] {
        let text = format!(
            "data_dir = \"{data_dir}\"\n[[listener]]\naddress = \"{listener}\"\nrelay_from = [\"127.0.0.1\"]\n\
             [[upstream]]\nname = \"a\"\nkind = \"capture\"\n"
        );
        std::fs::write(relay.file(), text).unwrap();
        let checked = relay.run(&["check"]);
        assert_eq!(checked.status, Some(if want.is_empty() { 0 } else { 2 }), "{checked:?}");
        assert!(checked.err.contains(want), "{checked:?}");
        if !want.is_empty() {
            let run = relay.run(&["run"]);
            assert_eq!((run.status, run.err), (Some(2), checked.err), "check is run");
        }
    }
}

#[test]
fn warnings_say_that_they_are_warnings() {
    let relay = Relay::start();
    std::fs::write(
        relay.file(),
        CONFIG.replace("default = true", "default = true\nport = 465\nsecurity = \"starttls\""),
    )
    .unwrap();
    let checked = relay.run(&["check"]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
    let warning = checked.err.lines().find(|line| line.contains("upstream.security")).unwrap();
    assert!(warning.starts_with("warning: "), "{warning}");
    let told = relay.run(&["check", "--json"]);
    assert_eq!((told.err.as_str(), &told.json()["ok"]), ("", &json!(true)));
    assert!(told.json()["warnings"].to_string().contains("upstream.security"));
}

#[test]
fn check_says_how_sign_ins_are_protected() {
    let relay = Relay::start();
    let config = std::fs::read_to_string(relay.file()).unwrap();
    let sign_in = "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\nclient_id = \"x\"\n\
        flow = \"device_code\"\n";
    let key = "[secrets]\nkey = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n";
    for (more, is_told) in
        [(sign_in.to_owned(), true), (format!("{sign_in}{key}"), false), (key.to_owned(), false)]
    {
        std::fs::write(relay.file(), format!("{config}\n{more}")).unwrap();
        let checked = relay.run(&["check"]);
        assert_eq!(
            (checked.status, checked.out.contains("without encryption")),
            (Some(0), is_told),
            "{checked:?}"
        );
    }
}

#[test]
fn what_was_done_is_said() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false).to_string();
    for (arguments, said, outcome) in [
        (&["queue", "hold"][..], "is held until it is released or deleted", "held"),
        (&["queue", "release", "--to", "recipients"], "is released", "released"),
        (&["queue", "retry"], "is due now", "due"),
        (&["queue", "hold", "--json"], "", "held"),
        (&["queue", "release", "--to", "recipients", "--json"], "", "released"),
        (&["queue", "retry", "--json"], "", "due"),
        (&["queue", "delete", "--json"], "", "deleted"),
    ] {
        let done = relay.run(&[arguments, &[&id]].concat());
        assert_eq!(done.status, Some(0), "{arguments:?} {done:?}");
        if said.is_empty() {
            assert_eq!(done.json(), json!([{"queue_id": id, "outcome": outcome}]));
        } else {
            assert_eq!(done.out, format!("{id} {said}\n"), "{arguments:?}");
        }
    }
}

#[test]
fn nothing_that_matches_is_not_nothing_at_all() {
    let relay = Relay::start();
    assert_eq!(relay.run(&["queue", "list"]).out, "Nothing in the queue.\n");
    assert_eq!(relay.run(&["queue", "list", "--upstream", "off"]).out, "Nothing in the queue.\n");
    for n in 1..=4 {
        relay.enqueue(n, &["a@x.example"], false);
    }
    let none = relay.run(&["queue", "list", "--recipient", "nobody@x.example"]);
    assert_eq!((none.status, none.out.as_str()), (Some(0), "No message matches; 4 are in the queue.\n"));
    let listed = relay.run(&["queue", "list"]).out;
    assert!(listed.contains("4 messages: 4 ready"), "{listed}");
}

#[test]
fn a_message_is_known_by_its_id_and_subject() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false).to_string();
    let shown = relay.run(&["queue", "show", &id, "--json"]).json();
    assert_eq!((&shown["subject"], &shown["message_id"]), (&json!("x"), &json!(null)));
    assert!(relay.run(&["queue", "show", &id]).out.contains("Subject:      x\n"));
    // Behind more than a header section usually has, and with a body that nobody looks at.
    let far = format!("X-Far: {}\r\nMessage-ID: <a@b>\r\nSubject: far\r\n\r\n", "far\r\n ".repeat(20_000));
    let content = [far.as_bytes(), b"Subject: body\r\n".repeat(100_000).as_slice()].concat();
    let id = relay.enqueue_content(2, &["a@x.example"], false, content).to_string();
    let shown = relay.run(&["queue", "show", &id, "--json"]).json();
    assert_eq!((&shown["subject"], &shown["message_id"]), (&json!("far"), &json!("<a@b>")));
}

#[test]
fn status_tells_what_was_not_tried_and_who_needs_a_person() {
    let relay = Relay::start();
    let status = relay.run(&["status", "--check"]);
    assert_eq!(status.status, Some(0), "what is disabled in the file is meant: {status:?}");
    assert!(status.out.contains("not tried yet"), "{status:?}");
    let by_hand = relay.run(&["upstream", "disable", "m365"]);
    assert_eq!(by_hand.status, Some(0), "{by_hand:?}");
    assert_eq!(relay.run(&["status", "--check"]).status, Some(0), "and so is what was disabled by hand");
    assert_eq!(relay.run(&["upstream", "enable", "m365"]).status, Some(0));
    let stop = suspension(None, SuspensionKind::Stopped, None, "554 5.7.1 blocked");
    relay.runtime.block_on(relay.state.accounts.suspend(stop)).unwrap();
    let status = relay.run(&["status", "--check"]);
    assert_eq!(status.status, Some(1), "{status:?}");
    let want = "NEEDS A PERSON: upstream m365: 554 5.7.1 blocked:\n  mailsluice upstream enable m365\n";
    assert!(status.out.contains(want), "{status:?}");
    assert_eq!(relay.run(&["status"]).status, Some(0));
    assert_eq!(relay.run(&["status", "--json"]).json()["needs_a_person"].as_array().unwrap().len(), 1);
}

#[test]
fn status_tells_who_must_sign_in() {
    let relay = Relay::start();
    let mut config = (*relay.state.config).clone();
    let login = Login {
        user: Some("a@firm.example".to_owned()),
        oauth: Some("m365".into()),
        ..Login::anonymous(Limits::default())
    };
    let upstream = Upstream { accounts: vec![login], ..(*config.upstreams[0]).clone() };
    config.upstreams[0] = Arc::new(upstream);
    let _nobody = relay.state.sign_ins.feed("m365", Resource::Smtp);
    let mailbox = Arc::new(Mailbox::new(config.data_dir.join("captured"), 10));
    relay.state.accounts.configure(&config, &[], &relay.state.router, &mailbox);
    let status = relay.run(&["status", "--check"]);
    assert_eq!(status.status, Some(1), "{status:?}");
    let want = "NEEDS A PERSON: upstream m365 account a@firm.example: nobody has signed in yet\n  for m365: \
        run `mailsluice connect m365`\n";
    assert!(status.out.contains(want), "{status:?}");
    let listed = relay.run(&["upstream", "list", "--json"]).json()[0].clone();
    assert_eq!((&listed["state"], &listed["until"]), (&json!("sign_in"), &json!(null)), "{listed}");
    for of in [&listed, &listed["accounts"][0]] {
        assert_eq!(of["action"], json!("run `mailsluice connect m365`"), "{listed}");
        assert_eq!(of["reason"], json!("nobody has signed in yet for m365"), "{listed}");
    }
    let text = relay.run(&["upstream", "list"]).out;
    assert!(text.contains("sign_in") && text.contains("mailsluice connect m365"), "{text}");
}

#[test]
fn the_zone_of_times_is_named_once() {
    let relay = Relay::start();
    relay.enqueue(1, &["a@x.example"], false);
    relay.settle(relay.attempt());
    let output = relay.command(&["queue", "list"]).env("TZ", "Europe/Zurich").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("Europe/Zurich").count(), 1, "{text}");
    assert!(text.lines().last().unwrap().starts_with("Times are in Europe/Zurich (UTC+0"), "{text}");
}

#[test]
fn presets_are_listed_without_a_relay() {
    let text = elsewhere(&["presets"], &[]);
    assert_eq!(text.status, Some(0), "{text:?}");
    assert!(text.out.contains("smtp.office365.com"), "{text:?}");
    let json = elsewhere(&["presets", "--json"], &[]).json();
    let office = json.as_array().unwrap().iter().find(|preset| preset["name"] == json!("office365")).unwrap();
    assert_eq!((&office["port"], &office["security"]), (&json!(587), &json!("starttls")));
}
