//! docs/monitoring.md has every metric; the dashboard and the alert rules beside it use no other names, and no other labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use mailsluice::metrics::{FAMILIES, MetricKind, family};
use serde_json::Value;

use super::commands::hold;
use super::root;

/// Words between braces or brackets behind which labels follow.
const BY: [&str; 5] = ["by", "without", "on", "ignoring", "group_left"];
/// What a scraper adds to each sample.
const OF_SCRAPERS: [&str; 2] = ["instance", "job"];

#[test]
fn every_metric_is_in_the_table() {
    let mut table = "| Name | Kind | Labels | |\n|---|---|---|---|\n".to_owned();
    for family in FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (family.name, family.kind.name(), labels.join(" "));
        writeln!(table, "| `{name}` | {kind} | {labels} | {} |", family.help).unwrap();
    }
    hold("docs/monitoring.md", &table);
}

/// What an expression names.
#[derive(Debug, Default)]
struct Used {
    /// Each metric with the labels that are asked of it.
    metrics: Vec<(String, BTreeSet<String>)>,
    /// Labels by which samples are put together.
    grouped: BTreeSet<String>,
}

/// The words of an expression, without texts in quotes, and each other character for itself.
fn tokens(expression: &str) -> Vec<String> {
    let (mut all, mut word, mut chars) = (Vec::new(), String::new(), expression.chars());
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' || c == '$' {
            word.push(c);
            continue;
        }
        all.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        match c {
            '"' => drop(chars.by_ref().take_while(|c| *c != '"').count()),
            c if c.is_whitespace() => {}
            c => all.push(c.to_string()),
        }
    }
    all.extend((!word.is_empty()).then_some(word));
    all
}

fn used(expression: &str) -> Used {
    let (tokens, mut used, mut at) = (tokens(expression), Used::default(), 0);
    let list = |from: usize, end: &str| -> BTreeSet<String> {
        let inside = tokens[from..].iter().take_while(|token| *token != end);
        inside.filter(|token| token.chars().all(|c| c.is_alphanumeric() || c == '_')).cloned().collect()
    };
    while at < tokens.len() {
        let next = tokens.get(at + 1).map(String::as_str);
        if BY.contains(&&*tokens[at]) && next == Some("(") {
            used.grouped.extend(list(at + 2, ")"));
        } else if tokens[at].starts_with("mailsluice") {
            let labels = if next == Some("{") { list(at + 2, "}") } else { BTreeSet::new() };
            used.metrics.push((tokens[at].clone(), labels));
        }
        at += 1;
    }
    used
}

/// What is wrong with an expression; nothing when all its metrics have the labels that it asks for.
fn faults(expression: &str) -> Vec<String> {
    let (used, mut faults) = (used(expression), Vec::new());
    let mut known: BTreeSet<&str> = OF_SCRAPERS.into();
    if used.metrics.is_empty() {
        faults.push(format!("{expression}: it names no metric"));
    }
    for (name, labels) in &used.metrics {
        let Some(family) = family(name) else {
            faults.push(format!("{expression}: {name} is not exported"));
            continue;
        };
        if family.kind == MetricKind::Histogram && name == family.name {
            faults.push(format!("{expression}: {name} is a histogram, which has no sample of that name"));
        }
        known.extend(family.labels);
        let has = |label: &&String| family.labels.contains(&&***label) || OF_SCRAPERS.contains(&&***label);
        faults.extend(
            labels
                .iter()
                .filter(|label| !has(label))
                .map(|label| format!("{expression}: {name} has no {label}")),
        );
        if name.ends_with("_bucket") {
            known.insert("le");
        }
    }
    let unknown = used.grouped.iter().filter(|label| !known.contains(&***label));
    faults.extend(unknown.map(|label| format!("{expression}: nothing in it has {label}")));
    faults
}

/// The labels that a text for people puts in: `{{upstream}}`, `{{ $labels.upstream }}`.
fn shown(text: &str) -> Vec<String> {
    let inside = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let label = |inside: &str| {
        let word = inside.trim();
        match word.strip_prefix("$labels.") {
            Some(label) => Some(label.to_owned()),
            None => (!word.starts_with('$')).then(|| word.to_owned()),
        }
    };
    inside.filter_map(label).collect()
}

