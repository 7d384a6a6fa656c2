//! What rules have decided about a message.

use serde::{Deserialize, Serialize};

use super::{DecisionsError, Priority};
use crate::config::HeaderEdit;
use crate::mail::NamedAddress;

/// What rules have decided about a message at its acceptance. `Default`: nothing, for no rule has matched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruled {
    /// The rules that matched, in their order.
    pub rules: Vec<String>,
    /// Who it is from.
    pub author: Option<NamedAddress>,
    /// Where answers go.
    pub reply_to: Option<NamedAddress>,
    /// What becomes of header fields; each name once.
    pub header: Vec<HeaderEdit>,
    /// The signature below it, in place of the upstream's.
    pub signature: Option<String>,
    /// Who gets a copy that the recipients see.
    pub cc: Vec<NamedAddress>,
    /// Who gets a copy that nobody sees.
    pub bcc: Vec<NamedAddress>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// The time of day before which it does not go.
    pub delay_until: Option<String>,
    /// The rule that wants it held.
    pub held_by: Option<String>,
    /// The rule that wants it to be a test.
    pub test_by: Option<String>,
}

/// The same as it is stored: what is not there was not decided.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RuledRecord {
    rules: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    header: Vec<(String, Option<String>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_by: Option<String>,
}

impl Ruled {
    /// Whether nothing was decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn to_record(&self) -> Option<RuledRecord> {
        let texts = |all: &[NamedAddress]| all.iter().map(ToString::to_string).collect();
        let header = self.header.iter().map(|edit| (edit.name.clone(), edit.value.clone()));
        (!self.is_empty()).then(|| RuledRecord {
            rules: self.rules.clone(),
            author: self.author.as_ref().map(ToString::to_string),
            reply_to: self.reply_to.as_ref().map(ToString::to_string),
            header: header.collect(),
            signature: self.signature.clone(),
            cc: texts(&self.cc),
            bcc: texts(&self.bcc),
            priority: self.priority.map(|priority| priority.name().to_owned()),
            delay_until: self.delay_until.clone(),
            held_by: self.held_by.clone(),
            test_by: self.test_by.clone(),
        })
    }

    pub(super) fn of_record(record: RuledRecord) -> Result<Self, DecisionsError> {
        let read = |text: String| NamedAddress::parse(&text).ok_or(DecisionsError::Mailbox(text));
        let all = |texts: Vec<String>| texts.into_iter().map(read).collect::<Result<Vec<_>, _>>();
        let priority = |name: String| Priority::from_name(&name).ok_or(DecisionsError::Priority(name));
        let header = record.header.into_iter().map(|(name, value)| HeaderEdit { name, value });
        Ok(Self {
            rules: record.rules,
            author: record.author.map(read).transpose()?,
            reply_to: record.reply_to.map(read).transpose()?,
            header: header.collect(),
            signature: record.signature,
            cc: all(record.cc)?,
            bcc: all(record.bcc)?,
            priority: record.priority.map(priority).transpose()?,
            delay_until: record.delay_until,
            held_by: record.held_by,
            test_by: record.test_by,
        })
    }
}
