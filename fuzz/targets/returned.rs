//! Delivery reports that strangers may have written.

use mailsluice::mail::Address;
use mailsluice::returned::read;

/// A message.
pub(crate) fn returned(input: &[u8]) {
    let Ok(report) = read(input) else { return };
    assert!(!report.recipients.is_empty(), "a report tells of somebody");
    for recipient in &report.recipients {
        assert!(!recipient.said.chars().any(char::is_control) && recipient.said.chars().count() <= 200);
        assert!(recipient.verdict.is_err() || Address::parse(&recipient.address).is_ok());
    }
}
