use super::*;

fn mailbox(text: &str) -> NamedAddress {
    NamedAddress::parse(text).unwrap()
}

fn with_author(header: &str, author: &str) -> String {
    let content = format!("{header}\r\nFrom: in the body\r\n");
    let mut parsed = Header::parse(content.as_bytes());
    set_author(&mut parsed, &mailbox(author));
    String::from_utf8(parsed.to_content()).unwrap().replace("\r\nFrom: in the body\r\n", "")
}

#[test]
fn the_author_is_written_in_its_place() {
    for (header, want) in [
        ("A: 1\r\nFrom: x@y.test\r\nB:  2\r\n", "A: 1\r\nFrom: Firm <a@firm.test>\r\nB:  2\r\n"),
        ("A: 1\r\n b\r\nB:2", "A: 1\r\n b\r\nB:2\r\nFrom: Firm <a@firm.test>\r\n"),
        ("FROM : X\r\n <x@y.test>\r\nB: 2\r\n", "From: Firm <a@firm.test>\r\nB: 2\r\n"),
        ("From:\r\nTo: b@c.test\r\n", "From: Firm <a@firm.test>\r\nTo: b@c.test\r\n"),
        ("From: x@y.test\r\nB: 2\r\nfrom: z@y.test\r\n", "From: Firm <a@firm.test>\r\nB: 2\r\n"),
        ("From: \"open <x@y.test\r\nB: 2\r\n", "From: Firm <a@firm.test>\r\nB: 2\r\n"),
        ("From: x@y.test\r\nSender: \"X\" <X@Y.test>\r\nB: 2\r\n", "From: Firm <a@firm.test>\r\nB: 2\r\n"),
        ("Sender: z@y.test\r\nFrom: x@y.test, z@y.test\r\n", "From: Firm <a@firm.test>\r\n"),
        ("Sender: root\r\nFrom: root\r\n", "From: Firm <a@firm.test>\r\n"),
        (
            "Sender:  Other\r\n <o@y.test>\r\nFrom: x@y.test\r\n",
            "Sender:  Other\r\n <o@y.test>\r\nFrom: Firm <a@firm.test>\r\n",
        ),
    ] {
        assert_eq!(with_author(header, "Firm <a@firm.test>"), want, "{header:?}");
    }
}

#[test]
fn display_names_are_written_so_that_all_can_read_them() {
    let long = "M\u{fc}ller und S\u{f6}hne, Gesellschaft f\u{fc}r alles, was gro\u{df} ist";
    for (name, want) in [
        ("", "a@firm.test"),
        ("Firm Ltd", "Firm Ltd <a@firm.test>"),
        ("Firm & Co", "Firm & Co <a@firm.test>"),
        ("J. Doe", "\"J. Doe\" <a@firm.test>"),
        ("Firm, Ltd", "\"Firm, Ltd\" <a@firm.test>"),
        ("\"A \\\"B\\\" \\\\C\"", "\"A \\\"B\\\" \\\\C\" <a@firm.test>"),
        ("x@y.test", "\"x@y.test\" <a@firm.test>"),
        ("M\u{fc}ller", "=?utf-8?B?TcO8bGxlcg==?= <a@firm.test>"),
        ("=?utf-8?Q?x?=", "=?utf-8?B?PT91dGYtOD9RP3g/PQ==?= <a@firm.test>"),
    ] {
        let field = mailbox_field("From", &mailbox(&format!("{name} <a@firm.test>")));
        assert_eq!(String::from_utf8(field).unwrap(), format!("From: {want}\r\n"), "{name}");
    }
    let field = mailbox_field("From", &mailbox(&format!("{long} <a@firm.test>")));
    assert!(field.is_ascii() && field.split(|&b| b == b'\n').all(|line| line.len() <= 79), "{field:?}");
    let parsed = mail_parser::MessageParser::default().parse_headers(&field[..]).unwrap();
    assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some(long));
}

#[test]
fn an_address_keeps_its_octets() {
    for address in ["\"a  b\"@firm.test", "a@FIRM.test", "a@[192.0.2.1]"] {
        let field = mailbox_field("From", &mailbox(&format!("F <{address}>")));
        assert_eq!(String::from_utf8(field).unwrap(), format!("From: F <{address}>\r\n"));
    }
}

/// `[upstream.sender]` of an upstream with the login `office@firm.test`.
fn upstream(keys: &str) -> std::sync::Arc<crate::config::Upstream> {
    let text = format!(
        "[[upstream]]\nname = \"main\"\nhost = \"h\"\nuser = \"office@firm.test\"\npassword = \"x\"\n\
        [[upstream.account]]\nuser = \"two@firm.test\"\npassword = \"x\"\nsender_bound = true\n\
        [upstream.sender]\n{keys}\n"
    );
    let config = crate::config::Config::from_toml(&text, std::path::Path::new("/")).unwrap().config;
    config.upstreams[0].clone()
}

/// What becomes of a header, and of the reverse-path `came@x.test`.
fn written(keys: &str, place: usize, header: &str) -> (String, String) {
    let upstream = upstream(keys);
    let sender =
        SenderIdentity { sender: upstream.sender.as_ref().unwrap(), account: &upstream.accounts[place] };
    let mut parsed = Header::parse(header.as_bytes());
    let path = ReversePath::Address(Address::parse("came@x.test").unwrap());
    let new_path = sender.reverse_path(&parsed, &path);
    assert_eq!(sender.reverse_path(&parsed, &ReversePath::Null), ReversePath::Null);
    assert_eq!(sender.announced_reverse_path(&ReversePath::Null), ReversePath::Null);
    if let Some(original) = sender.write(&mut parsed) {
        parsed.append_raw(original);
    }
    let got = String::from_utf8(parsed.to_content()).unwrap();
    (got, new_path.to_string().replace("came@x.test", "-"))
}

