//! What a person should look at, and what only a shell would understand.

use super::*;

fn warnings(text: &str) -> Vec<String> {
    loaded(text).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_preset_without_a_login_is_told() {
    for (keys, is_told) in [
        ("preset = \"office365\"", true),
        ("preset = \"office365\"\nuser = \"me\"\npassword = \"x\"", false),
        ("preset = \"office365\"\n[[upstream.account]]\nuser = \"me\"\npassword = \"x\"", false),
        ("preset = \"office365\"\nauth = \"none\"", false),
        ("preset = \"office365\"\nhost = \"firm-example.mail.protection.outlook.com\"", false),
        ("preset = \"google-relay\"", false),
    ] {
        let told = warnings(&format!("[[upstream]]\nname = \"a\"\n{keys}\n"));
        let want = "mailsluice.toml:3:10: upstream.preset: \"office365\" takes mail of those alone who log in, and there is \
                    no user: write user and password";
        assert_eq!(told, Vec::from_iter(is_told.then_some(want)), "{keys}");
    }
}

#[test]
fn users_who_can_log_in_nowhere_are_told() {
    let user = format!("{SOLE}[[user]]\nname = \"erp\"\npassword = \"x\"\n");
    let told = warnings(&user);
    assert_eq!(told.len(), 1);
    let want = "user: no listener takes logins, so that \"erp\" has no use: write auth = \"optional\" or \"required\" in \
                [[listener]]";
    assert!(told[0].starts_with("mailsluice.toml:4:") && told[0].ends_with(want), "{told:?}");
    assert_eq!(warnings(&format!("{user}[[listener]]\nauth = \"optional\"\n")), Vec::<String>::new());
}

#[test]
fn a_password_with_a_blank_at_its_end_is_told_and_not_shown() {
    for (password, count) in [("hush", 0), ("hu sh", 0), ("hush ", 1), (" hush", 1), ("hush\\t", 1)] {
        let told = warnings(&format!("{SOLE}user = \"me\"\npassword = \"{password}\"\n"));
        assert_eq!(told.len(), count, "{password:?} {told:?}");
        assert!(
            told.iter().all(|line| line.contains(":5:12: upstream.password: begins or ends with a blank"))
        );
        assert!(!told.concat().contains("hush"));
    }
}

#[test]
fn port_465_in_clear_text_is_told() {
    for (keys, is_told) in [
        ("port = 465\nsecurity = \"none\"", true),
        ("port = 465", false),
        ("port = 25\nsecurity = \"none\"", false),
    ] {
        let told = warnings(&format!("{SOLE}{keys}\n"));
        assert_eq!(told.len(), usize::from(is_told), "{told:?}");
        assert!(
            told.iter().all(|line| line.contains("upstream.security: is \"none\", and port 465 speaks TLS"))
        );
    }
}

#[test]
fn copies_that_the_provider_keeps_by_itself_are_told_and_not_made() {
    for (preset, is_kept) in
        [("office365", true), ("gmail", true), ("google-workspace", true), ("fastmail", false)]
    {
        let text = format!(
            "[[upstream]]\nname = \"a\"\npreset = \"{preset}\"\nuser = \"me\"\npassword = \"x\"\n\
             [upstream.sent_copy]\nimap = \"imap.firm.example\"\n"
        );
        let want = format!(
            "mailsluice.toml:7:8: upstream.sent_copy.imap: \"{preset}\" keeps copies of what it sends by itself, so that \
             none is made: remove [upstream.sent_copy]"
        );
        assert_eq!(warnings(&text), Vec::from_iter(is_kept.then_some(want)));
        let config = loaded(&text).config;
        let folder =
            smtp(&config.upstreams[0]).sent_copy.as_ref().map(|copies| (copies.port, copies.folder.as_str()));
        assert_eq!(folder, (!is_kept).then_some((993, "Sent")), "{preset}");
    }
}

#[test]
fn a_port_of_imap_that_speaks_otherwise_is_told() {
    for (keys, is_told) in [
        ("imap = \"h:993\"\nsecurity = \"starttls\"", true),
        ("imap = \"h:143\"\nsecurity = \"tls\"", true),
        ("imap = \"h\"\nsecurity = \"starttls\"", false),
        ("imap = \"h:1993\"", false),
    ] {
        let told =
            warnings(&format!("{SOLE}user = \"me\"\npassword = \"x\"\n[upstream.sent_copy]\n{keys}\n"));
        assert_eq!(told.len(), usize::from(is_told), "{keys} {told:?}");
        assert!(told.iter().all(|line| line.contains("upstream.sent_copy.security: is \"")), "{told:?}");
    }
}

#[test]
fn what_can_never_take_effect_is_told() {
    const LISTENER: &str = "[[listener]]\nauth = \"optional\"\n";
    let user = |keys: &str| format!("{SOLE}{LISTENER}[[user]]\nname = \"erp\"\npassword = \"x\"\n{keys}\n");
    for (text, want) in [
        (
            user("max_message_size = \"36MiB\""),
            Some("user.max_message_size: 36MiB is more than max_message_size of [session], 35MiB"),
        ),
        (user("max_message_size = \"35MiB\""), None),
        (user("max_message_size = \"36MiB\"\n[session]\nmax_message_size = \"40MiB\""), None),
        (
            user("default_sender = \"a@b.example\"\nreplace_foreign_sender = true"),
            Some("user.replace_foreign_sender: replaces no sender"),
        ),
        (
            user(
                "default_sender = \"a@b.example\"\nsenders = [\"b.example\"]\nreplace_foreign_sender = true",
            ),
            None,
        ),
        (format!("{SOLE}fallback_on = [\"quota\"]\n"), Some("upstream.fallback_on: has no effect")),
        (format!("{SOLE}fallback_after = \"1m\"\n"), Some("upstream.fallback_after: has no effect")),
        (
            format!(
                "{SOLE}default = true\nfallback_after = \"1m\"\nfallback = [\"b\"]\n[[upstream]]\nname = \"b\"\nhost = \"b.example\""
            ),
            None,
        ),
    ] {
        let told = warnings(&text);
        assert_eq!(told.len(), usize::from(want.is_some()), "{text} {told:?}");
        assert!(want.is_none_or(|want| told[0].contains(want)), "{told:?}");
    }
}
