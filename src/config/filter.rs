//! Which senders an upstream serves, or a user may use, and whom a user may write to.

use crate::mail::{Address, AddressKey, DomainKey};

/// An entry of `filter`, `senders` or `recipients`, as the key by which addresses are compared with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Filter {
    /// A full address.
    Address(AddressKey),
    /// That domain alone.
    Domain(DomainKey),
    /// `*.domain`: its subdomains, without the `*.`.
    Subdomains(DomainKey),
}

impl Filter {
    /// Reads an address, a domain or `*.domain`; `None` when it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            return Address::parse(text).ok().map(|address| Self::Address(address.key()));
        }
        let domain = |text: &str| {
            let sound = Address::parse(&format!("a@{text}")).is_ok();
            sound.then(|| DomainKey::new(text))
        };
        match text.strip_prefix("*.") {
            Some(parent) => domain(parent).map(Self::Subdomains),
            None => domain(text).map(Self::Domain),
        }
    }

    /// Whether each address that another one names is named by it, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Domain(own), Self::Address(address)) => *own == address.domain(),
            (Self::Subdomains(own), Self::Address(address)) => address.domain().is_below(own),
            (Self::Subdomains(own), Self::Domain(domain)) => domain.is_below(own),
            (Self::Subdomains(own), Self::Subdomains(other)) => own == other || other.is_below(own),
            _ => self == other,
        }
    }

    /// Whether one of these names this address, in whatever spelling. Its key is made once: that is what costs.
    #[must_use]
    pub fn any_matches(filters: &[Self], address: &Address) -> bool {
        let key = address.key();
        let domain = key.domain();
        filters.iter().any(|filter| match filter {
            Self::Address(address) => *address == key,
            Self::Domain(name) => *name == domain,
            Self::Subdomains(parent) => domain.is_below(parent),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_all_spellings() {
        for (filter, address, want) in [
            ("Ann@Müller.test", "ann@xn--mller-kva.test", true),
            ("ann@xn--mller-kva.test", "\"Ann\"@mu\u{308}ller。test", true),
            ("ann@müller.test", "bob@müller.test", false),
            ("MÜLLER.test", "x@XN--MLLER-KVA.test", true),
            ("müller.test", "x@a.müller.test", false),
            ("*.müller.test", "x@a.xn--mller-kva.TEST", true),
            ("*.müller.test", "x@xn--a.b.xn--mller-kva.test", true),
            ("*.müller.test", "x@müller.test", false),
            ("*.ller.test", "x@müller.test", false),
            ("firm.test", "\"x@firm.test\"@evil.test", false),
        ] {
            let filter = Filter::parse(filter).unwrap();
            let found = Filter::any_matches(std::slice::from_ref(&filter), &Address::parse(address).unwrap());
            assert_eq!(found, want, "{filter:?} {address}");
        }
        for (filter, other, want) in [
            ("a@firm.test", "A@FIRM.test", true),
            ("a@firm.test", "firm.test", false),
            ("firm.test", "a@firm.test", true),
            ("firm.test", "a@x.firm.test", false),
            ("firm.test", "*.firm.test", false),
            ("*.firm.test", "firm.test", false),
            ("*.firm.test", "x.firm.test", true),
            ("*.firm.test", "a@x.firm.test", true),
            ("*.firm.test", "*.x.firm.test", true),
            ("*.x.firm.test", "*.firm.test", false),
        ] {
            let [own, named] = [filter, other].map(|text| Filter::parse(text).unwrap());
            assert_eq!(own.covers(&named), want, "{filter} {other}");
        }
        for wrong in ["", "*.", "a b", "@firm.test", "a@", "firm..test"] {
            assert_eq!(Filter::parse(wrong), None, "{wrong}");
        }
    }
}
