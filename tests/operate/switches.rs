//! What commands switch is written into the configuration file, or kept where that can't be.

use crate::service::{Service, names};

const CONFIG: &str = "\
# The relay of the firm.
data_dir = \"data\" # beside this file

[[listener]]
address = \"127.0.0.1:PORT\"

[[upstream]]
name = \"first\"
kind = \"capture\"
default = true # for all others

[[upstream]]
name = \"second\"
kind = \"capture\"
filter = [\"other.example\"]
# the end
";

fn upstream(service: &Service, name: &str) -> serde_json::Value {
    let all = service.run(&["upstream", "list", "--json"]).done().json();
    all.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
}

#[test]
fn switches_are_written_into_the_file() {
    let mut service = Service::new(CONFIG);
    service.start();
    let before = service.text();
    service.run(&["upstream", "default", "second"]).done();
    let want = before.replace("default = true # for", "default = false # for");
    let want = want.replace("\"other.example\"]\n", "\"other.example\"]\ndefault = true\n");
    assert_eq!(service.text(), want);
    assert_eq!(upstream(&service, "second")["default"], true);
    assert_eq!(upstream(&service, "first")["default"], false);

    service.run(&["upstream", "disable", "first"]).done();
    assert_eq!(service.text(), want.replace("for all others\n", "for all others\nenabled = false\n"));
    let off = upstream(&service, "first");
    assert_eq!((off["state"].as_str(), off["not_in_file"].as_str()), (Some("disabled"), None));
    service.run(&["upstream", "enable", "first"]).done();
    assert_eq!(service.text(), want.replace("for all others\n", "for all others\nenabled = true\n"));
    assert_eq!(upstream(&service, "first")["state"], "up");

    service.run(&["test-mode", "on", "--address", "me@firm.example"]).done();
    assert!(
        service.text().ends_with("\n[test_mode]\nenabled = true\naddress = \"me@firm.example\"\n"),
        "{}",
        service.text()
    );
    let mode = service.run(&["test-mode", "status", "--json"]).done().json();
    assert_eq!(
        (&mode["enabled"], &mode["origin"], &mode["not_in_file"]),
        (&true.into(), &"command".into(), &().into())
    );
    service.run(&["test-mode", "off"]).done();
    assert!(service.text().contains("enabled = false\naddress"), "{}", service.text());
    // All of it holds behind a restart, by the file alone.
    service.stop();
    service.run(&["check"]).done();
    service.start();
    assert_eq!(upstream(&service, "second")["default"], true);
    let mode = service.run(&["test-mode", "status", "--json"]).done().json();
    assert_eq!(mode["enabled"], false);
    assert_eq!(names(service.folder.path()), ["data", "mailsluice.toml"], "nothing else is left behind");
}

#[test]
fn a_file_that_was_edited_is_never_overwritten() {
    let mut service = Service::new(CONFIG);
    service.start();
    for edited in [service.text() + "# mine\n", "no = [\n".to_owned()] {
        std::fs::write(service.file(), &edited).unwrap();
        for arguments in [
            &["upstream", "default", "second"][..],
            &["upstream", "disable", "first"],
            &["test-mode", "on", "--action", "hold"],
        ] {
            let outcome = service.run(arguments);
            assert_eq!(outcome.status, Some(1), "{outcome:?}");
            assert!(outcome.err.contains("is no longer the file that the relay has read"), "{outcome:?}");
        }
        assert_eq!(service.text(), edited);
        let mode = service.run(&["test-mode", "status", "--json"]).done().json();
        assert_eq!((&mode["enabled"], &upstream(&service, "first")["state"]), (&false.into(), &"up".into()));
    }
    // What needs no change of the file is done.
    service.run(&["upstream", "enable", "first"]).done();
    std::fs::write(service.file(), CONFIG.replace("PORT", &service.port.to_string()) + "# mine\n").unwrap();
    service.run(&["reload"]).done();
    service.run(&["upstream", "default", "second"]).done();
    assert!(service.text().ends_with("# the end\n# mine\n"), "{}", service.text());
}

#[test]
fn where_the_file_does_not_count_the_store_keeps_the_switch_and_status_says_so() {
    let mut service = Service::new(CONFIG);
    let overridden =
        [("MAILSLUICE__TEST_MODE__ENABLED", "false"), ("MAILSLUICE__TEST_MODE__ADDRESS", "it@firm.example")];
    service.start_with(&overridden);
    let before = service.text();
    service.run(&["test-mode", "on"]).done();
    let status = service.run(&["status"]).done().out;
    let words = "it is on by command; in the configuration it is off, and was not changed: MAILSLUICE__TEST_MODE__ENABLED of";
    assert!(
        status.replace('\n', " ").split_whitespace().collect::<Vec<_>>().join(" ").contains(words),
        "{status}"
    );
    assert_eq!(service.text(), before);
    service.stop();
    service.start_with(&overridden);
    assert_eq!(service.run(&["test-mode", "status", "--json"]).done().json()["enabled"], true);
}

#[test]
fn without_a_way_to_write_it_the_default_holds_over_restarts() {
    let list = "data_dir = \"data\"\nlistener = [{ address = \"127.0.0.1:PORT\" }]\n\
                upstream = [{ name = \"first\", kind = \"capture\", default = true, enabled = false }, \
                { name = \"second\", kind = \"capture\" }]\n";
    let mut service = Service::new(list);
    let inline = service.text();
    service.start();
    block(&service);
    for (arguments, name, words) in [
        (
            ["upstream", "default", "second"],
            "second",
            "it is the default by command; in the configuration it is first",
        ),
        (
            ["upstream", "enable", "first"],
            "first",
            "it is enabled by command; the configuration has enabled = false",
        ),
        (["upstream", "disable", "second"], "second", "it is disabled by command"),
    ] {
        service.run(&arguments).done();
        let told = upstream(&service, name)["not_in_file"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains(words) && told.contains("can't be written"), "{told}");
    }
    assert_eq!(service.text(), inline);
    service.stop();
    service.start();
    assert_eq!(upstream(&service, "second")["default"], true);
    assert_eq!(upstream(&service, "first")["state"], "up");
    // The file says something else: that is in force.
    std::fs::write(
        service.file(),
        inline
            .replace("kind = \"capture\" }", "kind = \"capture\", default = false }")
            .replace("default = true, enabled = false", "default = true, enabled = true"),
    )
    .unwrap();
    service.run(&["reload"]).done();
    assert!(upstream(&service, "first")["not_in_file"].is_null());
}

/// The relay can't replace its file from now on, not even as root: what it would write first has the name of a folder.
fn block(service: &Service) {
    let id = service.process_id();
    std::fs::create_dir(service.folder.path().join(format!(".mailsluice.toml.{id}"))).unwrap();
}
