//! What a language has to say in a report.

use super::cause::ReportCause;

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
