//! What addresses are compared by: one key for all spellings of one mailbox.

use std::fmt;

use super::address::{is_plain, local_end, unquoted};
use super::domain::lower;
use super::{Address, DomainKey};

/// What addresses are compared by: without quotes that it does not need, composed (NFC), in lower case, and with the
/// [`DomainKey`] behind the `@`.
///
/// A key only compares: it is what filters, granted senders, the blacklist, bound accounts, lanes and counters go by. What is
/// sent is never written from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey {
    text: String,
    /// Where the domain begins: behind the `@`, or at the end.
    domain: usize,
}

impl AddressKey {
    /// The key of any text: an address in some spelling, the text of a key, or what is no address, such as a login name, which
    /// is compared in lower case. A key is its own key.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        match local_end(text.as_bytes()) {
            Ok(at) if is_one_domain(&text[at + 1..]) => Self::of_parts(&text[..at], &text[at + 1..]),
            _ => {
                let text = lower(text);
                Self { domain: text.len(), text }
            }
        }
    }

    fn of_parts(local: &str, domain: &str) -> Self {
        let mut text = canonical_local(local);
        text.push('@');
        let start = text.len();
        text.push_str(DomainKey::new(domain).as_str());
        Self { text, domain: start }
    }

    /// The text of the key, which can be stored; empty for an empty text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The domain; empty where the text was no address.
    #[must_use]
    pub fn domain(&self) -> DomainKey {
        DomainKey::of_key(&self.text[self.domain..])
    }
}

impl Address {
    /// What it is compared by.
    #[must_use]
    pub fn key(&self) -> AddressKey {
        AddressKey::of_parts(self.local(), self.domain())
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<AddressKey> for String {
    fn from(key: AddressKey) -> Self {
        key.text
    }
}

fn is_one_domain(text: &str) -> bool {
    !text.is_empty() && !text.contains('@')
}

/// A local part in one spelling, quoted only where it must be.
fn canonical_local(local: &str) -> String {
    let text = lower(&unquoted(local));
    if is_plain(text.as_bytes()) {
        return text;
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    use super::*;

    #[test]
    fn a_mailbox_has_one_key() {
        for (spellings, want) in [
            (
                &["Chief@Firm.Example", "\"chief\"@firm.example", "\"\\c\\h\\ief\"@FIRM.example"][..],
                "chief@firm.example",
            ),
            (
                &["ann@müller.test", "ANN@xn--mller-kva.test", "\"Ann\"@mu\u{308}ller。test"],
                "ann@xn--mller-kva.test",
            ),
            (&["jürgen@x.test", "JÜRGEN@x.test", "ju\u{308}rgen@x.test"], "jürgen@x.test"),
            (&["\"A b\"@x.test", "\"a\\ b\"@x.test"], "\"a b\"@x.test"),
            (&["\"a@b\"@x.test"], "\"a@b\"@x.test"),
            (&["\"a\\\"b\\\\\"@x.test"], "\"a\\\"b\\\\\"@x.test"),
            (&["a..b.@x.test", "\"a..b.\"@x.test"], "a..b.@x.test"),
            (&["\"\"@x.test"], "\"\"@x.test"),
            // A character that is composed into one that must be quoted.
            (&["a\u{37e}b@x.test", "\"a;b\"@x.test"], "\"a;b\"@x.test"),
            (&["a@evil＠x.test"], "a@evil＠x.test"),
            // No addresses: login names, and nothing.
            (&["ERP Süd", "erp su\u{308}d"], "erp süd"),
            (&["a@b@C"], "a@b@c"),
            (&[""], ""),
        ] {
            for spelling in spellings {
                assert_eq!(AddressKey::of_text(spelling).as_str(), want, "{spelling}");
                if let Ok(address) = Address::parse(spelling) {
                    assert_eq!(address.key(), AddressKey::of_text(want), "{spelling}");
                }
            }
        }
        assert_eq!(AddressKey::of_text("a@X.test").domain(), DomainKey::new("x.test"));
        assert_eq!(AddressKey::of_text("a").domain(), DomainKey::new(""));
    }

    /// One spelling of a mailbox, by the bits of a number.
    fn spelt(local: &str, domain: &str, how: u8) -> String {
        let has = |bit: u8| how & (1 << bit) != 0;
        let cased = |text: &str, bit| if has(bit) { text.to_uppercase() } else { text.to_owned() };
        let formed = |text: String, bit| if has(bit) { text.nfd().collect() } else { text };
        let local = formed(cased(local, 0), 1);
        let local = match (has(2), has(3)) {
            (false, _) => local,
            (true, false) => format!("\"{local}\""),
            (true, true) => format!("\"\\{local}\""),
        };
        let wide = |c: char| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c),
            '.' => '。',
            c => c,
        };
        let mut domain = match how >> 6 {
            1 => super::super::to_ascii(domain).unwrap_or_else(|| domain.to_owned()),
            2 => domain.chars().map(wide).collect(),
            3 => domain.replace('.', "．"),
            _ => domain.to_owned(),
        };
        domain = formed(cased(&domain, 4), 5);
        format!("{local}@{domain}")
    }

    proptest! {
        #[test]
        fn all_spellings_have_one_key(
            local in "[a-z0-9][a-z0-9äöüéñåçøþжщдγδω.+_=-]{0,9}",
            domain in "[a-z][a-z0-9äöüéñåçøþжщдγδω]{0,5}\\.[a-z0-9äöüéñåçøþжщдγδω]{0,3}[a-z]",
        ) {
            let want = AddressKey::of_text(&spelt(&local, &domain, 0));
            for how in 0..=u8::MAX {
                let spelling = spelt(&local, &domain, how);
                prop_assert_eq!(&AddressKey::of_text(&spelling), &want, "{}", spelling);
            }
        }

        #[test]
        fn a_key_is_its_own_key(text in any::<String>(), near in "[\\PC]{0,6}(\\.|\"|\\\\)?@[\\PC]{1,8}") {
            for text in [text, near] {
                let key = AddressKey::of_text(&text);
                prop_assert_eq!(&AddressKey::of_text(key.as_str()), &key);
                if let Ok(address) = Address::parse(&text) {
                    prop_assert_eq!(address.key(), key);
                }
            }
        }
    }
}
