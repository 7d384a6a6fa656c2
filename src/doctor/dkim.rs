//! Our DKIM keys beside what is published for them (RFC 6376 3.6.1); `crate::dkim` compares.

use jiff::civil::Date;

use super::book::Book;
use super::diagnosis::{Check, Diagnosis, Notes};
use crate::dkim::{self, FindingLevel, OwnKey, Published};
use crate::dns::DnsName;

/// Whether what is published is our key, on that day.
#[must_use]
pub fn judge(key: &OwnKey, today: Date, book: &Book) -> Vec<Diagnosis> {
    let name = key.record().name;
    let mut notes = Notes::new(Check::Dkim, &name);
    for found in dkim::judge(key, &published(&name, book), today) {
        match found.level {
            FindingLevel::Warning => notes.warning(found.text, found.remedy),
            FindingLevel::Unknown => notes.unknown(found.text, found.remedy),
            FindingLevel::Fault => notes.fault(found.text, found.remedy),
        }
    }
    if notes.is_clean() {
        notes.ok("what is published is our key");
    }
    notes.done()
}

/// What the DNS has by the name of a key.
fn published(name: &str, book: &Book) -> Published {
    let name = match DnsName::parse(name) {
        Ok(name) => name,
        Err(error) => return Published::Unknown(error.to_string()),
    };
    match book.texts(&name) {
        Ok([]) => Published::Nothing { alias: book.alias(&name).map(ToString::to_string) },
        Ok(texts) => Published::Texts(texts.to_vec()),
        Err(error) => Published::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use mail_auth::common::crypto::DkimKey;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::signing_key;
    use crate::dkim::{DkimKeyType, KeyTerm, NewKey, generate};
    use crate::doctor::Level;
    use crate::doctor::book::testing::Zone;
    use crate::mail::DomainKey;

    #[test]
    fn what_is_published_is_our_key_or_not() {
        const NAME: &str = "s1._domainkey.firm.example";
        let private: DkimKey = signing_key(generate(NewKey::Ed25519).unwrap().expose_secret()).unwrap();
        let key = OwnKey::new(DomainKey::new("firm.example"), "s1".to_owned(), &private, KeyTerm::default());
        assert_eq!(key.public.key_type(), DkimKeyType::Ed25519);
        let value = key.record().value;
        for (case, zone, want) in [
            ("ours", vec![(NAME, "TXT", value.as_str())], Level::Ok),
            ("revoked", vec![(NAME, "TXT", "v=DKIM1; k=ed25519; p=")], Level::Fault),
            ("nothing", vec![], Level::Fault),
            ("a dead alias", vec![(NAME, "CNAME", "gone.example")], Level::Fault),
            ("no answer", vec![(NAME, "TXT", "!")], Level::Unknown),
        ] {
            let today = jiff::civil::date(2026, 11, 26);
            let found = Zone::of(&zone).judged(|book| judge(&key, today, book));
            assert_eq!(found.iter().map(|found| found.level).max(), Some(want), "{case}: {found:?}");
            assert!(found.iter().all(|found| found.level == Level::Ok || found.remedy.is_some()), "{case}");
        }
    }
}
