//! Logins, both ways: what a client says to our AUTH, and what an upstream says to ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailsluice::config::ScramVerifier;
use mailsluice::smtp::sasl::{ChannelBinding, Mechanism, SaslClient, SaslLogin};
use mailsluice::smtp::sasl_server::{SaslFault, SaslServer, SaslStep, ServerMechanism};
use mailsluice::smtp::{Reply, ReplyParser};
use secrecy::ExposeSecret as _;

/// More than a login can take.
const MOST_LINES: usize = 8;

/// Lines of a login. The first octet chooses the mechanism, whether the lines are put into base64 first, and whether the
/// first one stands on the AUTH line.
pub(crate) fn sasl(input: &[u8]) {
    let Some((&seed, text)) = input.split_first() else {
        return;
    };
    let coded = seed & 4 != 0;
    let lines: Vec<Vec<u8>> = text
        .split(|&b| b == b'\n')
        .take(MOST_LINES)
        .map(|line| if coded { STANDARD.encode(line).into_bytes() } else { line.to_vec() })
        .collect();
    let mechanism = match seed & 3 {
        0 => ServerMechanism::Plain,
        1 => ServerMechanism::Login,
        _ => ServerMechanism::ScramSha256,
    };
    client_logs_in(mechanism, seed & 8 != 0, &lines);
    upstream_asks(seed, &lines);
}

fn client_logs_in(mechanism: ServerMechanism, at_once: bool, lines: &[Vec<u8>]) {
    let mut exchange = SaslServer::new(mechanism);
    let mut lines = lines.iter();
    let mut said: Vec<&[u8]> = Vec::new();
    // What stands on the AUTH line is one word of a command that was read as text.
    let word = |line: &&Vec<u8>| {
        std::str::from_utf8(line).is_ok_and(|text| !text.is_empty() && !text.contains([' ', '\t']))
    };
    let mut step = if at_once && let Some(line) = lines.clone().next().filter(word) {
        lines.next();
        said.push(line);
        exchange.begin(std::str::from_utf8(line).ok())
    } else {
        exchange.begin(None)
    };
    let mut over = false;
    loop {
        match step {
            Err(fault) => {
                check_fault(fault);
                over = true;
            }
            Ok(SaslStep::Challenge(text)) => {
                assert!(!over, "it goes on after its end");
                check_challenge(&text);
            }
            Ok(SaslStep::Password { name, password }) => {
                assert!(!over && mechanism != ServerMechanism::ScramSha256);
                check_name(&name);
                check_name(password.expose_secret());
                check_what_was_said(mechanism, &said, &name, password.expose_secret());
                over = true;
            }
            Ok(SaslStep::LookUp { name }) => {
                assert!(!over && mechanism == ServerMechanism::ScramSha256);
                assert!(!name.is_empty() && !name.contains('\0'));
                step = exchange.verify_against(nobody(), "server-nonce");
                assert!(matches!(step, Ok(SaslStep::Challenge(_))));
                continue;
            }
            Ok(SaslStep::Proved { proof, .. }) => {
                assert!(!over);
                assert!(proof.is_none(), "nobody knows the password");
                over = true;
            }
            Ok(SaslStep::Done) => unreachable!("nobody has proved anything"),
        }
        let Some(line) = lines.next() else { return };
        said.push(line);
        step = exchange.answer(line);
    }
}

/// A verifier that fits no password.
fn nobody() -> ScramVerifier {
    ScramVerifier { iterations: 4096, salt: b"salt".to_vec(), stored_key: [7; 32], server_key: [8; 32] }
}

/// A challenge fits into one line of a reply.
fn check_challenge(text: &str) {
    assert!(STANDARD.decode(text).is_ok(), "{text:?}");
    let wire = Reply::bare(334, vec![text.to_owned()]).to_wire();
    assert_eq!(wire, format!("334 {text}\r\n").as_bytes(), "it was cut");
}

fn check_fault(fault: SaslFault) {
    let reply = fault.reply();
    assert!(matches!(reply.code, 500 | 501 | 535));
    let mut parser = ReplyParser::new();
    parser.push(&reply.to_wire());
    assert!(parser.next().is_ok_and(|reply| reply.is_some()) && !parser.has_rest());
}

fn check_name(text: &str) {
    assert!((1..=4096).contains(&text.len()) && !text.contains('\0'));
}

/// Name and password are what the client said, and nothing else.
fn check_what_was_said(mechanism: ServerMechanism, said: &[&[u8]], name: &str, password: &str) {
    let plain = |line: &[u8]| {
        let padding = [&b""[..], b"=", b"=="].into_iter();
        padding
            .map(|padding| [line, padding].concat())
            .find_map(|line| STANDARD.decode(line).ok())
            .expect("it was read")
    };
    match mechanism {
        ServerMechanism::Plain => {
            let text = plain(said[said.len() - 1]);
            let without = format!("\0{name}\0{password}").into_bytes();
            let for_itself = format!("{name}\0{name}\0{password}").into_bytes();
            assert!(text == without || text == for_itself, "{:?}", text.escape_ascii().to_string());
        }
        ServerMechanism::Login => {
            assert_eq!(plain(said[0]), name.as_bytes());
            assert_eq!(plain(said[1]), password.as_bytes());
        }
        ServerMechanism::ScramSha256 => unreachable!("it sends no password"),
    }
}

/// The upstream may ask what it likes: we say so much, and no more, and never the password where it must not be said.
fn upstream_asks(seed: u8, lines: &[Vec<u8>]) {
    let mechanism = match seed % 7 {
        0 => Mechanism::Plain,
        1 => Mechanism::Login,
        2 => Mechanism::CramMd5,
        3 => Mechanism::ScramSha256,
        4 => Mechanism::ScramSha256Plus,
        5 => Mechanism::XOAuth2,
        _ => Mechanism::OAuthBearer,
    };
    let login = SaslLogin {
        user: "anna".to_owned(),
        secret: "secret".into(),
        host: "smtp.firm.example".to_owned(),
        port: 587,
        nonce: "n".to_owned(),
        binding: Some(ChannelBinding([0; 32])),
    };
    let mut exchange = SaslClient::new(mechanism, login).expect("each can carry this");
    let mut answers = usize::from(exchange.initial_response().is_some());
    for line in lines {
        let Ok(answer) = exchange.respond(&String::from_utf8_lossy(line)) else { continue };
        answers += 1;
        let answer = STANDARD.decode(answer.expose_secret()).expect("we answer in base64");
        let tells = answer.windows(6).any(|six| six == b"secret");
        assert!(!tells || mechanism.is_clear_text(), "the password in the clear");
    }
    // Who knows no password proves nothing, whatever it says.
    let is_scram = matches!(mechanism, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus);
    assert!(!is_scram || exchange.accept().is_err(), "{mechanism} was believed");
    let most = match mechanism {
        Mechanism::Plain | Mechanism::CramMd5 => 1,
        Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => 3,
        _ => 2,
    };
    assert!(answers <= most, "{mechanism}: {answers} answers");
}
