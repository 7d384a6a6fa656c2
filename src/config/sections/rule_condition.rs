//! `when` of `[[rule]]`: conditions, and conditions in conditions.

use super::rule_names::RuleNames;
use super::{filters_of, networks};
use crate::config::fault::SourcePlace;
use crate::config::names::is_field_name;
use crate::config::reader::Section;
use crate::config::words::{one_of, quoted};
use crate::config::{ByteSize, Filter, RuleCondition, SizeTest, TextPattern, TextTest};

/// How deep conditions may stand in each other.
const DEEPEST: usize = 8;
/// The longest regular expression, in octets.
const LONGEST_PATTERN: usize = 1_000;

/// What a condition can be about.
const KINDS: [&str; 13] = [
    "all",
    "any",
    "not",
    "header",
    "subject",
    "attachment",
    "sender",
    "recipient",
    "all_recipients",
    "user",
    "listener",
    "client",
    "size",
];
/// How texts are compared.
const COMPARISONS: [&str; 3] = ["equals", "contains", "matches"];
const WRITE_CONDITION: &str =
    r#"write one such as { header = "X-Document-Type", equals = "invoice" } or { user = "erp" }"#;
const WRITE_LIST: &str = r#"write a list such as [{ user = "erp" }, { recipient = "firm.example" }]"#;
const WRITE_COMPARISON: &str = r#"write equals, contains or matches, such as matches = "." for any value"#;

/// A condition; one that is wrong holds for every message.
pub(super) fn read(section: Section<'_>, names: &mut RuleNames) -> RuleCondition {
    at_depth(section, names, 1)
}

/// No condition at all; the keys of one are known all the same.
pub(super) fn everything(mut section: Section<'_>) -> RuleCondition {
    let nothing = of_keys(&mut section, &mut RuleNames::default(), 1);
    section.finish();
    nothing
}

fn at_depth(mut section: Section<'_>, names: &mut RuleNames, depth: usize) -> RuleCondition {
    let there: Vec<&str> = KINDS.into_iter().filter(|kind| section.has(kind)).collect();
    let has_comparison = COMPARISONS.iter().any(|key| section.has(key));
    match there.as_slice() {
        _ if depth > DEEPEST => {
            let instead =
                format!("write it with at most {DEEPEST} conditions in each other, or as several rules");
            section.fault_of_all("has conditions too deep in each other", &instead);
            return RuleCondition::All(Vec::new());
        }
        [] if has_comparison => {
            section.missing("header", r#"write the name of a header field, such as "X-Document-Type""#);
        }
        [] if section.is_empty() => section.fault_of_all("says nothing", WRITE_CONDITION),
        [] | [_] => {}
        several => {
            let what = format!(
                "has {} conditions: {}",
                several.len(),
                one_of(several.iter().copied()).replace(" or ", " and ")
            );
            section
                .fault_of_all(&what, "write { all = [ … ] } or { any = [ … ] } with each in { } of its own");
        }
    }
    if has_comparison && !section.has("header") && !there.is_empty() {
        section.fault_of_all("compares texts, and names no header field", WRITE_CONDITION);
    }
    let condition = of_keys(&mut section, names, depth);
    section.finish();
    condition
}

/// Reads all keys, so that each of them is known, and takes the condition of the one that is there.
fn of_keys(section: &mut Section<'_>, names: &mut RuleNames, depth: usize) -> RuleCondition {
    let mut found = Vec::new();
    let each = |inner: Vec<Section<'_>>, names: &mut RuleNames| {
        inner.into_iter().map(|inner| at_depth(inner, names, depth + 1)).collect::<Vec<_>>()
    };
    let (has_all, has_any) = (section.has("all"), section.has("any"));
    let all = section.all_alike("all", WRITE_LIST);
    found.extend(has_all.then(|| RuleCondition::All(each(all, names))));
    let any = section.all_alike("any", WRITE_LIST);
    found.extend(has_any.then(|| RuleCondition::Any(each(any, names))));
    let not = section.alike("not", WRITE_CONDITION).map(|inner| at_depth(inner, names, depth + 1));
    found.extend(not.map(|inner| RuleCondition::Not(Box::new(inner))));
    let header = field_name(section, "header");
    let text = text_test(section, section.has("header"));
    found.extend(header.zip(text).map(|(name, text)| RuleCondition::Header { name, text }));
    found.extend(inner_text(section, "subject").map(RuleCondition::Subject));
    found.extend(inner_text(section, "attachment").map(RuleCondition::Attachment));
    found.extend(some_filters(section, "sender").map(RuleCondition::Sender));
    found.extend(some_filters(section, "recipient").map(RuleCondition::Recipient));
    found.extend(some_filters(section, "all_recipients").map(RuleCondition::AllRecipients));
    found.extend(names_of(section, "user").map(|users| names.user(users)).map(RuleCondition::User));
    found.extend(names_of(section, "listener").map(|all| names.listener(all)).map(RuleCondition::Listener));
    found.extend(networks::read_one_or_more(section, "client").map(RuleCondition::Client));
    found.extend(size(section).map(RuleCondition::Size));
    found.pop().unwrap_or(RuleCondition::All(Vec::new()))
}

