use proptest::prelude::*;

use super::*;
use crate::mail::{EnvelopeId, Notify, OriginalRecipient, Return};

fn mail_of(line: &str) -> Mail {
    match Command::parse(line.as_bytes()) {
        Ok(Command::Mail(mail)) => mail,
        other => panic!("{line}: {other:?}"),
    }
}

fn plain(forward: Forward) -> Command {
    Command::Rcpt(Rcpt { forward, request: RecipientRequest::default(), ignored: None })
}

#[test]
fn reads_each_verb_in_any_case() {
    for (line, want) in [
        ("EHLO host.example", Command::Ehlo("host.example".into())),
        ("ehlo [192.0.2.1]", Command::Ehlo("[192.0.2.1]".into())),
        ("HELO my_printer", Command::Helo("my_printer".into())),
        ("HELO my printer", Command::Helo("my printer".into())),
        ("data", Command::Data),
        ("DATA ", Command::Data),
        ("RSET", Command::Rset),
        ("NOOP whatever", Command::Noop),
        ("Help mail", Command::Help("mail".into())),
        ("HELP", Command::Help(String::new())),
        ("VRFY chief", Command::Vrfy),
        ("EXPN all", Command::Expn),
        ("quit", Command::Quit),
        ("BDAT 10 LAST", Command::Bdat(Chunk { octets: 10, last: true })),
        ("bdat 0  last ", Command::Bdat(Chunk { octets: 0, last: true })),
        ("BDAT 007", Command::Bdat(Chunk { octets: 7, last: false })),
        ("BDAT 99999999999999999999", Command::Bdat(Chunk { octets: u64::MAX, last: false })),
        ("AUTH login", Command::Auth { mechanism: "LOGIN".into(), initial: None }),
        (
            "auth Plain  AAAA",
            Command::Auth { mechanism: "PLAIN".into(), initial: Some(Initial("AAAA".into())) },
        ),
        ("starttls", Command::StartTls),
    ] {
        assert_eq!(Command::parse(line.as_bytes()), Ok(want), "{line}");
    }
}

