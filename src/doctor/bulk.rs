//! What Gmail, Yahoo and Microsoft want of those who send them more than 5,000 messages a day: SPF, DKIM and DMARC, each there and
//! sound. Of all others they want SPF or DKIM.
//!
//! Sources: Google, "Email sender guidelines"; Yahoo, "Sender best practices"; Microsoft, "Outlook's new requirements for
//! high-volume senders"; as of 2026.

use super::diagnosis::{Check, Diagnosis, Level, Notes};
use super::sender::SenderDomain;

/// How one of the three is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    Missing,
    Unknown,
}

/// Sums up what the checks of a domain have found. `found` are the findings of SPF, DKIM and DMARC.
#[must_use]
pub fn judge(sender: &SenderDomain, found: &[Diagnosis]) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::BulkRules, &sender.name);
    let states = [Check::Spf, Check::Dkim, Check::Dmarc].map(|check| (check, state(check, sender, found)));
    let named = |wanted: State| -> Vec<&str> {
        states.iter().filter(|(_, state)| *state == wanted).map(|(check, _)| word(*check)).collect()
    };
    let (missing, unknown) = (named(State::Missing), named(State::Unknown));
    if missing.contains(&"SPF") && missing.contains(&"DKIM") {
        notes.fault(
            "Gmail, Yahoo and Microsoft refuse mail that has neither SPF nor DKIM",
            "mend the faults of spf or dkim above; both are better",
        );
    } else if !missing.is_empty() {
        notes.warning(
            format!(
                "Gmail, Yahoo and Microsoft refuse mail of bulk senders (5,000 a day) without sound {}",
                missing.join(" and ")
            ),
            format!("mend what is said of {} above, before you send that much", missing.join(" and ")),
        );
    } else if !unknown.is_empty() {
        notes.unknown(
            format!(
                "whether the rules of Gmail, Yahoo and Microsoft for bulk senders are kept depends on {}",
                unknown.join(" and ")
            ),
            "",
        );
    } else {
        notes.ok("SPF, DKIM and DMARC are as Gmail, Yahoo and Microsoft want them of bulk senders");
    }
    notes.done()
}

fn word(check: Check) -> &'static str {
    match check {
        Check::Spf => "SPF",
        Check::Dkim => "DKIM",
        _ => "DMARC",
    }
}

fn state(check: Check, sender: &SenderDomain, found: &[Diagnosis]) -> State {
    if check == Check::Dkim && sender.leaves_signing_to_others() {
        return State::Unknown;
    }
    let has = |level: Level| found.iter().any(|found| found.check == check && found.level == level);
    // One key that is published is enough.
    let is_sound = has(Level::Ok);
    if has(Level::Fault) && !(check == Check::Dkim && is_sound) {
        State::Missing
    } else if has(Level::Unknown) && (check == Check::Spf || !is_sound) {
        State::Unknown
    } else if is_sound || (check == Check::Dkim && has(Level::Warning)) {
        State::Sound
    } else if has(Level::Warning) {
        State::Missing
    } else {
        State::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SendingHosts;
    use crate::dns::DnsName;
    use crate::doctor::Via;

    #[test]
    fn the_three_are_summed_up() {
        use Check::{Dkim, Dmarc, Spf};
        use Level::{Fault, Ok, Unknown, Warning};
        let sound = [(Spf, Ok), (Dkim, Ok), (Dmarc, Ok)];
        for (name, found, signs, want) in [
            ("all sound", &sound[..], true, Ok),
            ("no DMARC", &[(Spf, Ok), (Dkim, Ok), (Dmarc, Warning)], true, Warning),
            ("SPF broken", &[(Spf, Fault), (Dkim, Ok), (Dmarc, Ok)], true, Warning),
            ("nothing", &[(Spf, Fault), (Dkim, Fault), (Dmarc, Warning)], true, Fault),
            ("signed by others", &[(Spf, Ok), (Dmarc, Ok)], false, Unknown),
            ("hosts not known", &[(Spf, Unknown), (Spf, Ok), (Dkim, Ok), (Dmarc, Ok)], true, Unknown),
            ("alignment not known", &[(Spf, Ok), (Dkim, Ok), (Dmarc, Ok), (Dmarc, Unknown)], true, Ok),
        ] {
            let domain = DnsName::parse("firm.example").unwrap();
            let via = Via { name: "up".to_owned(), hosts: SendingHosts::Unknown, preset: None, sign: signs };
            let signed_by = if signs { vec![domain.clone()] } else { vec![] };
            let sender = SenderDomain { name: domain, upstreams: vec![via], signed_by };
            let finding = |&(check, level): &(Check, Level)| Diagnosis {
                check,
                subject: "firm.example".to_owned(),
                level,
                text: String::new(),
                remedy: None,
            };
            let found: Vec<Diagnosis> = found.iter().map(finding).collect();
            let judged = judge(&sender, &found);
            assert_eq!((judged.len(), judged[0].level), (1, want), "{name}: {judged:?}");
        }
    }
}
