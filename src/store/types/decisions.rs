//! What was decided about a message when it was accepted.

use serde::{Deserialize, Serialize};

use super::ruled::RuledRecord;
use super::{DecisionsError, Ruled};
use crate::config::TestAction;
use crate::mail::Address;

/// What was decided about a message at its acceptance; no switch and no reload changes it later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decisions {
    /// The test mode that was in force.
    pub test: Option<TestTreatment>,
    /// The upstream by which a person wants it to go, whoever serves its sender: it stays in a lane of that one for as long as
    /// there is that lane.
    pub upstream: Option<String>,
    /// What rules want.
    pub ruled: Ruled,
}

/// What test mode does with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestTreatment {
    /// What is done with the message.
    pub action: TestAction,
    /// Where it goes when redirected.
    pub address: Option<Address>,
}

#[derive(Serialize, Deserialize)]
struct DecisionsRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test: Option<TestRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ruled: Option<RuledRecord>,
}

#[derive(Serialize, Deserialize)]
struct TestRecord {
    action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

const ACTIONS: [(TestAction, &str); 3] =
    [(TestAction::Redirect, "redirect"), (TestAction::Hold, "hold"), (TestAction::Capture, "capture")];

/// What an attempt does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Goes to its recipients.
    Sent,
    /// A single copy goes to the test address, whoever it was for.
    OneCopy,
    /// Goes into the local mailbox.
    Captured,
}

impl Decisions {
    /// The decisions of a message that test mode is to treat like this.
    #[must_use]
    pub fn of_test(test: TestTreatment) -> Self {
        Self { test: Some(test), ..Self::default() }
    }

    /// What an attempt does with the message.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self.test.as_ref().map(|test| test.action) {
            Some(TestAction::Redirect) => Disposition::OneCopy,
            Some(TestAction::Capture) => Disposition::Captured,
            // One that was held and is sent after all has been released, and then it is no test any more.
            Some(TestAction::Hold) | None => Disposition::Sent,
        }
    }

    /// A line for each thing that rules have decided; nothing where no rule has matched.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let ruled = &self.ruled;
        if ruled.rules.is_empty() {
            return Vec::new();
        }
        let mut all = Vec::new();
        let mut tell =
            |what: &str, value: Option<String>| all.extend(value.map(|value| format!("{what} {value}")));
        tell("sent as", ruled.author.as_ref().map(ToString::to_string));
        tell("answers go to", ruled.reply_to.as_ref().map(ToString::to_string));
        tell("goes by", self.upstream.clone());
        tell("signature", ruled.signature.clone());
        tell("priority", ruled.priority.map(|priority| priority.name().to_owned()));
        tell("not before", ruled.delay_until.clone());
        tell("held by the rule", ruled.held_by.clone());
        tell("a test by the rule", ruled.test_by.clone());
        ruled.cc.iter().for_each(|copy| tell("copy to", Some(copy.to_string())));
        ruled.bcc.iter().for_each(|copy| tell("blind copy to", Some(copy.to_string())));
        for edit in &ruled.header {
            match &edit.value {
                Some(value) => tell("header", Some(format!("{}: {value}", edit.name))),
                None => tell("without header", Some(edit.name.clone())),
            }
        }
        all
    }

    /// The same after a person has released the message, to be treated like this from now on.
    #[must_use]
    pub fn released(mut self, test: Option<TestTreatment>) -> Self {
        self.ruled.held_by = None;
        Self { test, ..self }
    }

    /// The record as it is stored; `None` when nothing was decided.
    ///
    /// # Panics
    /// Never: plain fields always serialise.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let test = self.test.as_ref().map(|test| TestRecord {
            action: ACTIONS
                .iter()
                .find(|(action, _)| *action == test.action)
                .map_or("hold", |(_, name)| name)
                .to_owned(),
            address: test.address.as_ref().map(ToString::to_string),
        });
        let record = DecisionsRecord { test, upstream: self.upstream.clone(), ruled: self.ruled.to_record() };
        Some(serde_json::to_string(&record).expect("plain fields always serialise"))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it can't be understood: then the message must not go.
    pub fn from_text(text: Option<&str>) -> Result<Self, DecisionsError> {
        let Some(text) = text else { return Ok(Self::default()) };
        let record: DecisionsRecord = serde_json::from_str(text)?;
        Ok(Self {
            test: record.test.map(TestTreatment::try_from).transpose()?,
            upstream: record.upstream,
            ruled: record.ruled.map(Ruled::of_record).transpose()?.unwrap_or_default(),
        })
    }
}

impl TryFrom<TestRecord> for TestTreatment {
    type Error = DecisionsError;

    fn try_from(record: TestRecord) -> Result<Self, DecisionsError> {
        let known = ACTIONS.iter().find(|(_, name)| *name == record.action);
        let action = known.ok_or(DecisionsError::Action(record.action))?.0;
        let address = record.address.as_deref().map(Address::parse).transpose()?;
        Ok(Self { action, address })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Priority;
    use super::*;
    use crate::config::HeaderEdit;
    use crate::mail::NamedAddress;

    #[test]
    fn are_read_as_they_were_written() {
        assert_eq!(Decisions::default().to_text(), None);
        for (action, _) in ACTIONS {
            for address in [None, Some(Address::parse("t@firm.example").unwrap())] {
                let decisions = Decisions::of_test(TestTreatment { action, address });
                let text = decisions.to_text();
                assert_eq!(Decisions::from_text(text.as_deref()).unwrap(), decisions, "{text:?}");
            }
        }
        let to_one = Decisions { upstream: Some("main".to_owned()), ..Decisions::default() };
        assert_eq!(to_one.to_text().as_deref(), Some(r#"{"upstream":"main"}"#));
        assert_eq!(Decisions::from_text(to_one.to_text().as_deref()).unwrap(), to_one);
        let ruled = Ruled {
            rules: vec!["invoices".into(), "night".into()],
            author: NamedAddress::parse("Firm, Ltd <office@firm.example>"),
            reply_to: NamedAddress::parse("it@firm.example"),
            header: vec![
                HeaderEdit { name: "X-A".into(), value: Some("b".into()) },
                HeaderEdit { name: "X-B".into(), value: None },
            ],
            signature: Some("Sales".into()),
            cc: vec![NamedAddress::parse("a@firm.example").unwrap()],
            bcc: vec![NamedAddress::parse("b@firm.example").unwrap()],
            priority: Some(Priority::Low),
            delay_until: Some("22:00".into()),
            held_by: Some("night".into()),
            test_by: Some("invoices".into()),
        };
        let by_rules = Decisions { ruled, ..Decisions::default() };
        assert_eq!(Decisions::from_text(by_rules.to_text().as_deref()).unwrap(), by_rules);
        let later = r#"{"ruled":{"rules":["a"],"of_a_later_version":1}}"#;
        assert_eq!(Decisions::from_text(Some(later)).unwrap().ruled.rules, ["a"]);
        for wrong in [
            r#"{"ruled":{"author":"x"}}"#,
            r#"{"ruled":{"priority":"x"}}"#,
            "",
            "{",
            r#"{"test":{"action":"burn"}}"#,
            r#"{"test":{"action":"hold","address":"x"}}"#,
        ] {
            assert!(Decisions::from_text(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