#[test]
fn reads_all_forms_of_a_path() {
    for (line, want) in [
        ("MAIL FROM:<a@b>", "a@b"),
        ("mail from:<a@b>", "a@b"),
        ("MAIL FROM: <a@b>", "a@b"),
        ("MAIL FROM:\t<a@b>", "a@b"),
        ("MAIL FROM :<a@b>", "a@b"),
        ("MAIL FROM:a@b", "a@b"),
        ("MAIL FROM: a@b SIZE=3", "a@b"),
        ("MAIL FROM:<>", ""),
        ("MAIL FROM:<> SIZE=3", ""),
        ("MAIL FROM:<@x,@[IPv6:::1],@z:a@b>", "a@b"),
        ("MAIL FROM:<\"a b>\\\"\"@c>", "\"a b>\\\"\"@c"),
        ("MAIL FROM:\"a b\"@c SIZE=1", "\"a b\"@c"),
        ("MAIL FROM:<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
    ] {
        assert_eq!(mail_of(line).reverse_path.as_str(), want, "{line}");
    }
    for line in ["RCPT TO:<postmaster>", "RCPT TO:<PostMaster>", "RCPT TO:Postmaster"] {
        assert_eq!(Command::parse(line.as_bytes()), Ok(plain(Forward::Postmaster)), "{line}");
    }
    let full = Forward::Address(Address::parse("postmaster@b").unwrap());
    assert_eq!(Command::parse(b"RCPT TO:<postmaster@b>"), Ok(plain(full)));
}

#[test]
fn reads_the_parameters_of_mail() {
    let mail = mail_of("MAIL FROM:<\u{fc}@b> size=1000 Body=8bitmime SMTPUTF8");
    assert_eq!((mail.size, mail.body, mail.smtputf8), (Some(1000), Body::EightBitMime, true));
    let mail = mail_of("MAIL FROM:<a@b>");
    assert_eq!((mail.size, mail.body, mail.smtputf8), (None, Body::SevenBit, false));
    assert_eq!(mail_of("MAIL FROM:<a@b> SIZE=99999999999999999999").size, Some(u64::MAX));
}

#[test]
fn reads_what_is_asked_for() {
    let mail = mail_of("MAIL FROM:<a@b> ret=hdrs ENVID=a+2Bb mt-priority=-9");
    assert_eq!(mail.request.ret, Some(Return::Headers));
    assert_eq!(mail.request.envelope_id.as_ref().map(EnvelopeId::text), Some("a+b"));
    assert_eq!(mail.request.priority, Some(-9));
    let Ok(Command::Rcpt(rcpt)) = Command::parse(b"RCPT TO:<a@b> NOTIFY=success,DELAY orcpt=rfc822;c+2Bd@e")
    else {
        panic!("RCPT is not read");
    };
    assert_eq!(rcpt.request.notify, Some(Notify { success: true, failure: false, delay: true }));
    assert_eq!(rcpt.request.original.as_ref().map(OriginalRecipient::address), Some("c+d@e"));
    for (line, want) in [("0", Some(0)), ("9", Some(9)), ("-1", Some(-1))] {
        assert_eq!(mail_of(&format!("MAIL FROM:<> MT-PRIORITY={line}")).request.priority, want);
    }
}

#[test]
fn takes_any_octets_as_the_name_of_a_client() {
    for (line, want) in [
        (&b"HELO b\xfcro"[..], r"b\xfcro"),
        ("helo büro".as_bytes(), "büro"),
        (b"EHLO\t x\0\x1b[2Jy \xff ", r"x\x00\x1b[2Jy \xff"),
        ("EHLO x\u{85}y".as_bytes(), r"x\xc2\x85y"),
        (b" EHLO a\rb", r"a\x0db"),
        (b"EHLO \xe3\x81", r"\xe3\x81"),
    ] {
        match Command::parse(line) {
            Ok(Command::Ehlo(name) | Command::Helo(name)) => assert_eq!(name, want),
            other => panic!("{}: {other:?}", line.escape_ascii()),
        }
    }
}

#[test]
fn goes_on_without_what_only_names_things_for_reports() {
    let ignored = |name, value: &str| Some(IgnoredParameter { name, value: value.into() });
    for (parameter, want) in [
        ("ENVID=QQ314", None),
        ("ENVID=a+2b", None),
        ("ENVID=aGVsbG8==", ignored("ENVID", "aGVsbG8==")),
        ("envid=a+0D+0ABcc:x", ignored("ENVID", "a+0D+0ABcc:x")),
        ("ENVID=", ignored("ENVID", "")),
        ("ENVID", ignored("ENVID", "")),
    ] {
        let mail = mail_of(&format!("MAIL FROM:<a@b> {parameter} SIZE=9"));
        assert_eq!((mail.request.envelope_id.is_none(), mail.ignored), (want.is_some(), want), "{parameter}");
        assert_eq!(mail.size, Some(9));
    }
    for (parameter, want) in [
        ("ORCPT=rfc822;a+2bx@b", None),
        ("ORCPT=a@b", ignored("ORCPT", "a@b")),
        ("ORCPT=rfc822;a=b", ignored("ORCPT", "rfc822;a=b")),
        ("orcpt=rfc822;a+0Ab", ignored("ORCPT", "rfc822;a+0Ab")),
        ("ORCPT=rfc822;<a@b>\u{fc}", ignored("ORCPT", "rfc822;<a@b>\u{fc}")),
    ] {
        let line = format!("RCPT TO:<a@b> NOTIFY=NEVER {parameter}");
        let Ok(Command::Rcpt(rcpt)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        assert_eq!((rcpt.request.original.is_none(), rcpt.ignored), (want.is_some(), want), "{parameter}");
        assert_eq!(rcpt.request.notify, Some(Notify::NEVER));
    }
}

#[test]
fn refuses_with_the_right_codes() {
    for (line, want) in [
        (&b"FOO"[..], "500 5.5.1"),
        (b"", "500 5.5.1"),
        (b"MAILFROM:<a@b>", "500 5.5.1"),
        (b"EHLO", "501 5.5.4"),
        (b"DATA now", "501 5.5.4"),
        (b"VRFY", "501 5.5.4"),
        (b"AUTH", "501 5.5.4"),
        (b"AUTH PLAIN AAAA more", "501 5.5.4"),
        (b"STARTTLS now", "501 5.5.4"),
        (b"MAIL FROM:<a@b> AUTH", "501 5.5.4"),
        (b"MAIL FROM:<a@b> AUTH=<> AUTH=<>", "501 5.5.4"),
        (b"NOOP\0", "501 5.5.2"),
        (b"NOOP\rQUIT", "501 5.5.2"),
        (b"NOOP\x7f", "501 5.5.2"),
        (b"NOOP \xff", "501 5.5.2"),
        (b"MAIL", "501 5.5.4"),
        (b"MAIL FROM <a@b>", "501 5.5.4"),
        (b"MAIL FROM:", "501 5.5.4"),
        (b"MAIL TO:<a@b>", "501 5.5.4"),
        (b"MAIL FROM:<a@b", "501 5.5.4"),
        (b"MAIL FROM:<a@b>SIZE=1", "501 5.5.4"),
        (b"MAIL FROM:<@x:>", "501 5.5.4"),
        (b"MAIL FROM:<@x,y:a@b>", "501 5.5.4"),
        (b"MAIL FROM:Name <a@b>", "501 5.1.7"),
        (b"MAIL FROM:<root>", "501 5.1.7"),
        (b"MAIL FROM:<a b@c>", "501 5.1.7"),
        (b"MAIL FROM:< a@b >", "501 5.1.7"),
        (b"MAIL FROM:< b@d>", "501 5.1.7"),
        (b"MAIL FROM:<b@d.>", "501 5.1.7"),
        (b"MAIL FROM:<Bob <b@d>>", "501 5.5.4"),
        (b"RCPT TO:<Bob <b@d>>", "501 5.5.4"),
        (b"RCPT TO:< b@d>", "501 5.1.3"),
        (b"RCPT TO:<b@d.>", "501 5.1.3"),
        (b"HELO  ", "501 5.5.4"),
        (b"MAIL FROM:<a@b> SIZE=", "501 5.5.4"),
        (b"MAIL FROM:<a@b> SIZE=x", "501 5.5.4"),
        (b"MAIL FROM:<a@b> SIZE", "501 5.5.4"),
        (b"MAIL FROM:<a@b> SIZE=1 SIZE=2", "501 5.5.4"),
        (b"MAIL FROM:<a@b> SMTPUTF8=1", "501 5.5.4"),
        (b"MAIL FROM:<a@b> -X=1", "501 5.5.4"),
        (b"MAIL FROM:<a@b> BODY=BINARYMIME", "555 5.5.4"),
        (b"MAIL FROM:<a@b> FOO=1", "555 5.5.4"),
        (b"MAIL FROM:<a@b> RET=ALL", "501 5.5.4"),
        (b"MAIL FROM:<a@b> RET", "501 5.5.4"),
        (b"MAIL FROM:<a@b> RET=HDRS RET=HDRS", "501 5.5.4"),
        (b"MAIL FROM:<a@b> ENVID=a ENVID=a", "501 5.5.4"),
        (b"MAIL FROM:<a@b> ENVID=+ ENVID=a", "501 5.5.4"),
        (b"MAIL FROM:<a@b> MT-PRIORITY=10", "501 5.5.4"),
        (b"MAIL FROM:<a@b> MT-PRIORITY=+1", "501 5.5.4"),
        (b"MAIL FROM:<a@b> MT-PRIORITY=-0", "501 5.5.4"),
        (b"MAIL FROM:<a@b> NOTIFY=NEVER", "555 5.5.4"),
        (b"BDAT", "501 5.5.4"),
        (b"BDAT x", "501 5.5.4"),
        (b"BDAT -1", "501 5.5.4"),
        (b"BDAT +1", "501 5.5.4"),
        (b"BDAT 1 FIRST", "501 5.5.4"),
        (b"BDAT 1 LAST LAST", "501 5.5.4"),
        (b"BDAT LAST", "501 5.5.4"),
        (b"BDAT 000000000000000000001", "501 5.5.4"),
        (b"MAIL FROM:<\xc3\xbc@b>", "553 5.6.7"),
        (b"RCPT TO:<>", "501 5.1.3"),
        (b"RCPT TO:<a>", "501 5.1.3"),
        (b"RCPT TO:<a@b> NOTIFY=NEVER,DELAY", "501 5.5.4"),
        (b"RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"),
        (b"RCPT TO:<a@b> ORCPT=x ORCPT=rfc822;a@b", "501 5.5.4"),
        (b"RCPT TO:<a@b> RET=FULL", "555 5.5.4"),
        (b"RCPT TO:<a@b> =", "501 5.5.4"),
    ] {
        let error = Command::parse(line).expect_err(&String::from_utf8_lossy(line));
        let reply = error.reply().to_string();
        assert!(reply.starts_with(want), "{:?}: {reply}", String::from_utf8_lossy(line));
    }
}

proptest! {
    #[test]
    fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Command::parse(&line);
    }

    #[test]
    fn never_panics_near_the_grammar(
        rest in "(MAIL FROM|RCPT TO|EHLO)[ \t]?:?[ \t]?<?[@,:a-z\"\\\\.\\[\\]<> \u{e4}=0-9]{0,60}",
    ) {
        if let Ok(Command::Mail(mail)) = Command::parse(rest.as_bytes())
            && let Some(address) = mail.reverse_path.address()
        {
            prop_assert_eq!(&Address::parse(address.as_str()).unwrap(), address);
        }
    }
}

#[test]
fn shows_nothing_of_a_login() {
    let command = Command::parse(b"AUTH PLAIN AGFubmEAc2VjcmV0").unwrap();
    assert_eq!(format!("{command:?}"), r#"Auth { mechanism: "PLAIN", initial: Some(Initial(…)) }"#);
}
