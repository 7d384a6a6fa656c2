//! Rules, and settings of rules, that never take effect, as far as that is certain.

use crate::config::reader::Section;
use crate::config::sections::rule::ReadRule;
use crate::config::words::quoted;
use crate::config::{Rule, RuleActions};

/// Warns of rules that are never asked, and of what other rules undo.
pub(super) fn check(root: &Section<'_>, reads: &[ReadRule]) {
    // A condition that is wrong was taken for one that always holds.
    if !root.context.faults.borrow().is_empty() {
        return;
    }
    for (at, read) in reads.iter().enumerate() {
        let (before, rule) = (&reads[..at], &read.rule);
        let warn = |what: String, instead: &str| root.warning(&read.place, "rule.name", &what, instead);
        if let Some(former) = before.iter().find(|former| takes_all(&former.rule, rule)) {
            let what = format!(
                "{} is never asked: {} is asked before it about the same mail, and is the last one then",
                quoted(&rule.name),
                quoted(&former.rule.name)
            );
            warn(what, "write this rule before that one, or another condition");
            continue;
        }
        let settings = settings(&rule.actions);
        if rule.actions.reject.is_some() && !settings.is_empty() {
            let what = format!(
                "{} refuses the mail, so that nothing else of it takes effect: {}",
                quoted(&rule.name),
                settings.join(", ")
            );
            warn(what, "write that in a rule of its own, or remove it");
            continue;
        }
        for setting in settings {
            if let Some(later) = overruled_by(setting, rule, &reads[at..]) {
                let what = format!(
                    "{} of {} has no effect: {} sets it anew for all of that mail",
                    setting,
                    quoted(&rule.name),
                    quoted(&later.name)
                );
                warn(what, "write this rule behind that one, or another condition");
            }
        }
    }
}

/// Whether a rule leaves no mail to a later one.
fn takes_all(former: &Rule, later: &Rule) -> bool {
    is_last(former) && later.when.implies(&former.when)
}

fn is_last(rule: &Rule) -> bool {
    rule.actions.last || rule.actions.reject.is_some()
}

/// The rule behind the first of these, which is `rule`, that sets the same for all mail of it.
fn overruled_by<'r>(setting: &str, rule: &Rule, from_it: &'r [ReadRule]) -> Option<&'r Rule> {
    // Where a rule may be the last one, those behind it may not be asked.
    let certain = from_it.iter().take_while(|read| !is_last(&read.rule)).count();
    let mut asked = from_it.iter().take(certain + 1).skip(1).map(|read| &read.rule).filter(|_| certain > 0);
    asked.find(|later| settings(&later.actions).contains(&setting) && rule.when.implies(&later.when))
}

/// What of a rule a later one can set anew.
fn settings(actions: &RuleActions) -> Vec<&'static str> {
    let all = [
        ("set_sender", actions.set_sender.is_some()),
        ("set_reply_to", actions.set_reply_to.is_some()),
        ("set_upstream", actions.set_upstream.is_some()),
        ("set_priority", actions.set_priority.is_some()),
        ("signature", actions.signature.is_some()),
        ("hold", actions.hold.is_some()),
        ("test", actions.test.is_some()),
        ("delay_until", actions.delay_until.is_some()),
    ];
    all.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}
