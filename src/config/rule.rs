//! What is to be done with which mail, as `[[rule]]` says it.

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::{Filter, Schedule, UserPriority};
use crate::mail::NamedAddress;

/// The most memory that a compiled expression may take, in octets.
const MAX_COMPILED: usize = 1 << 20;
/// How deep the groups of an expression may stand in each other.
const MAX_NEST: u32 = 50;

/// `[[rule]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What output and log call it; unique, whatever the case.
    pub name: String,
    /// Which mail it is about.
    pub when: RuleCondition,
    /// What is done with that.
    pub actions: RuleActions,
}

/// Which mail a rule is about. All of it is about the mail as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleCondition {
    /// All of these hold; none at all holds for every message.
    All(Vec<RuleCondition>),
    /// At least one of these holds.
    Any(Vec<RuleCondition>),
    /// This does not hold.
    Not(Box<RuleCondition>),
    /// A header field of this name has such a value.
    Header {
        /// The name.
        name: String,
        /// What is looked for in the value.
        text: TextTest,
    },
    /// The subject is such.
    Subject(TextTest),
    /// An attachment has such a file name.
    Attachment(TextTest),
    /// The sender is one of these.
    Sender(Vec<Filter>),
    /// A recipient of the envelope is one of these.
    Recipient(Vec<Filter>),
    /// Each recipient of the envelope is one of these.
    AllRecipients(Vec<Filter>),
    /// One of these users has logged in.
    User(Vec<String>),
    /// It came in by one of these listeners.
    Listener(Vec<String>),
    /// The client is in one of these networks.
    Client(Vec<IpNet>),
    /// It has so many octets.
    Size(SizeTest),
}

/// What is looked for in a text; of several words one is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextTest {
    /// It is one of these, in upper or lower case.
    Equals(Vec<String>),
    /// One of these is in it, in upper or lower case.
    Contains(Vec<String>),
    /// One of these expressions matches anywhere in it.
    Matches(Vec<TextPattern>),
}

/// A regular expression that is bounded in size.
#[derive(Debug, Clone)]
pub struct TextPattern(Regex);

/// Octets of a content, with both ends left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeTest {
    /// More than so many.
    pub over: Option<u64>,
    /// Less than so many.
    pub under: Option<u64>,
}

/// What a rule does. What is `None` or empty is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleActions {
    /// Who it is from: From and the reverse-path.
    pub set_sender: Option<NamedAddress>,
    /// Where answers go.
    pub set_reply_to: Option<NamedAddress>,
    /// The upstream that it takes, whoever it is from.
    pub set_upstream: Option<String>,
    /// How urgent it is.
    pub set_priority: Option<UserPriority>,
    /// Who gets a copy that the recipients see.
    pub add_cc: Vec<NamedAddress>,
    /// Who gets a copy that nobody sees.
    pub add_bcc: Vec<NamedAddress>,
    /// The header field whose addresses get a copy that the recipients see.
    pub cc_from_header: Option<String>,
    /// What becomes of header fields, in this order.
    pub header: Vec<HeaderEdit>,
    /// The `[[signature]]` below it, in place of the upstream's.
    pub signature: Option<String>,
    /// Whether it waits for a person.
    pub hold: Option<bool>,
    /// Whether it is a test though test mode is off.
    pub test: Option<bool>,
    /// When it goes.
    pub delay_until: Option<Schedule>,
    /// Why it is refused.
    pub reject: Option<String>,
    /// Whether no further rule is asked.
    pub last: bool,
}

/// What becomes of the header fields of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderEdit {
    /// The name.
    pub name: String,
    /// The value of the one field that there is then; `None` takes all of them out.
    pub value: Option<String>,
}

impl RuleCondition {
    /// Looks at this condition and at those in it.
    pub fn each(&self, look: &mut impl FnMut(&Self)) {
        look(self);
        match self {
            Self::All(inner) | Self::Any(inner) => inner.iter().for_each(|one| one.each(look)),
            Self::Not(inner) => inner.each(look),
            _ => {}
        }
    }
}

impl RuleCondition {
    /// Whether, for certain, this holds for no message for which the other one does not.
    #[must_use]
    pub fn implies(&self, other: &Self) -> bool {
        let all_named = |own: &[Filter], others: &[Filter]| {
            own.iter().all(|f| others.iter().any(|other| other.covers(f)))
        };
        if self == other {
            return true;
        }
        match (self, other) {
            // What is to hold is taken apart before what is sure to hold: each part on the right needs one on the left.
            (_, Self::All(others)) => others.iter().all(|other| self.implies(other)),
            (Self::Any(own), _) => own.iter().all(|own| own.implies(other)),
            (Self::All(own), _) if own.iter().any(|own| own.implies(other)) => true,
            (_, Self::Any(others)) => others.iter().any(|other| self.implies(other)),
            (Self::Not(own), Self::Not(others)) => others.implies(own),
            (Self::Sender(own), Self::Sender(others))
            | (Self::Recipient(own), Self::Recipient(others))
            | (Self::AllRecipients(own), Self::AllRecipients(others)) => all_named(own, others),
            (Self::Size(own), Self::Size(others)) => own.is_within(others),
            _ => false,
        }
    }
}

impl TextTest {
    /// Whether a text is such.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let text = text.trim();
        match self {
            Self::Equals(words) => {
                let lower = text.to_lowercase();
                words.iter().any(|word| word.trim().to_lowercase() == lower)
            }
            Self::Contains(words) => {
                let lower = text.to_lowercase();
                words.iter().any(|word| lower.contains(&word.to_lowercase()))
            }
            Self::Matches(patterns) => patterns.iter().any(|pattern| pattern.0.is_match(text)),
        }
    }
}