/// The name of a header field.
pub(super) fn field_name(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let read = |text: &str| is_field_name(text).then(|| text.to_owned());
    section.parsed(
        key,
        "the name of a header field",
        r#"write it without the colon, such as "X-Clerk""#,
        read,
    )
}

/// Texts with their places, a sole one without a list; an empty list is a fault.
fn some_texts<'a>(section: &mut Section<'a>, key: &'static str) -> Option<Vec<(SourcePlace, &'a str)>> {
    let texts = section.one_or_more_texts(key)?;
    if texts.is_empty() {
        section.unfit(key, "is empty", "write at least one, or remove it");
    }
    Some(texts)
}

/// The comparison that is there.
fn text_test(section: &mut Section<'_>, is_wanted: bool) -> Option<TextTest> {
    let there: Vec<&str> = COMPARISONS.into_iter().filter(|key| section.has(key)).collect();
    match there.len() {
        0 if is_wanted => section.fault_of_all("does not say what is compared", WRITE_COMPARISON),
        2.. => section.fault_of_all(
            "compares in several ways",
            "write one of them, or { all = [ … ] } with each in { } of its own",
        ),
        _ => {}
    }
    let owned = |texts: Vec<(_, &str)>| texts.into_iter().map(|(_, text)| text.to_owned()).collect();
    let equals = some_texts(section, "equals").map(owned).map(TextTest::Equals);
    let contains = some_texts(section, "contains").map(owned).map(TextTest::Contains);
    let matches =
        some_texts(section, "matches").map(|texts| patterns(section, &texts)).map(TextTest::Matches);
    equals.or(contains).or(matches)
}

fn patterns(section: &Section<'_>, texts: &[(SourcePlace, &str)]) -> Vec<TextPattern> {
    const INSTEAD: &str = "write one as the crate regex has them, in single quotes so that \\ stays as it is";
    let mut patterns = Vec::new();
    for (place, text) in texts {
        let built = if text.len() > LONGEST_PATTERN {
            Err(format!("it is longer than {LONGEST_PATTERN} octets"))
        } else {
            TextPattern::new(text)
        };
        match built {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => {
                let what = format!("{} is no regular expression: {why}", quoted(text));
                section.fault(place, "matches", &what, INSTEAD);
            }
        }
    }
    patterns
}

/// A comparison in a table of its own.
fn inner_text(section: &mut Section<'_>, key: &'static str) -> Option<TextTest> {
    let is_there = section.has(key);
    let mut inner = section.inner(key, r#"write a table such as { contains = "invoice" }"#);
    let text = text_test(&mut inner, is_there);
    inner.finish();
    text.filter(|_| is_there)
}

fn some_filters(section: &mut Section<'_>, key: &'static str) -> Option<Vec<Filter>> {
    let texts = some_texts(section, key)?;
    Some(filters_of(section, key, texts).into_iter().map(|(_, filter)| filter).collect())
}

fn names_of(section: &mut Section<'_>, key: &'static str) -> Option<Vec<(SourcePlace, String)>> {
    let texts = some_texts(section, key)?;
    Some(texts.into_iter().map(|(place, text)| (place, text.to_owned())).collect())
}

fn size(section: &mut Section<'_>) -> Option<SizeTest> {
    let is_there = section.has("size");
    let mut inner = section.inner("size", r#"write { over = "10MiB" } or { under = "10MiB" }"#);
    if is_there && !inner.has("over") && !inner.has("under") {
        inner.fault_of_all(
            "says neither over nor under",
            r#"write { over = "10MiB" } or { under = "10MiB" }"#,
        );
    }
    let over = inner.size("over", ByteSize(0)).map(|size| size.0);
    let under = inner.size("under", ByteSize(1)).map(|size| size.0);
    inner.finish();
    is_there.then_some(SizeTest { over, under })
}
