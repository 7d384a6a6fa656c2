//! Domain names: as the DNS knows them, and as they are compared. One name has many spellings: capitals, letters with their
//! accents apart, full-width letters and dots, A-labels and U-labels (RFC 5890 2.3.2.1).

use std::borrow::{Borrow, Cow};
use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Dots that people type in domain names (UTS 46 2.3).
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// A domain name as the DNS knows it: lower case, with A-labels (RFC 5891 4, by the mapping of UTS 46, non-transitional).
///
/// `None` when it has no such form: it holds what no domain name can hold, a label would be longer than 63 octets, or it is an
/// address literal. An underscore is met kindly, as real host names have it.
#[must_use]
pub fn to_ascii(domain: &str) -> Option<String> {
    let domain = composed(domain);
    // What is denied are control characters, the at-sign, and whatever else must not come out of a look-alike.
    let mapped =
        Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Verify);
    mapped.ok().map(Cow::into_owned)
}

/// The domain as a server without SMTPUTF8 takes it: one that is ASCII already stays as it is, another goes in A-labels. `None`
/// when it has no such form.
#[must_use]
pub fn in_ascii(domain: &str) -> Option<Cow<'_, str>> {
    if domain.is_ascii() { Some(Cow::Borrowed(domain)) } else { to_ascii(domain).map(Cow::Owned) }
}

/// What domains are compared by: equal for all spellings of one name.
///
/// A key only compares. What is sent is never written from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainKey(String);

impl DomainKey {
    /// The key of a domain name or an address literal, in any spelling. What is neither keeps its text in lower case, label by
    /// label, so that the labels around it are still what they are.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        if let Some(literal) = literal(domain) {
            return Self(literal);
        }
        let by_label = || {
            let labels = domain.split(DOTS).map(|label| to_ascii(label).unwrap_or_else(|| lower(label)));
            labels.collect::<Vec<_>>().join(".")
        };
        Self(to_ascii(domain).unwrap_or_else(by_label))
    }

    /// The key whose text this is.
    pub(super) fn of_key(text: &str) -> Self {
        debug_assert_eq!(Self::new(text).as_str(), text, "a key is its own key");
        Self(text.to_owned())
    }

    /// The text of the key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a domain below the other one.
    #[must_use]
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// The domains above this one, the nearest first.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('.').map(|(dot, _)| &self.0[dot + 1..])
    }
}

impl fmt::Display for DomainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for DomainKey {
    fn from(domain: &str) -> Self {
        Self::new(domain)
    }
}

/// So that a table of keys can be asked for a parent.
impl Borrow<str> for DomainKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What has no other canonical form: composed, in lower case.
pub(super) fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    composed(&composed(text).to_lowercase()).into_owned()
}

/// In NFC, which most text is: each message has its addresses compared several times.
fn composed(text: &str) -> Cow<'_, str> {
    if is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// An address literal (RFC 5321 4.1.3) in one spelling.
fn literal(domain: &str) -> Option<String> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    let v6 = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).map(|_| &inner[5..]);
    match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().ok().map(|ip| format!("[ipv6:{ip}]")),
        None => inner.parse::<std::net::Ipv4Addr>().ok().map(|ip| format!("[{ip}]")),
    }
}

/// Whether it is an address literal: `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
pub(super) fn is_literal(domain: &str) -> bool {
    literal(domain).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_domain_has_one_key() {
        for (spellings, want) in [
            (
                &[
                    "müller.test",
                    "MÜLLER.TEST",
                    "mu\u{308}ller.test",
                    "xn--mller-kva.test",
                    "XN--MLLER-KVA.Test",
                    "ｍüller．test",
                    "müller。test",
                    "m\u{ad}üller.test",
                ][..],
                "xn--mller-kva.test",
            ),
            (&["straße.test", "STRAßE.test", "xn--strae-oqa.test"], "xn--strae-oqa.test"),
            (&["Host_Name.Example"], "host_name.example"),
            (&["r3---sn-x.example"], "r3---sn-x.example"),
            (&["[192.0.2.1]"], "[192.0.2.1]"),
            (&["[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]"], "[ipv6:2001:db8::1]"),
            // What has no A-label keeps its text; the rest of the name is found all the same.
            (&["xn--a.müller.test", "XN--A.xn--mller-kva.test"], "xn--a.xn--mller-kva.test"),
            // Look-alikes of what ends a domain are not taken for it.
            (&["evil＠firm.test"], "evil＠firm.test"),
            (&["firm／x.test"], "firm／x.test"),
            (&["firm\u{3000}x.test"], "firm\u{3000}x.test"),
        ] {
            for spelling in spellings {
                assert_eq!(DomainKey::new(spelling).as_str(), want, "{spelling}");
            }
        }
    }

    #[test]
    fn only_domain_names_have_a_form_for_the_dns() {
        let long = format!("{}ü.test", "a".repeat(60));
        for (domain, want) in [
            ("Müller.Test", Some("xn--mller-kva.test")),
            ("firm.example", Some("firm.example")),
            ("a_b.example", Some("a_b.example")),
            ("[192.0.2.1]", None),
            ("a＠b.test", None),
            ("a..b", None),
            ("", None),
            (&long, None),
        ] {
            assert_eq!(to_ascii(domain).as_deref(), want, "{domain}");
        }
    }

    #[test]
    fn domains_go_in_ascii() {
        for (domain, want) in [
            ("Firm.test", Some("Firm.test")),
            ("[192.0.2.1]", Some("[192.0.2.1]")),
            ("M\u{dc}LLER.test", Some("xn--mller-kva.test")),
            ("a_b.\u{fc}.test", Some("a_b.xn--tda.test")),
            ("\u{ff20}.\u{fc}.test", None),
            ("\u{fc}..test", None),
        ] {
            assert_eq!(in_ascii(domain).as_deref(), want, "{domain}");
        }
    }

    #[test]
    fn knows_what_is_below() {
        let key = DomainKey::new;
        assert!(key("a.müller.test").is_below(&key("xn--mller-kva.test")));
        assert!(!key("müller.test").is_below(&key("müller.test")));
        assert!(!key("notmüller.test").is_below(&key("müller.test")));
        assert!(!key("xfirm.test").is_below(&key("firm.test")));
        assert_eq!(key("A.b.c").parents().collect::<Vec<_>>(), ["b.c", "c"]);
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(text in any::<String>(), near in "(xn--)?[a-zA-ZüßΣ.。﹒-]{0,12}[\\PC]{0,3}\\.[A-Z]{2}") {
            for text in [text, near] {
                let key = DomainKey::new(&text);
                prop_assert_eq!(&DomainKey::new(key.as_str()), &key);
                prop_assert!(text.contains('@') || !key.as_str().contains('@'));
            }
        }
    }
}
