//! Domains as servers without SMTPUTF8 know them.

use std::borrow::Cow;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use super::Address;

/// The domain in A-labels (RFC 5890 2.3.2.1; UTS 46, non-transitional); one that is ASCII already stays as it is. `None` when
/// it has no such form.
#[must_use]
pub fn to_ascii(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.to_owned());
    }
    let mapped =
        Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Verify);
    mapped.ok().map(Cow::into_owned)
}

/// The address as a server without SMTPUTF8 takes it (RFC 6531 3.2): its domain in A-labels. `None` when it has no such
/// form, above all since its local part is not ASCII.
#[must_use]
pub fn without_smtputf8(address: &Address) -> Option<Cow<'_, str>> {
    if address.is_ascii() {
        return Some(Cow::Borrowed(address.as_str()));
    }
    let local = address.local();
    let domain = to_ascii(address.domain()).filter(|_| local.is_ascii())?;
    Some(Cow::Owned(format!("{local}@{domain}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_become_a_labels() {
        let long = format!("{}.test", "\u{fc}".repeat(60));
        for (domain, want) in [
            ("Firm.test", Some("Firm.test")),
            ("[192.0.2.1]", Some("[192.0.2.1]")),
            ("m\u{fc}ller.test", Some("xn--mller-kva.test")),
            ("M\u{dc}LLER.test", Some("xn--mller-kva.test")),
            ("mu\u{308}ller\u{3002}test", Some("xn--mller-kva.test")),
            ("stra\u{df}e.test", Some("xn--strae-oqa.test")),
            ("a_b.\u{fc}.test", Some("a_b.xn--tda.test")),
            ("\u{ff20}.\u{fc}.test", None),
            ("\u{fc}..test", None),
            ("\u{fffd}.test", None),
            (&long, None),
        ] {
            assert_eq!(to_ascii(domain).as_deref(), want, "{domain}");
        }
    }

    #[test]
    fn only_a_local_part_needs_smtputf8() {
        for (address, want) in [
            ("Info@Firm.test", Some("Info@Firm.test")),
            ("\"a b\"@m\u{fc}ller.test", Some("\"a b\"@xn--mller-kva.test")),
            ("m\u{fc}ller@firm.test", None),
            ("m\u{fc}ller@m\u{fc}ller.test", None),
        ] {
            let address = Address::parse(address).unwrap();
            assert_eq!(without_smtputf8(&address).as_deref(), want, "{address}");
        }
    }
}
