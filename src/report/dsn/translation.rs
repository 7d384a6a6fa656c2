//! Which texts a report has.

use super::phrases::Phrases;
use super::{english, german};
use crate::config::Language;

/// The texts of a language.
pub(super) fn phrases(language: Language) -> &'static Phrases {
    match language {
        Language::English => &english::PHRASES,
        Language::German => &german::PHRASES,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::report::dsn::cause::ReportCause;
    use crate::report::dsn::phrases::CauseWords;

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