/// Labels that a text shows and no metric of the expression has.
fn not_there(text: &str, expression: &str) -> Vec<String> {
    let metrics = used(expression).metrics;
    let has = |label: &String| {
        OF_SCRAPERS.contains(&&**label)
            || metrics
                .iter()
                .any(|(name, _)| family(name).is_some_and(|family| family.labels.contains(&&**label)))
    };
    let lacking = shown(text).into_iter().filter(|label| !has(label));
    lacking.map(|label| format!("{text}: no metric of `{expression}` has {label}")).collect()
}

/// The expressions of the dashboard, each with its legend.
fn of_dashboard() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/monitoring/grafana.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let mut all = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let part = |name: &str| target[name].as_str().unwrap().to_owned();
            all.push((part("expr"), part("legendFormat")));
        }
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            all.push((query.to_owned(), String::new()));
        }
    }
    all
}

/// The rules, by their names: what stands behind each key, with what follows of it on further lines.
fn of_rules() -> BTreeMap<String, BTreeMap<String, String>> {
    let text = fs::read_to_string(root().join("docs/monitoring/alerts.yml")).unwrap();
    let mut rules: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let (mut name, mut key) = (String::new(), String::new());
    for line in text.lines() {
        let words = line.trim().trim_start_matches("- ");
        let is_key = |key: &str| {
            ["alert", "expr", "for", "labels", "annotations", "summary", "description"].contains(&key)
        };
        match words.split_once(':') {
            Some(("alert", value)) => {
                value.trim().clone_into(&mut name);
                assert!(rules.insert(name.clone(), BTreeMap::new()).is_none(), "{name} stands twice");
            }
            Some((found, value)) if is_key(found) => {
                found.clone_into(&mut key);
                let value = value.trim().trim_start_matches(">-").to_owned();
                rules.get_mut(&name).unwrap().insert(key.clone(), value);
            }
            _ if !name.is_empty() && !words.is_empty() => {
                let value = rules.get_mut(&name).unwrap().get_mut(&key).unwrap();
                write!(value, " {words}").unwrap();
            }
            _ => {}
        }
    }
    rules
}

#[test]
fn the_dashboard_shows_what_is_exported() {
    let all = of_dashboard();
    assert!(all.len() > 25, "only {} were found", all.len());
    let wrong: Vec<String> =
        all.iter().flat_map(|(expr, legend)| [faults(expr), not_there(legend, expr)].concat()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rules_ask_for_what_is_exported_and_say_what_to_do() {
    let rules = of_rules();
    assert!(rules.len() >= 15, "only {} were found", rules.len());
    let mut wrong = Vec::new();
    for (name, rule) in &rules {
        let expression = &rule["expr"];
        wrong.extend(faults(expression));
        for part in ["summary", "description"] {
            assert!(!rule[part].is_empty(), "{name}");
            wrong.extend(not_there(&rule[part], expression));
        }
        assert!(rule["labels"].contains("severity"), "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_wrong_is_found() {
    for (expression, legend, want) in [
        ("sum by (upstream) (rate(mailsluice_recipients_total{outcome=\"sent\"}[5m]))", "{{upstream}}", 0),
        ("mailsluice_queue_messages{state=~\"a} mailsluice_x|b\"} > 0", "", 0),
        ("mailsluice_nothing > 0", "", 1),
        ("mailsluice_recipients_total{lane=\"x\"}", "", 1),
        ("sum by (lane) (mailsluice_recipients_total)", "", 1),
        ("sum by (le) (rate(mailsluice_commit_seconds_bucket[5m]))", "", 0),
        ("sum by (le) (rate(mailsluice_commit_seconds_sum[5m]))", "", 1),
        ("rate(mailsluice_commit_seconds[5m])", "", 1),
        ("up == 0", "", 1),
        ("mailsluice_queue_messages", "{{ $labels.upstream }} {{ $value }}", 1),
    ] {
        let found = [faults(expression), not_there(legend, expression)].concat();
        assert_eq!(found.len(), want, "{expression} {legend}: {found:?}");
    }
}
