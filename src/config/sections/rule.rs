//! `[[rule]]`

use super::rule_condition::{self, field_name};
use super::rule_names::RuleNames;
use super::{rule_header, switches};
use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::words::{one_of, quoted};
use crate::config::{Rule, RuleActions, Schedule, TestMode, UserPriority};
use crate::mail::NamedAddress;

/// The longest text of a refusal, in characters: it must fit into a reply.
const LONGEST_TEXT: usize = 400;
/// What a rule can do.
const ACTIONS: [&str; 15] = [
    "set_sender",
    "set_reply_to",
    "set_upstream",
    "set_priority",
    "add_cc",
    "add_bcc",
    "cc_from_header",
    "set_header",
    "drop_header",
    "signature",
    "hold",
    "test",
    "delay_until",
    "reject",
    "last",
];
const WRITE_MAILBOX: &str = r#"write "office@firm.example" or "Firm Ltd <office@firm.example>""#;

/// A rule, and what it names that stands elsewhere.
pub(in crate::config) struct ReadRule {
    pub(in crate::config) rule: Rule,
    /// Where its name stands.
    pub(in crate::config) place: SourcePlace,
    pub(in crate::config) names: RuleNames,
}

/// All rules, in their order.
pub(in crate::config) fn read_all(root: &mut Section<'_>, test_mode: &TestMode) -> Vec<ReadRule> {
    let mut rules = Vec::new();
    for mut section in root.sections("rule") {
        let name = super::name(&mut section, r#"write what the log is to call it, such as "invoices""#);
        let place = section.place_of("name");
        let mut names = RuleNames::default();
        let has_when = section.has("when");
        let when = section
            .inner("when", r#"write a condition such as { header = "X-Document-Type", equals = "invoice" }"#);
        let when =
            if has_when { rule_condition::read(when, &mut names) } else { rule_condition::everything(when) };
        let actions = actions(&mut section, &mut names, test_mode);
        rules.push(ReadRule { rule: Rule { name, when, actions }, place, names });
        section.finish();
    }
    rules
}

fn actions(section: &mut Section<'_>, names: &mut RuleNames, test_mode: &TestMode) -> RuleActions {
    if !ACTIONS.iter().any(|key| section.has(key)) {
        let instead = format!("write {}", one_of(ACTIONS));
        section.fault_of_all("does nothing", &instead);
    }
    let priorities =
        [("low", UserPriority::Low), ("normal", UserPriority::Normal), ("high", UserPriority::High)];
    let upstream =
        section.text("set_upstream", "the name of an upstream", "write the name of one").map(str::to_owned);
    let signature =
        section.text("signature", "the name of a signature", "write the name of one").map(str::to_owned);
    names.signature = signature.clone().map(|name| (section.place_of("signature"), name));
    names.upstream = upstream.clone().map(|name| (section.place_of("set_upstream"), name));
    RuleActions {
        set_sender: mailbox(section, "set_sender"),
        set_reply_to: mailbox(section, "set_reply_to"),
        set_upstream: upstream,
        set_priority: section.choice("set_priority", &priorities),
        add_cc: mailboxes(section, "add_cc"),
        add_bcc: mailboxes(section, "add_bcc"),
        cc_from_header: field_name(section, "cc_from_header"),
        header: rule_header::read(section),
        signature,
        hold: section.flag("hold"),
        test: switches::test(section, test_mode),
        delay_until: section.parsed(
            "delay_until",
            "a time of day",
            r#"write one such as "22:00", or hours such as "22:00-06:00""#,
            Schedule::parse,
        ),
        reject: section.parsed(
            "reject",
            "a text of one line",
            r#"write why, such as "external mail is not for you""#,
            reason,
        ),
        last: section.flag("last").unwrap_or(false),
    }
}

/// What can stand in every message: upstreams without SMTPUTF8 are many.
fn of_ascii(section: &Section<'_>, (place, key): (&SourcePlace, &str), text: &str) -> Option<NamedAddress> {
    let Some(mailbox) = NamedAddress::parse(text) else {
        section.fault(place, key, &format!("{} is not a mail address", quoted(text)), WRITE_MAILBOX);
        return None;
    };
    if !mailbox.address.is_ascii() {
        let what = format!(
            "{} is not ASCII, and could not be put into every message",
            quoted(mailbox.address.as_str())
        );
        section.fault(place, key, &what, "write another address");
        return None;
    }
    Some(mailbox)
}

fn mailbox(section: &mut Section<'_>, key: &'static str) -> Option<NamedAddress> {
    let text = section.text(key, "a mail address", WRITE_MAILBOX)?;
    of_ascii(section, (&section.place_of(key), key), text)
}

fn mailboxes(section: &mut Section<'_>, key: &'static str) -> Vec<NamedAddress> {
    let texts = section.one_or_more_texts(key).unwrap_or_default();
    texts.iter().filter_map(|(place, text)| of_ascii(section, (place, key), text)).collect()
}

fn reason(text: &str) -> Option<String> {
    let text = text.trim();
    let fits =
        !text.is_empty() && text.chars().count() <= LONGEST_TEXT && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}
