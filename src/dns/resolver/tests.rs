use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::Record;
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, PTR, TXT};
use tokio::net::UdpSocket;

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// What the server knows; `Err` is the code that it answers with.
fn known(asked: &str, kind: RecordType) -> Result<Vec<Record>, ResponseCode> {
    let record = |data: RData| Record::from_rdata(name(asked), 60, data);
    let txt = |strings: &[&str]| {
        record(RData::TXT(TXT::new(strings.iter().map(|&string| string.to_owned()).collect())))
    };
    Ok(match (asked, kind) {
        ("text.example.", RecordType::TXT) => vec![txt(&["v=spf1 ", "-all"]), txt(&["other"])],
        ("odd.example.", RecordType::TXT) => {
            vec![record(RData::TXT(TXT::from_bytes(vec![b"a\xffb\x1b"])))]
        }
        ("many.example.", RecordType::TXT) => vec![txt(&["x"]); 65],
        ("text.example.", RecordType::MX) => vec![
            record(RData::MX(MX::new(10, name("Mail.Example.")))),
            record(RData::MX(MX::new(0, Name::root()))),
        ],
        ("broken.example.", RecordType::MX) => {
            vec![record(RData::MX(MX::new(10, Name::from_labels(vec![&b"a b"[..]]).unwrap())))]
        }
        ("text.example.", RecordType::A) => vec![record(RData::A(A::new(192, 0, 2, 1)))],
        ("alias.example.", RecordType::A) => vec![
            record(RData::CNAME(CNAME(name("text.example.")))),
            Record::from_rdata(name("text.example."), 60, RData::A(A::new(192, 0, 2, 1))),
        ],
        ("alias.example.", RecordType::CNAME) => vec![record(RData::CNAME(CNAME(name("text.example."))))],
        ("1.2.0.192.in-addr.arpa.", RecordType::PTR) => {
            vec![record(RData::PTR(PTR(name("mail.example."))))]
        }
        ("text.example.", _) => vec![],
        ("fails.example.", _) => return Err(ResponseCode::ServFail),
        ("refuses.example.", _) => return Err(ResponseCode::Refused),
        _ => return Err(ResponseCode::NXDomain),
    })
}

/// A name server that answers as [`known`] says.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut octets = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut octets).await {
            let mut reply = Message::from_vec(&octets[..length]).unwrap().into_response();
            let query = reply.queries[0].clone();
            match known(&query.name().to_ascii(), query.query_type()) {
                Ok(records) => {
                    reply.add_answers(records);
                }
                Err(code) => reply.metadata.response_code = code,
            }
            socket.send_to(&reply.to_vec().unwrap(), peer).await.unwrap();
        }
    });
    address
}

fn question(text: &str, kind: RecordKind) -> DnsQuestion {
    DnsQuestion { name: DnsName::parse(text).unwrap(), kind }
}

#[tokio::test]
async fn each_kind_of_answer_is_told_apart() {
    let resolver = Resolver::new(&[name_server().await]).unwrap();
    let host = |text: &str| DnsName::parse(text).unwrap();
    let address = || Records::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    for (asked, kind, want) in [
        (
            "text.example",
            RecordKind::Txt,
            Ok(Records::Texts(vec!["v=spf1 -all".to_owned(), "other".to_owned()])),
        ),
        ("odd.example", RecordKind::Txt, Ok(Records::Texts(vec!["a\u{fffd}b\u{1b}".to_owned()]))),
        (
            "text.example",
            RecordKind::Mx,
            Ok(Records::Exchanges(vec![
                MailExchange { preference: 10, host: Some(host("mail.example")) },
                MailExchange { preference: 0, host: None },
            ])),
        ),
        ("text.example", RecordKind::A, Ok(address())),
        ("alias.example", RecordKind::A, Ok(address())),
        ("alias.example", RecordKind::Cname, Ok(Records::Names(vec![host("text.example")]))),
        ("1.2.0.192.in-addr.arpa", RecordKind::Ptr, Ok(Records::Names(vec![host("mail.example")]))),
        ("text.example", RecordKind::Aaaa, Err(LookupError::NoRecord)),
        ("nowhere.example", RecordKind::Txt, Err(LookupError::NoName)),
        ("many.example", RecordKind::Txt, Err(LookupError::TooMuch { limit: "64 records".to_owned() })),
        (
            "broken.example",
            RecordKind::Mx,
            Err(LookupError::Refused("a name that cannot be read".to_owned())),
        ),
    ] {
        assert_eq!(resolver.ask(&question(asked, kind)).await, want, "{asked} {kind:?}");
    }
    for asked in ["fails.example", "refuses.example"] {
        let error = resolver.ask(&question(asked, RecordKind::Txt)).await.unwrap_err();
        assert!(matches!(error, LookupError::Refused(_)), "{asked}: {error}");
        assert!(!error.is_absence());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_not_waited_for() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::new(&[silent.local_addr().unwrap()]).unwrap();
    let begun = tokio::time::Instant::now();
    let error = resolver.texts(&DnsName::parse("firm.example").unwrap()).await.unwrap_err();
    assert!(matches!(error, LookupError::Unanswered(_)), "{error}");
    assert!(begun.elapsed() <= ONE_LOOKUP, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn text_is_bounded() {
    let long = RData::TXT(TXT::new(vec!["x".repeat(255); 100]));
    let want = LookupError::TooMuch { limit: "65536 octets".to_owned() };
    assert_eq!(records(RecordKind::Txt, &vec![long; 3]), Err(want));
}
