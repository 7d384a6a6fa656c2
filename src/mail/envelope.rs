//! The envelope: who a message is from and for, apart from what its header says.

use std::collections::HashMap;

use super::{Address, AddressKey, ReversePath};

/// How the client declared the content (RFC 6152, RFC 6531).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing was declared, or `BODY=7BIT`.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
}

/// Reverse-path and recipients of one message (RFC 5321 2.3.1). There is always at least one recipient, and none
/// twice: two spellings of one mailbox are one recipient, who is sent to as it was given first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// What the client declared about the content.
    pub body: Body,
    /// Whether the client asked for SMTPUTF8.
    pub smtputf8: bool,
    recipients: Vec<Address>,
    places: HashMap<AddressKey, usize>,
}

impl Envelope {
    /// An envelope with its first recipient.
    #[must_use]
    pub fn new(reverse_path: ReversePath, first: Address) -> Self {
        let mut envelope = Self {
            reverse_path,
            body: Body::SevenBit,
            smtputf8: false,
            recipients: Vec::new(),
            places: HashMap::new(),
        };
        envelope.add(first);
        envelope
    }

    /// Adds one more recipient, unless it is there. Returns its place.
    pub fn add(&mut self, recipient: Address) -> usize {
        let next = self.recipients.len();
        let place = *self.places.entry(recipient.key()).or_insert(next);
        if place == next {
            self.recipients.push(recipient);
        }
        place
    }

    /// Where a recipient stands, in whatever spelling it was given.
    #[must_use]
    pub fn place_of(&self, recipient: &Address) -> Option<usize> {
        self.places.get(&recipient.key()).copied()
    }

    /// The recipients in the order the client gave them; never empty.
    #[must_use]
    pub fn recipients(&self) -> &[Address] {
        &self.recipients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_recipient_stands_twice() {
        let address = |text| Address::parse(text).unwrap();
        let mut envelope = Envelope::new(ReversePath::Null, address("Ann@Müller.test"));
        for (again, place) in [
            ("bob@x.test", 1),
            ("ann@xn--mller-kva.test", 0),
            ("\"bob\"@X.test", 1),
            ("\"bob \"@x.test", 2),
            ("bob@y.test", 3),
            ("BOB@x.test", 1),
        ] {
            assert_eq!(envelope.add(address(again)), place, "{again}");
            assert_eq!(envelope.place_of(&address(again)), Some(place), "{again}");
        }
        let kept: Vec<_> = envelope.recipients().iter().map(Address::as_str).collect();
        assert_eq!(kept, ["Ann@Müller.test", "bob@x.test", "\"bob \"@x.test", "bob@y.test"]);
        assert_eq!(envelope.place_of(&address("eve@x.test")), None);
    }
}
