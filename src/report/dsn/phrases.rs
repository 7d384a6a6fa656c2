//! What a language has to say in a report.

use super::cause::ReportCause;
use super::{english, german};
use crate::config::Language;

/// The words for a cause.
#[derive(Debug, Clone, Copy)]
pub(super) struct CauseWords {
    /// What has happened, in a sentence or two.
    pub(super) what: &'static str,
    /// What the reader can do.
    pub(super) advice: &'static str,
}

/// One, and several. In the second `{}` stands for their number.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountedForms {
    pub(super) one: &'static str,
    pub(super) many: &'static str,
}

/// All texts of a language. In each template `{}` stands for one value.
#[derive(Debug)]
pub(super) struct Phrases {
    /// Its tag (RFC 5646).
    pub(super) tag: &'static str,
    /// How a time is written, for `strftime`.
    pub(super) time: &'static str,
    pub(super) days: CountedForms,
    pub(super) hours: CountedForms,
    pub(super) minutes: CountedForms,
    /// Subjects.
    pub(super) failed_subject: &'static str,
    pub(super) expired_subject: &'static str,
    pub(super) delayed_subject: &'static str,
    pub(super) relayed_subject: &'static str,
    /// A copy's subject, of the subject.
    pub(super) copy_subject: &'static str,
    /// Who speaks, of the relay's name.
    pub(super) relay: &'static str,
    /// At the top of a copy: whom the report went to.
    pub(super) copy_of_told: &'static str,
    /// At the top of a copy: the sender is not told.
    pub(super) copy_of_untold: &'static str,
    pub(super) failed: CountedForms,
    pub(super) delayed: CountedForms,
    pub(super) relayed: CountedForms,
    /// The time is over, of how long that was.
    pub(super) expired: &'static str,
    /// The words for each cause.
    pub(super) causes: &'static [(ReportCause, CauseWords)],
    /// Until when a delayed message is tried.
    pub(super) tried_until: &'static str,
    /// The same, when that is not known.
    pub(super) tried_on: &'static str,
    /// Nobody confirms a relayed message.
    pub(super) no_confirmation: &'static str,
    /// Before what the host said, of the host.
    pub(super) host_said: &'static str,
    /// Before what was noted last, where no host is known.
    pub(super) last_note: &'static str,
    /// It may have arrived all the same.
    pub(super) may_have_arrived: &'static str,
    /// On the blacklist, of until when.
    pub(super) listed_until: &'static str,
    /// On the blacklist for good.
    pub(super) listed: &'static str,
    /// Those that are not named, of their number.
    pub(super) and_more: &'static str,
    pub(super) your_message: &'static str,
    pub(super) subject: &'static str,
    pub(super) no_subject: &'static str,
    pub(super) accepted: &'static str,
    pub(super) queue_id: &'static str,
    /// The end, when all of the message is attached.
    pub(super) message_attached: &'static str,
    /// The end, when its header is.
    pub(super) header_attached: &'static str,
    pub(super) no_answers: &'static str,
}

impl Phrases {
    /// The words for a cause; for one without those for a refusal of which nothing is known.
    pub(super) fn of_cause(&self, cause: ReportCause) -> CauseWords {
        let find = |wanted| self.causes.iter().find(|(cause, _)| *cause == wanted).map(|(_, words)| *words);
        find(cause).or_else(|| find(ReportCause::Other)).unwrap_or(CauseWords { what: "", advice: "" })
    }
}

/// The texts of a language.
pub(super) fn phrases(language: Language) -> &'static Phrases {
    match language {
        Language::English => &english::PHRASES,
        Language::German => &german::PHRASES,
    }
}

/// A template with its value.
pub(super) fn fill(template: &str, value: &str) -> String {
    template.replacen("{}", value, 1)
}

impl CountedForms {
    /// The form for a number.
    pub(super) fn of(self, number: u64) -> String {
        if number == 1 { self.one.to_owned() } else { fill(self.many, &number.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const LANGUAGES: [Language; 2] = [Language::English, Language::German];

    #[test]
    fn every_cause_has_words_of_its_own_in_every_language() {
        let mut all = HashSet::new();
        for language in LANGUAGES {
            for cause in ReportCause::ALL {
                let CauseWords { what, advice } = phrases(language).of_cause(cause);
                for text in [what, advice] {
                    assert!(text.len() > 20 && text.ends_with('.'), "{language:?} {cause:?}: {text}");
                    assert!(!text.contains("{}") && !text.contains("  "), "{language:?} {cause:?}: {text}");
                }
                assert!(all.insert(what), "{language:?} {cause:?} has the words of another");
            }
        }
        for language in LANGUAGES {
            let causes: Vec<ReportCause> = phrases(language).causes.iter().map(|row| row.0).collect();
            assert_eq!(causes, ReportCause::ALL, "{language:?}");
        }
        let listed: HashSet<_> = ReportCause::ALL.into_iter().collect();
        assert_eq!(listed.len(), ReportCause::ALL.len(), "each cause stands in ALL once");
    }

    #[test]
    fn every_template_has_a_place_for_its_value() {
        for language in LANGUAGES {
            let p = phrases(language);
            let counted = [p.days, p.hours, p.minutes, p.failed, p.delayed, p.relayed];
            let with_value = counted.map(|counted| counted.many).into_iter().chain([
                p.copy_subject,
                p.relay,
                p.copy_of_told,
                p.expired,
                p.tried_until,
                p.host_said,
                p.listed_until,
                p.and_more,
            ]);
            for text in with_value {
                assert_eq!(text.matches("{}").count(), 1, "{language:?}: {text}");
            }
            let without = counted.map(|counted| counted.one).into_iter().chain([
                p.copy_of_untold,
                p.tried_on,
                p.no_confirmation,
                p.last_note,
                p.may_have_arrived,
                p.listed,
                p.message_attached,
                p.header_attached,
                p.no_answers,
            ]);
            for text in without {
                assert!(!text.is_empty() && !text.contains("{}"), "{language:?}: {text}");
            }
        }
    }

    #[test]
    fn german_is_written_as_germans_write_it() {
        let p = phrases(Language::German);
        let texts =
            ReportCause::ALL.map(|cause| p.of_cause(cause)).map(|words| [words.what, words.advice].concat());
        let all = texts.concat();
        assert!(["ä", "ö", "ü", "ß"].iter().all(|letter| all.contains(letter)), "{all}");
        for spelled in ["fuer ", "ueber", "moeglich", "koenn", "groess", "Empfaenger", "oeffn"] {
            assert!(!all.contains(spelled), "{spelled}");
        }
    }
}
