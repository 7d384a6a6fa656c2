//! Which mailbox a message goes as, where its author says so (`mailbox = "from"`).

use crate::config::Filter;
use crate::mail::Address;
use crate::mail::header::{self, Fields, strict_mailboxes};
use crate::smtp::Reply;

/// The one address of the From field, where one of the filters covers it. The right of an application may reach every mailbox
/// of an organization: what can't be read with certainty names none.
///
/// # Errors
/// The reply that says what is wrong.
pub(super) fn of_author(content: &[u8], filter: &[Filter]) -> Result<Address, Reply> {
    let refused = |what: &str| Reply::new(550, (5, 1, 8), format!("not sent: {what}"));
    let section = &content[..header::end(content).unwrap_or(content.len())];
    let fields: Vec<_> = Fields::new(section).filter(|field| field.careless_name() == b"from").collect();
    let [field] = fields.as_slice() else {
        return Err(refused("the mailbox is that of the From field, and there is not exactly one"));
    };
    let author = strict_mailboxes(field.value()).filter(|_| field.is("From"));
    let Some([author]) = author.as_deref() else {
        return Err(refused("the mailbox is that of the From field, which is not one address"));
    };
    if !author.is_ascii() || !Filter::any_matches(filter, author) {
        return Err(refused(&format!("the filter of the upstream does not cover the mailbox <{author}>")));
    }
    Ok(author.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_a_filter_covers() {
        let filter: Vec<_> =
            ["firm.example", "chief@other.example"].iter().filter_map(|text| Filter::parse(text)).collect();
        for (header, want) in [
            ("From: a@firm.example", Some("a@firm.example")),
            ("From: \"A, B\" <A@Firm.Example>", Some("A@Firm.Example")),
            ("From: chief@other.example", Some("chief@other.example")),
            ("From: x@other.example", None),
            ("From: a@sub.firm.example", None),
            ("From: a@firm.example, b@firm.example", None),
            ("From: a@firm.example\r\nFrom: ceo@firm.example", None),
            ("From: a@firm.example\r\nFROM : ceo@firm.example", None),
            ("From: \"a@firm.example\" <ceo@big.example>", None),
            ("From: a@firm.example <ceo@big.example>", None),
            ("From: a@firm.example (", None),
            ("From:", None),
            ("Sender: a@firm.example", None),
        ] {
            let content = format!("{header}\r\nTo: b@dest.example\r\n\r\nFrom: ceo@firm.example\r\n");
            let got = of_author(content.as_bytes(), &filter);
            assert_eq!(got.as_ref().ok().map(Address::as_str), want, "{header}");
        }
        let refused = of_author(b"From: x@other.example\r\n\r\n", &filter).unwrap_err();
        assert!(refused.to_string().contains("does not cover the mailbox <x@other.example>"), "{refused}");
    }
}
