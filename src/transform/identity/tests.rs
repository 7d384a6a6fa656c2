use super::*;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
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
