//! The blacklist by many entries: files, searches, and what reports say.

use std::fs;

use serde_json::json;

use super::Relay;

#[test]
fn a_file_goes_in_and_comes_out_as_it_was() {
    let relay = Relay::start();
    let file = relay.folder.path().join("list.csv");
    fs::write(
        &file,
        "\u{feff}email;reason;expires\r\nAnna@Firm.Example;ist weg, sagt Max;\r\n@gone.example;'=1+1;2099-01-31\r\n\
         not an address;;\r\n*.bad.example;;never\r\nold@firm.example;;2001-01-31\r\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let imported = relay.run(&["blacklist", "import", path]);
    assert_eq!(imported.status, Some(1), "{imported:?}");
    assert_eq!(imported.out, "3 entries added, 1 expired already, and not taken, 1 not understood\n");
    assert!(imported.err.contains("list.csv:4: `not an address`: write local@domain"), "{imported:?}");

    let exported = relay.run(&["blacklist", "export"]);
    assert_eq!(exported.status, Some(0), "{exported:?}");
    let lines: Vec<&str> = exported.out.split("\r\n").collect();
    assert_eq!(lines[0], "address,reason,source,added,expires");
    assert!(lines[1].starts_with("*.bad.example,imported,manual,20"), "{lines:?}");
    assert!(lines[2].starts_with("@gone.example,'=1+1,manual,20"), "{lines:?}");
    assert!(lines[3].starts_with("anna@firm.example,\"ist weg, sagt Max\",manual,20"), "{lines:?}");

    // Into a relay that has none of it, and out again.
    let other = Relay::start();
    fs::write(&file, &exported.out).unwrap();
    let again = other.run(&["--json", "blacklist", "import", path]);
    assert_eq!((again.status, &again.json()["added"]), (Some(0), &json!(3)), "{again:?}");
    let twice = other.run(&["blacklist", "import", path]);
    assert_eq!(twice.out, "0 entries added, 3 there already\n");
    let out = other.run(&["blacklist", "export"]).out;
    // What is shown of an end is as true as two clocks that are read one after the other.
    let without_ends = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect()
    };
    assert_eq!(without_ends(&out), without_ends(&exported.out));
    assert_eq!(out.matches("2099-01-3").count() + out.matches("2099-02-01").count(), 1, "{out}");
}

#[test]
fn what_is_no_file_of_entries_is_told() {
    let relay = Relay::start();
    let file = relay.folder.path().join("list.csv");
    let path = file.to_str().unwrap();
    for (content, told) in [
        (&b"name,phone\nAnna,1\n"[..], "there is no column with addresses: name it `address`"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"\xe4@firm.example\n", "list.csv:1: the text is not UTF-8"),
    ] {
        fs::write(&file, content).unwrap();
        let imported = relay.run(&["blacklist", "import", path]);
        assert!(imported.status == Some(1) && imported.err.contains(told), "{imported:?}");
    }
    let missing = relay.run(&["blacklist", "import", "/nowhere/list.csv"]);
    assert!(missing.status == Some(1) && missing.err.contains("/nowhere/list.csv"), "{missing:?}");
    assert_eq!(relay.run(&["blacklist", "list"]).out, "The blacklist is empty.\n");
}

#[test]
fn a_long_list_is_searched_and_shown_in_pages() {
    let relay = Relay::start();
    let file = relay.folder.path().join("list.csv");
    let lines: Vec<String> =
        (0..12_345).map(|n| format!("a{n:05}@d{}.example,reason {n}\n", n % 10)).collect();
    let text = lines.concat();
    fs::write(&file, text).unwrap();
    let imported = relay.run(&["blacklist", "import", file.to_str().unwrap()]);
    assert_eq!(imported.out, "12345 entries added\n", "{imported:?}");
    let count = |arguments: &[&str]| {
        let all = [&["blacklist", "list", "--json"], arguments].concat();
        relay.run(&all).json().as_array().unwrap().len()
    };
    for (arguments, want) in [
        (&[][..], 12_345),
        (&["--limit", "1500"], 1_500),
        (&["--search", "@d3.ex"], 1_235),
        (&["--search", "a00042@"], 1),
        (&["--search", "REASON 1234"], 6),
        (&["--search", "nobody"], 0),
    ] {
        assert_eq!(count(arguments), want, "{arguments:?}");
    }
    assert_eq!(
        relay.run(&["blacklist", "list", "--search", "nobody"]).out,
        "Nothing on the blacklist fits.\n"
    );
    let lines = relay.run(&["blacklist", "export"]).out.lines().count();
    assert_eq!(lines, 12_346);
    let shown = relay.run(&["blacklist", "list"]).out;
    assert_eq!(shown.lines().filter(|line| line.starts_with("ADDRESS")).count(), 1, "one head for all pages");
}

#[test]
fn what_reports_say_is_listed() {
    let relay = Relay::start();
    assert_eq!(relay.run(&["blacklist", "add", "local@firm.example"]).status, Some(0));
    let before = ["blacklist", "learn", "--dry-run", "--json", "tests/reports/qmail.eml"];
    let planned = relay.run(&before);
    assert_eq!(planned.status, Some(0), "{planned:?}");
    let done = |outcome: &super::Outcome| -> Vec<(String, String)> {
        let all = outcome.json().as_array().unwrap().clone();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
        all.iter().map(|one| (text(&one["recipient"]), text(&one["done"]))).collect()
    };
    let want = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|&(to, what)| (to.to_owned(), what.to_owned())).collect()
    };
    let passed = [("full@customer.example", "passed_over"), ("silent@customer.example", "passed_over")];
    let first = [("anna@customer.example", "would_add"), ("local@firm.example", "would_add")];
    assert_eq!(done(&planned), want(&[&first[..], &passed].concat()));
    assert_eq!(
        relay.run(&["blacklist", "check", "anna@customer.example"]).status,
        Some(1),
        "nothing was done"
    );

    let learned =
        relay.run(&["blacklist", "learn", "--json", "tests/reports/qmail.eml", "tests/reports/mail.eml"]);
    assert_eq!(learned.status, Some(0), "{learned:?}");
    let first = [("anna@customer.example", "added"), ("local@firm.example", "kept")];
    assert_eq!(done(&learned), want(&[&first[..], &passed, &[("-", "passed_over")]].concat()));
    let checked = relay.run(&["blacklist", "check", "anna@customer.example", "--json"]).json();
    assert_eq!(checked["entry"]["source"], json!("learned"));
    assert!(
        checked["entry"]["expires_at"].is_string()
            && checked["entry"]["reason"].to_string().contains("550 5.1.1")
    );
    let kept = relay.run(&["blacklist", "check", "local@firm.example", "--json"]).json();
    assert_eq!(kept["entry"]["source"], json!("manual"));

    // All samples, as a folder with a file for each message.
    let all = relay.run(&["blacklist", "learn", "tests/reports"]);
    assert_eq!(all.status, Some(0), "{all:?}");
    assert!(all.out.contains("Read 14 messages: 11 reports, "), "{all:?}");
    assert!(!all.out.contains("victim@"), "{all:?}");
    let missing = relay.run(&["blacklist", "learn", "/nowhere"]);
    assert!(missing.status == Some(1) && missing.err.contains("/nowhere"), "{missing:?}");
}