const NAME: &str = "name = \"Firm Ltd\"";
const OWN: &str = "From: Firm Ltd <office@firm.test>\r\n";

#[test]
fn what_is_missing_is_filled_in() {
    let reply_to = "reply_to = \"Service <service@firm.test>\"";
    for (keys, header, want, path) in [
        (
            NAME,
            "To: a@b.test\r\n",
            "To: a@b.test\r\nFrom: Firm Ltd <office@firm.test>\r\n",
            "office@firm.test",
        ),
        (
            NAME,
            "From:\r\nTo: a@b.test\r\n",
            "From: Firm Ltd <office@firm.test>\r\nTo: a@b.test\r\n",
            "office@firm.test",
        ),
        (NAME, "From: Firm\r\n", OWN, "office@firm.test"),
        (NAME, "From: office@firm.test\r\n", OWN, "-"),
        (NAME, "From: < OFFICE@firm.test >\r\n", OWN, "-"),
        (NAME, "From:  Jane <office@firm.test>\r\n", "From:  Jane <office@firm.test>\r\n", "-"),
        (NAME, "From: office@firm.test (Jane)\r\n", "From: office@firm.test (Jane)\r\n", "-"),
        (NAME, "From: jane@firm.test\r\n", "From: jane@firm.test\r\n", "-"),
        (NAME, "From: a@x.test\r\nFrom: b@x.test\r\n", "From: a@x.test\r\nFrom: b@x.test\r\n", "-"),
        ("address = \"shop@firm.test\"", "X: y\r\n", "X: y\r\nFrom: shop@firm.test\r\n", "shop@firm.test"),
        ("address = \"shop@firm.test\"", "From: shop@firm.test\r\n", "From: shop@firm.test\r\n", "-"),
        (
            reply_to,
            "From: jane@firm.test\r\nReply-To:\r\nTo: a@b.test\r\n",
            "From: jane@firm.test\r\nReply-To: Service <service@firm.test>\r\nTo: a@b.test\r\n",
            "-",
        ),
        (
            reply_to,
            "Reply-To: other@x.test\r\nFrom: jane@firm.test\r\n",
            "Reply-To: other@x.test\r\nFrom: jane@firm.test\r\n",
            "-",
        ),
    ] {
        assert_eq!(written(keys, 0, header), (want.to_owned(), path.to_owned()), "{keys} {header:?}");
    }
}

#[test]
fn always_is_always() {
    let always = "name = \"Firm Ltd\"\nwhen = \"always\"";
    let kept = |from: &str| format!("Reply-To: {from}\r\nX-Mailsluice-Original-From: {from}\r\n");
    for (header, want) in [
        ("From: \"Jane\"  <jane@x.test>\r\n", format!("{OWN}{}", kept("\"Jane\"  <jane@x.test>"))),
        (
            "From: jane@x.test\r\nSender: jane@x.test\r\nReply-To: r@x.test\r\n",
            format!("{OWN}Reply-To: r@x.test\r\nX-Mailsluice-Original-From: jane@x.test\r\n"),
        ),
        (
            "From: Jane <jane@x.test>,\r\n bob@y.test\r\n",
            format!("{OWN}{}", kept("Jane <jane@x.test>,\r\n bob@y.test")),
        ),
        ("From: a@x.test\r\nFrom: b@x.test\r\n", format!("{OWN}{}", kept("a@x.test, b@x.test"))),
        ("From: a@x.test <b@x.test\r\n", format!("{OWN}{}", kept("b@x.test"))),
        ("From: root@box\r\n", OWN.to_owned()),
        ("From: root@box.local\r\n", OWN.to_owned()),
        ("From: root@a.box.LAN\r\n", OWN.to_owned()),
        ("From: root@box.internal\r\n", OWN.to_owned()),
        ("From: root@localhost.localdomain\r\n", OWN.to_owned()),
        ("From: root@[192.0.2.1]\r\n", OWN.to_owned()),
        ("From: jane@x.test, root@box.local\r\n", OWN.to_owned()),
        ("From: root\r\n", OWN.to_owned()),
        ("", OWN.to_owned()),
        ("From: Jane <office@firm.test>\r\n", OWN.to_owned()),
        (
            "X-Mailsluice-Original-From: forged@x.test\r\nFrom: jane@x.test\r\n",
            format!("{OWN}{}", kept("jane@x.test")),
        ),
    ] {
        assert_eq!(written(always, 0, header), (want, "office@firm.test".to_owned()), "{header:?}");
    }
    let without_name = "when = \"always\"\nreply_to = \"service@firm.test\"";
    for (header, want) in [
        (
            "From: Jane <office@firm.test>\r\n",
            "From: Jane <office@firm.test>\r\nReply-To: service@firm.test\r\n",
        ),
        (
            "Reply-To: r@x.test\r\nFrom: jane@x.test\r\n",
            "Reply-To: service@firm.test\r\nFrom: office@firm.test\r\nX-Mailsluice-Original-From: jane@x.test\r\n",
        ),
    ] {
        assert_eq!(
            written(without_name, 0, header),
            (want.to_owned(), "office@firm.test".to_owned()),
            "{header:?}"
        );
    }
}

#[test]
fn a_bound_account_sends_as_itself() {
    let keys = "name = \"Firm Ltd\"\naddress = \"office@firm.test\"\nwhen = \"always\"";
    let got = written(keys, 1, "From: two@firm.test\r\n");
    assert_eq!(got, ("From: Firm Ltd <two@firm.test>\r\n".to_owned(), "two@firm.test".to_owned()));
}