impl TextPattern {
    /// Reads an expression.
    ///
    /// # Errors
    /// With what is wrong with it, in a few words.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(MAX_COMPILED).nest_limit(MAX_NEST).build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it would take too much memory".to_owned(),
            // The library draws a picture of several lines; its last one says it in words.
            error => {
                let picture = error.to_string();
                let last = picture.lines().last().unwrap_or_default();
                last.strip_prefix("error: ").unwrap_or(last).to_owned()
            }
        })
    }
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for TextPattern {}

impl SizeTest {
    /// Whether each size that is such is one of the other test.
    fn is_within(&self, other: &Self) -> bool {
        let is_over = other.over.is_none_or(|least| self.over.is_some_and(|over| over >= least));
        is_over && other.under.is_none_or(|most| self.under.is_some_and(|under| under <= most))
    }

    /// Whether a content of so many octets is such.
    #[must_use]
    pub fn fits(&self, size: u64) -> bool {
        self.over.is_none_or(|over| size > over) && self.under.is_none_or(|under| size < under)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn looks_for_texts() {
        let matches = |text: &str| TextTest::Matches(vec![TextPattern::new(text).unwrap()]);
        for (test, text, want) in [
            (TextTest::Equals(words(&["invoice", "Offer"])), " OFFER ", true),
            (TextTest::Equals(words(&["invoice"])), "invoice 7", false),
            (TextTest::Equals(words(&["Größe"])), "GRÖSSE", false),
            (TextTest::Equals(words(&["GRÖẞE"])), "größe", true),
            (TextTest::Contains(words(&["Rechnung"])), "Ihre RECHNUNG 7", true),
            (TextTest::Contains(words(&["Rechnung"])), "Ihr Angebot", false),
            (matches("^R-[0-9]{3}"), "R-123/4", true),
            (matches("^r-[0-9]{3}"), "R-123/4", false),
            (matches("(?i)mahn"), "2. Mahnung", true),
            (matches(""), "", true),
        ] {
            assert_eq!(test.fits(text), want, "{test:?} {text}");
        }
    }

    #[test]
    fn an_expression_is_bounded() {
        for (text, want) in [
            ("(", "unclosed group"),
            ("(?<=a)b", "look-around, including look-ahead and look-behind, is not supported"),
            ("\\pL{1000}{1000}", "it would take too much memory"),
        ] {
            assert_eq!(TextPattern::new(text).unwrap_err(), want, "{text}");
        }
        assert!(TextPattern::new(&format!("{}{}", "(".repeat(60), ")".repeat(60))).is_err());
    }

    #[test]
    fn a_condition_implies_another_for_certain_or_not() {
        let sender = |texts: &[&str]| {
            RuleCondition::Sender(texts.iter().map(|text| Filter::parse(text).unwrap()).collect())
        };
        let user = |name: &str| RuleCondition::User(words(&[name]));
        let over = |over| RuleCondition::Size(SizeTest { over: Some(over), under: None });
        let all = |inner: &[RuleCondition]| RuleCondition::All(inner.to_vec());
        let any = |inner: &[RuleCondition]| RuleCondition::Any(inner.to_vec());
        let not = |inner: RuleCondition| RuleCondition::Not(Box::new(inner));
        let (a, b, c) = (user("a"), user("b"), user("c"));
        let [ab, ba] = [all(&[a.clone(), b.clone()]), all(&[b.clone(), a.clone()])];
        for (name, one, other, want) in [
            ("the same", a.clone(), a.clone(), true),
            ("others", a.clone(), b.clone(), false),
            ("everything", a.clone(), all(&[]), true),
            ("from everything", all(&[]), a.clone(), false),
            ("more of them", ab.clone(), a.clone(), true),
            ("less of them", a.clone(), ab.clone(), false),
            ("in another order", ab.clone(), ba, true),
            ("one of them", a.clone(), any(&[b.clone(), a.clone()]), true),
            ("all or one of them", ab.clone(), any(&[c.clone(), b.clone()]), true),
            ("any of less", any(&[a.clone(), b.clone()]), any(&[b.clone(), c.clone(), a.clone()]), true),
            ("any of more", any(&[a.clone(), c.clone()]), any(&[a.clone(), b.clone()]), false),
            ("nothing", any(&[]), a.clone(), true),
            ("not more", not(a.clone()), not(ab.clone()), true),
            ("not less", not(ab), not(a.clone()), false),
            ("a wider filter", sender(&["a@x.test", "y.test"]), sender(&["y.test", "x.test"]), true),
            ("a narrower filter", sender(&["x.test"]), sender(&["a@x.test"]), false),
            ("a size", over(5), over(4), true),
            ("a smaller size", over(4), over(5), false),
        ] {
            assert_eq!(one.implies(&other), want, "{name}");
        }
    }

    #[test]
    fn sizes_leave_their_ends_out() {
        for (over, under, size, want) in [
            (Some(5), None, 5, false),
            (Some(5), None, 6, true),
            (None, Some(5), 5, false),
            (None, Some(5), 4, true),
            (Some(1), Some(3), 2, true),
            (Some(1), Some(3), 3, false),
        ] {
            assert_eq!(SizeTest { over, under }.fits(size), want, "{over:?} {under:?} {size}");
        }
    }
}
