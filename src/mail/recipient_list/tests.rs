use proptest::prelude::*;

use super::*;

fn read(value: &str) -> Result<Vec<String>, ListFault> {
    let list = RecipientList::parse(value.as_bytes())?;
    Ok(list.mailboxes().map(|mailbox| mailbox.address.to_string()).collect())
}

fn all(name: &str, value: &str) -> String {
    String::from_utf8(RecipientList::parse(value.as_bytes()).unwrap().to_field(name)).unwrap()
}

#[test]
fn what_is_beyond_doubt_stays_as_it_is() {
    for (value, want) in [
        ("a@x.test", &["a@x.test"][..]),
        (" Mary Smith <a@x.test>,\r\n\tJ. R. <b@x.test>\r\n", &["a@x.test", "b@x.test"]),
        ("\"Smith, \\\"M\\\"; <\" <a@x.test>", &["a@x.test"]),
        ("Mary<a@x.test>", &["a@x.test"]),
        ("=?utf-8?Q?M=C3=BCller=2C_a?= =?utf-8?B?eA==?= <a@x.test>", &["a@x.test"]),
        ("a@x.test (Mary), (Eve) b@x.test", &["a@x.test", "b@x.test"]),
        ("Team: a@x.test, B <b@x.test>;, c@x.test", &["a@x.test", "b@x.test", "c@x.test"]),
        ("undisclosed-recipients:;", &[]),
        ("\"The Team\" of : ;", &[]),
        ("o'brien+x=y/z@mail_1.x.test", &["o'brien+x=y/z@mail_1.x.test"]),
        ("", &[]),
    ] {
        assert_eq!(
            read(value).as_deref(),
            Ok(&want.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
            "{value}"
        );
        assert!(RecipientList::parse(value.as_bytes()).unwrap().is_canonical(), "{value}");
    }
}

#[test]
fn what_has_an_odd_form_is_written_anew() {
    for (value, want) in [
        (",a@x.test,, b@x.test,", "To: a@x.test,\r\n b@x.test\r\n"),
        ("< a@x.test >", "To: <a@x.test>\r\n"),
        ("a@x.test <a@x.test>", "To: \"a@x.test\" <a@x.test>\r\n"),
        ("[Team] X <a@x.test> (home)", "To: \"[Team] X\" <a@x.test> (home)\r\n"),
        ("A: a@x.test,;,", "To: A: a@x.test;\r\n"),
    ] {
        assert!(!RecipientList::parse(value.as_bytes()).unwrap().is_canonical(), "{value}");
        assert_eq!(all("To", value), want, "{value}");
    }
}

#[test]
fn what_may_be_read_in_two_ways_is_a_fault() {
    for (value, want) in [
        ("M\u{fc}ller <a@x.test>", ListFault::Character),
        ("a@x.test\u{1}", ListFault::Character),
        ("\"open <a@x.test>", ListFault::Grammar),
        ("(open a@x.test", ListFault::Grammar),
        ("<a@x.test", ListFault::Grammar),
        ("a@x.test>", ListFault::Grammar),
        ("a@x.test)", ListFault::Grammar),
        ("A: a@x.test", ListFault::Grammar),
        ("a@x.test;", ListFault::Grammar),
        ("A: B: a@x.test;;", ListFault::Grammar),
        (": a@x.test;", ListFault::Grammar),
        ("a@y.test: a@x.test;", ListFault::Grammar),
        ("A: a@x.test; b@x.test", ListFault::Grammar),
        ("(A): a@x.test;", ListFault::Grammar),
        ("a(c)@x.test", ListFault::Grammar),
        ("Mary", ListFault::Word),
        ("a@x.test b@x.test", ListFault::Word),
        ("<a@x.test> b@x.test", ListFault::Word),
        ("<a@x.test> <b@x.test>", ListFault::Word),
        ("a . b @ x.test", ListFault::Word),
        ("<root>", ListFault::Word),
        ("<@y.test:a@x.test>", ListFault::Address),
        ("\"a b\"@x.test", ListFault::Address),
        ("\"a\"@x.test", ListFault::Address),
        ("a@[192.0.2.1]", ListFault::Address),
        ("=?utf-8?Q?a?=@x.test", ListFault::Address),
        ("a..b@x.test", ListFault::Address),
        (".a@x.test", ListFault::Address),
        ("<a@x.test\r\n b@y.test>", ListFault::Address),
        ("a@x.test (b, c)", ListFault::Comment),
        ("(a (b)) a@x.test", ListFault::Comment),
        ("a@x.test, (b)", ListFault::Comment),
        ("\"a\"b <a@x.test>", ListFault::Name),
        ("=?utf-8?Q?a?= [b] <a@x.test>", ListFault::Name),
    ] {
        assert_eq!(read(value), Err(want), "{value:?}");
    }
    assert_eq!(read(&"a ".repeat(MAX_TOKENS + 1)), Err(ListFault::Long));
    assert_eq!(read(&"a@x.test,".repeat(MAX_MAILBOXES + 1)), Err(ListFault::Long));
}

#[test]
fn mailboxes_are_taken_out_as_they_are_written() {
    let value = "\"B, b\"\r\n <b@x.test>, a@x.test, T: c@x.test, b@x.test (x);";
    let mut list = RecipientList::parse(value.as_bytes()).unwrap();
    let taken = list.take_out(|address| !address.as_str().starts_with("b@"));
    assert!(!list.is_canonical());
    assert_eq!(list.to_field("To"), b"To: a@x.test,\r\n T: c@x.test;\r\n");
    assert_eq!(
        ListedMailbox::to_field("X-Other-To", &taken),
        b"X-Other-To: \"B, b\"\r\n <b@x.test>,\r\n b@x.test (x)\r\n"
    );
    assert!(list.take_out(|_| true).is_empty());
    assert_eq!(list.take_out(|_| false).len(), 2);
    assert_eq!(list.to_field("To"), b"To: T: ;\r\n");
}

#[test]
fn recipients_are_plain_or_not() {
    for (address, want) in [
        ("a.b+c@x.test", Some("a.b+c@x.test")),
        ("a@m\u{fc}ller.test", Some("a@xn--mller-kva.test")),
        ("\u{fc}@x.test", None),
        ("\"a\"@x.test", None),
        ("a.@x.test", None),
        ("a@[192.0.2.1]", None),
        ("=?a?=@x.test", None),
    ] {
        assert_eq!(plain_recipient(&Address::parse(address).unwrap()).as_deref(), want, "{address}");
    }
}

#[test]
fn careless_readers_find_addresses_in_free_text() {
    for (text, want) in [
        ("Mary @ home", Some(&[][..])),
        ("\"ask A@X.test, or\r\n 'b@x.test'\"", Some(&["a@x.test", "b@x.test"])),
        ("a@b@c.test", Some(&["a@b", "b@c.test"])),
        ("=?utf-8?Q?bob=40x=2Etest?=", Some(&["bob@x.test"])),
        ("bob\u{ff20}x.test", Some(&["bob@x.test"])),
        ("\"<x\"", None),
        ("=?utf-8?Q?=3Ca?=", None),
        ("=?utf-8?Q?a=0D=0ABcc:b?=", None),
    ] {
        let found = named_in(text).map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>());
        let found = found.map(|mut found| {
            found.sort();
            found.dedup();
            found
        });
        assert_eq!(found, want.map(|want| want.iter().map(ToString::to_string).collect()), "{text:?}");
    }
}

proptest! {
    /// Whatever is read, others read the same, before and after it is written anew.
    #[test]
    fn others_read_the_same(value in "[ab@.,:;<>()\\[\\]\"\\\\ =?']{0,40}", octets in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = RecipientList::parse(&octets);
        if let Ok(list) = RecipientList::parse(value.as_bytes()) {
            let ours: Vec<_> = list.mailboxes().map(|mailbox| mailbox.address.clone()).collect();
            prop_assert_eq!(&crate::mail::header::mailboxes(value.as_bytes()), &ours, "{}", value);
            let field = list.to_field("To");
            let again = RecipientList::parse(&field[3..]).unwrap();
            prop_assert!(again.is_canonical());
            let again: Vec<_> = again.mailboxes().map(|mailbox| mailbox.address.clone()).collect();
            prop_assert_eq!(again, ours);
        }
    }
}
