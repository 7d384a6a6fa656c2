//! `[[rule]]`, every key of it.

use super::super::*;
use super::{loaded, write};
use crate::config::{RuleCondition, TextTest, UserPriority};

#[test]
fn reads_every_key_of_a_rule() {
    let LoadedConfig { config, .. } = loaded(include_str!("../every_key.toml"));
    let [rule, all] = config.rules.as_slice() else { panic!("two rules") };
    let actions = &rule.actions;
    let texts = |mailboxes: &[crate::mail::NamedAddress]| {
        mailboxes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        actions.set_sender.as_ref().map(ToString::to_string).as_deref(),
        Some("Firm, Ltd <office@firm.example>")
    );
    assert_eq!(
        actions.set_reply_to.as_ref().map(ToString::to_string).as_deref(),
        Some("service@firm.example")
    );
    assert_eq!(
        (actions.set_upstream.as_deref(), actions.set_priority),
        (Some("office"), Some(UserPriority::Low))
    );
    assert_eq!(texts(&actions.add_cc), "c@firm.example");
    assert_eq!(texts(&actions.add_bcc), "d@firm.example; Archive <e@firm.example>");
    assert_eq!(actions.cc_from_header.as_deref(), Some("X-Clerk"));
    let edits: Vec<_> =
        actions.header.iter().map(|edit| (edit.name.as_str(), edit.value.as_deref())).collect();
    assert_eq!(edits, [("X-Internal", None), ("X-A", Some("b"))]);
    assert_eq!((actions.hold, actions.test, actions.last), (Some(false), Some(true), true));
    assert_eq!(actions.delay_until.map(|at| at.to_string()).as_deref(), Some("22:05-06:00"));
    assert_eq!(actions.reject.as_deref(), Some("no"));
    assert_eq!(
        (all.name.as_str(), &all.when, all.actions.hold),
        ("all-mail", &RuleCondition::All(Vec::new()), Some(true))
    );
}

#[test]
fn reads_every_condition() {
    let LoadedConfig { config, .. } = loaded(include_str!("../every_key.toml"));
    let mut kinds = Vec::new();
    config.rules[0].when.each(&mut |condition| {
        kinds.push(match condition {
            RuleCondition::All(all) => format!("all {}", all.len()),
            RuleCondition::Any(any) => format!("any {}", any.len()),
            RuleCondition::Not(_) => "not".to_owned(),
            RuleCondition::Header { name, text: TextTest::Equals(words) } => {
                format!("{name} {}", words.join(" "))
            }
            RuleCondition::Subject(TextTest::Contains(words)) => format!("subject {}", words.join(" ")),
            RuleCondition::Attachment(TextTest::Matches(patterns)) => {
                format!("attachment {:?}", patterns.iter().collect::<Vec<_>>())
            }
            RuleCondition::Sender(filters) => format!("sender {}", filters.len()),
            RuleCondition::Recipient(filters) => format!("recipient {}", filters.len()),
            RuleCondition::AllRecipients(filters) => format!("all_recipients {}", filters.len()),
            RuleCondition::User(users) => format!("user {}", users.join(" ")),
            RuleCondition::Listener(listeners) => format!("listener {}", listeners.join(" ")),
            RuleCondition::Client(nets) => format!("client {nets:?}"),
            RuleCondition::Size(size) => format!("size {:?} {:?}", size.over, size.under),
            other => panic!("{other:?}"),
        });
    });
    assert_eq!(
        kinds,
        [
            "all 9",
            "any 2",
            "X-Type Invoice offer",
            "subject R-",
            "not",
            r#"attachment [TextPattern(Regex("\\.exe$"))]"#,
            "sender 1",
            "recipient 2",
            "all_recipients 1",
            "user ERP",
            "listener [::1]:25",
            "client [10.0.0.0/8]",
            "size Some(1024) Some(4096)",
        ]
    );
}

#[test]
fn rules_that_never_take_effect_are_told() {
    let rule = |name: &str, keys: &str| format!("[[rule]]\nname = \"{name}\"\n{keys}\n");
    let erp = "when = { header = \"X-A\", equals = \"erp\" }";
    let both = "when = { all = [{ header = \"X-A\", equals = \"erp\" }, { sender = \"a@firm.example\" }] }";
    for (name, rules, want) in [
        ("apart", [rule("a", &format!("{erp}\nlast = true\nhold = true")), rule("b", "hold = false")], None),
        (
            "all before",
            [rule("a", "last = true\nhold = true"), rule("b", &format!("{erp}\nhold = false"))],
            Some("\"b\" is never asked: \"a\""),
        ),
        (
            "refused before",
            [rule("a", &format!("{erp}\nreject = \"no\"")), rule("b", &format!("{both}\nhold = false"))],
            Some("\"b\" is never asked: \"a\""),
        ),
        (
            "refused in part",
            [rule("a", &format!("{both}\nreject = \"no\"")), rule("b", &format!("{erp}\nhold = false"))],
            None,
        ),
        (
            "undone",
            [
                rule("a", &format!("{both}\nhold = true\nadd_bcc = \"x@firm.example\"")),
                rule("b", &format!("{erp}\nhold = false")),
            ],
            Some("hold of \"a\" has no effect: \"b\" sets it anew"),
        ),
        (
            "undone in part",
            [rule("a", &format!("{erp}\nhold = true")), rule("b", &format!("{both}\nhold = false"))],
            None,
        ),
        (
            "the last",
            [
                rule("a", &format!("{erp}\nhold = true\nlast = true")),
                rule("b", &format!("{both}\nreject = \"no\"")),
            ],
            Some("\"b\" is never asked"),
        ),
        (
            "kept",
            [rule("a", &format!("{erp}\nhold = true\nlast = true")), rule("b", "set_priority = \"low\"")],
            None,
        ),
        ("other settings", [rule("a", "hold = true"), rule("b", "set_priority = \"low\"")], None),
        (
            "refuses and sets",
            [rule("a", &format!("{erp}\nreject = \"no\"\nhold = true")), rule("b", "hold = false")],
            Some("\"a\" refuses the mail, so that nothing else of it takes effect: hold"),
        ),
    ] {
        let text = format!("[[upstream]]\nname = \"a\"\nhost = \"a.example\"\n{}", rules.concat());
        let told: Vec<String> = loaded(&text).warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), usize::from(want.is_some()), "{name}: {told:?}");
        assert!(want.is_none_or(|want| told[0].contains(want)), "{name}: {told:?}");
    }
}

#[test]
fn what_no_mail_gets_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("sales.txt"), "Sales\n", 0o600);
    let upstream = "[[upstream]]\nname = \"a\"\nhost = \"a.example\"\n";
    let signature = "[[signature]]\nname = \"sales\"\ntext = \"sales.txt\"\n";
    for (rest, count) in [("", 1), ("[[rule]]\nname = \"r\"\nsignature = \"Sales\"\n", 0)] {
        let text = format!("{upstream}{signature}{rest}");
        let told = Config::from_toml(&text, folder.path()).unwrap().warnings;
        assert_eq!(told.len(), count, "{told:?}");
        assert!(
            told.iter().all(|line| line.to_string().contains("\"sales\" is named by no rule")),
            "{told:?}"
        );
    }
}
