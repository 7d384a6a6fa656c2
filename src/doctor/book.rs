//! What the DNS has said until now, and what it is still to be asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::dns::{DnsName, DnsQuestion, LookupError, MailExchange, RecordKind, Records};

/// The answer to a question that nobody has asked yet. Whatever is judged from it is judged again.
const NOT_ASKED: &LookupError = &LookupError::NoRecord;

/// Answers by their questions.
#[derive(Debug, Default)]
pub struct Book {
    known: BTreeMap<DnsQuestion, DnsAnswer>,
    wanted: RefCell<BTreeSet<DnsQuestion>>,
}

/// An answer.
pub type DnsAnswer = Result<Records, LookupError>;

impl Book {
    /// Writes an answer down.
    pub fn note(&mut self, question: DnsQuestion, answer: DnsAnswer) {
        self.known.insert(question, answer);
    }

    /// How many answers there are.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.known.len()
    }

    /// What was asked since the last time and has no answer. As long as there is any, what was judged does not count.
    pub fn take_wanted(&self) -> BTreeSet<DnsQuestion> {
        self.wanted.take()
    }

    fn ask(&self, name: &DnsName, kind: RecordKind) -> Result<&Records, &LookupError> {
        let question = DnsQuestion { name: name.clone(), kind };
        if let Some(known) = self.known.get(&question) {
            return known.as_ref();
        }
        self.wanted.borrow_mut().insert(question);
        Err(NOT_ASKED)
    }

    /// The texts of a name; none where there is nothing.
    pub(super) fn texts(&self, name: &DnsName) -> Result<&[String], &LookupError> {
        match self.ask(name, RecordKind::Txt) {
            Ok(Records::Texts(texts)) => Ok(texts),
            Ok(_) => Ok(&[]),
            Err(error) if error.is_absence() => Ok(&[]),
            Err(error) => Err(error),
        }
    }

    /// What a name is another name of, where it is one.
    pub(super) fn alias(&self, name: &DnsName) -> Option<&DnsName> {
        match self.ask(name, RecordKind::Cname) {
            Ok(Records::Names(names)) => names.first(),
            _ => None,
        }
    }

    /// Whether the DNS says that there is no TXT record.
    pub(super) fn has_no_text(&self, name: &DnsName) -> bool {
        self.ask(name, RecordKind::Txt).is_err_and(LookupError::is_absence)
    }

    /// Who takes the mail of a name; none where nobody is named.
    pub(super) fn exchanges(&self, name: &DnsName) -> Result<&[MailExchange], &LookupError> {
        match self.ask(name, RecordKind::Mx) {
            Ok(Records::Exchanges(exchanges)) => Ok(exchanges),
            Ok(_) => Ok(&[]),
            Err(error) if error.is_absence() => Ok(&[]),
            Err(error) => Err(error),
        }
    }

    /// The addresses of a name, of both families; none where there are none.
    pub(super) fn addresses(&self, name: &DnsName) -> Result<Vec<IpAddr>, &LookupError> {
        let mut addresses = Vec::new();
        let mut failed = None;
        for kind in [RecordKind::A, RecordKind::Aaaa] {
            match self.ask(name, kind) {
                Ok(Records::Addresses(found)) => addresses.extend(found),
                Ok(_) => {}
                Err(error) if error.is_absence() => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }

    /// The names of an address; none where it has none.
    pub(super) fn names_of(&self, address: IpAddr) -> Result<&[DnsName], &LookupError> {
        match self.ask(&DnsName::reverse(address), RecordKind::Ptr) {
            Ok(Records::Names(names)) => Ok(names),
            Ok(_) => Ok(&[]),
            Err(error) if error.is_absence() => Ok(&[]),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A book in which all is known: `name KIND value` for each record, `name KIND !` for a look-up that fails. All else is
    /// absent.
    pub(crate) struct Zone(pub(crate) Vec<(&'static str, &'static str, String)>);

    impl Zone {
        pub(crate) fn of(records: &[(&'static str, &'static str, &str)]) -> Self {
            Self(records.iter().map(|&(name, kind, value)| (name, kind, value.to_owned())).collect())
        }

        fn answer(&self, question: &DnsQuestion) -> DnsAnswer {
            let here = |&&(name, kind, _): &&(&str, &str, String)| {
                name == question.name.as_str() && kind == question.kind.as_str()
            };
            let values: Vec<&str> = self.0.iter().filter(here).map(|(_, _, value)| value.as_str()).collect();
            let name = |text: &str| DnsName::parse(text).unwrap();
            let exchange = |text: &str| {
                let (preference, host) = text.split_once(' ').unwrap();
                let host = (host != ".").then(|| name(host));
                MailExchange { preference: preference.parse().unwrap(), host }
            };
            match (values.as_slice(), question.kind) {
                ([], _) => Err(LookupError::NoName),
                (["!"], _) => Err(LookupError::Unanswered("time-out".to_owned())),
                (values, RecordKind::Txt) => {
                    Ok(Records::Texts(values.iter().map(ToString::to_string).collect()))
                }
                (values, RecordKind::Mx) => {
                    Ok(Records::Exchanges(values.iter().map(|value| exchange(value)).collect()))
                }
                (values, RecordKind::A | RecordKind::Aaaa) => {
                    Ok(Records::Addresses(values.iter().map(|value| value.parse().unwrap()).collect()))
                }
                (values, RecordKind::Ptr | RecordKind::Cname) => {
                    Ok(Records::Names(values.iter().map(|value| name(value)).collect()))
                }
            }
        }

        /// Judges until nothing is missing.
        pub(crate) fn judged<T>(&self, judge: impl Fn(&Book) -> T) -> T {
            let mut book = Book::default();
            loop {
                let judged = judge(&book);
                let wanted = book.take_wanted();
                if wanted.is_empty() {
                    return judged;
                }
                for question in wanted {
                    let answer = self.answer(&question);
                    book.note(question, answer);
                }
            }
        }
    }
}
