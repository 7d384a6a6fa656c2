//! TLS and logins: what is configured is required, and errors say what to do.

use mailsluice::config::{Auth, Login, Security, Smtp};
use mailsluice::smtp::InstanceId;
use mailsluice::upstream::{ConnectCause, ConnectError, Connector, LoginError, Stage, TlsError};
use tokio::time::Instant;

use super::support::upstream::{Act, Authority, Script, Step, Upstream};
use super::{TIMEOUTS, anna, nobody, open, open_as, recipients, send, smtp};

fn with(auth: Auth) -> Smtp {
    Smtp { auth, ..smtp() }
}

/// The error of a connection over which no mail can have gone.
async fn fails(upstream: &Upstream, smtp: Smtp) -> ConnectError {
    fails_as(upstream, smtp, &nobody()).await
}

async fn fails_as(upstream: &Upstream, smtp: Smtp, account: &Login) -> ConnectError {
    let error = open_as(upstream, smtp, account).await.err().expect("it must not connect");
    assert!(upstream.commands_of("MAIL").is_empty());
    error
}

#[tokio::test(start_paused = true)]
async fn tls_both_ways() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    for security in [Security::StartTls, Security::Tls] {
        let mut script =
            Script::default().with_login("PLAIN").with_tls(authority.server("smtp.firm.example"));
        script.implicit_tls = security == Security::Tls;
        let upstream = Upstream::new(script);
        let config = Smtp { security, ca_file: Some(ca.path().to_owned()), ..smtp() };
        let mut connection = open_as(&upstream, config, &anna("secret")).await.unwrap();
        assert_eq!(connection.host(), "smtp.firm.example[192.0.2.25]:25");
        let content = b"Subject: x\r\n\r\n.dot\r\n".repeat(20_000);
        let result = send(&mut connection, &recipients(3), &content).await;
        assert_eq!(super::verdicts(&result), "SSS", "{result:?}");
        assert!(connection.is_reusable());
        connection.quit().await;
        let seen = upstream.messages().remove(0);
        assert!(seen.tls && seen.user.as_deref() == Some("anna") && seen.content == content);
    }
}

#[tokio::test(start_paused = true)]
async fn certificates_that_prove_nothing() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let (other_ca, namesake_ca) = (Authority::named("Another").ca_file(), Authority::new().ca_file());
    let good = authority.server("smtp.firm.example");
    let named = authority.server("mail.elsewhere.example");
    let expired = authority.expired_server("smtp.firm.example");
    for (server, file, want, advice) in [
        (&good, &other_ca, TlsError::UnknownIssuer, "ca_file"),
        (&good, &namesake_ca, TlsError::BadSignature, "ca_file"),
        (&named, &ca, TlsError::WrongName("smtp.firm.example".into()), "tls_name"),
        (&expired, &ca, TlsError::Expired, "expired"),
    ] {
        let upstream = Upstream::new(Script::default().with_tls(server.clone()));
        let config = Smtp { security: Security::StartTls, ca_file: Some(file.path().to_owned()), ..smtp() };
        let error = fails(&upstream, config).await;
        assert_eq!((error.stage, &error.cause), (Stage::Tls, &ConnectCause::Tls(want)));
        assert!(error.needs_a_person() && error.to_string().contains(advice), "{error}");
    }
    let upstream = Upstream::new(Script::default().with_tls(named));
    let tls_name = Some("mail.elsewhere.example".to_owned());
    let ca_file = Some(ca.path().to_owned());
    open(&upstream, Smtp { security: Security::StartTls, ca_file, tls_name, ..smtp() }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ca_file_that_is_none() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let upstream = Upstream::new(Script::default().with_tls(Authority::new().server("smtp.firm.example")));
    for path in [empty.path(), "/no/such/file".as_ref()] {
        let config = Smtp { security: Security::StartTls, ca_file: Some(path.to_owned()), ..smtp() };
        let error = fails(&upstream, config).await;
        assert!(matches!(error.cause, ConnectCause::Tls(TlsError::CaFile { .. })), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn starttls_is_never_given_up() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let secure = || Script::default().with_tls(authority.server("smtp.firm.example"));
    let refusal = |code| Act::reply(code, "no TLS today");
    for (script, stage, want) in [
        (Script::default(), Stage::StartTls, "STARTTLS"),
        (Script::default().with(Step::Ehlo, refusal(502)), Stage::StartTls, "STARTTLS"),
        (secure().with(Step::StartTls, refusal(454)), Stage::StartTls, "454 no TLS today"),
        (secure().with(Step::StartTls, refusal(501)), Stage::StartTls, "501 no TLS today"),
        (secure().with(Step::StartTls, Act::Drop), Stage::StartTls, "closed"),
        (
            secure().with(Step::StartTls, Act::Append(b"250 injected\r\n".to_vec())),
            Stage::StartTls,
            "unencrypted",
        ),
        (secure().with(Step::Handshake, Act::malformed()), Stage::Tls, "does not speak TLS"),
        (secure().with(Step::Handshake, Act::Drop), Stage::Tls, "handshake"),
    ] {
        let upstream = Upstream::new(script);
        let config = Smtp { security: Security::StartTls, ca_file: Some(ca.path().to_owned()), ..smtp() };
        let error = fails(&upstream, config).await;
        assert!(error.stage == stage && error.to_string().contains(want), "{want}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_hangs() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    for (security, implicit_tls) in [(Security::StartTls, false), (Security::Tls, true)] {
        let mut script = Script::default().with_tls(authority.server("smtp.firm.example"));
        script.implicit_tls = implicit_tls;
        let upstream = Upstream::new(script.with(Step::Handshake, Act::Hang));
        let started = Instant::now();
        let config = Smtp { security, ca_file: Some(ca.path().to_owned()), ..smtp() };
        let error = fails(&upstream, config).await;
        assert_eq!((error.stage, started.elapsed().as_secs()), (Stage::Tls, TIMEOUTS.connect.as_secs()));
    }
}

#[tokio::test(start_paused = true)]
async fn each_mechanism() {
    for (offered, auth, allow, want) in [
        ("PLAIN", Auth::Plain, true, "AUTH PLAIN "),
        ("LOGIN", Auth::Login, true, "AUTH LOGIN"),
        ("CRAM-MD5", Auth::CramMd5, false, "AUTH CRAM-MD5"),
        ("LOGIN PLAIN CRAM-MD5", Auth::Auto, false, "AUTH CRAM-MD5"),
        ("SCRAM-SHA-256", Auth::ScramSha256, false, "AUTH SCRAM-SHA-256 "),
        ("LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256", Auth::Auto, false, "AUTH SCRAM-SHA-256 "),
        ("SCRAM-SHA-256-PLUS SCRAM-SHA-256", Auth::Auto, false, "AUTH SCRAM-SHA-256 "),
        ("LOGIN PLAIN", Auth::Auto, true, "AUTH PLAIN "),
    ] {
        let upstream = Upstream::new(Script::default().with_login(offered));
        let config = Smtp { allow_plaintext_auth: allow, ..with(auth) };
        let mut connection = open_as(&upstream, config.clone(), &anna("secret")).await.unwrap();
        assert!(upstream.commands_of("AUTH")[0].starts_with(want), "{offered}");
        assert_eq!(super::verdicts(&send(&mut connection, &recipients(1), b"x").await), "S");
        assert_eq!(upstream.messages()[0].user.as_deref(), Some("anna"));

        let upstream = Upstream::new(Script::default().with_login(offered));
        let error = fails_as(&upstream, config, &anna("wr0ng-one")).await;
        assert_eq!((error.stage, error.reply().unwrap().code), (Stage::Auth, 535), "{offered}");
        assert!(error.needs_a_person() && !format!("{error} {error:?}").contains("wr0ng-one"));
    }
}

#[tokio::test(start_paused = true)]
async fn logins_that_are_not_tried() {
    for (script, auth, want) in [
        (Script::default(), Auth::Auto, "no AUTH mechanism"),
        (Script::default(), Auth::Plain, "does not offer AUTH PLAIN"),
        (
            Script::default().with_login("GSSAPI"),
            Auth::Auto,
            "no AUTH mechanism in common: the upstream offers GSSAPI",
        ),
        (Script::default().with_login("PLAIN LOGIN"), Auth::Auto, "unencrypted"),
        (Script::default().with_login("PLAIN LOGIN"), Auth::Login, "unencrypted"),
        (Script::default().with(Step::Ehlo, Act::reply(500, "what?")), Auth::Auto, "no AUTH mechanism"),
    ] {
        let upstream = Upstream::new(script);
        let error = fails_as(&upstream, with(auth), &anna("secret")).await;
        assert!(error.stage == Stage::Auth && error.to_string().contains(want), "{want}: {error}");
        assert!(upstream.commands_of("AUTH").is_empty(), "{want}");
    }
    let upstream = Upstream::new(Script::default().with_login("PLAIN"));
    let error = fails(&upstream, with(Auth::Plain)).await;
    assert_eq!(error.cause, ConnectCause::Login(LoginError::NoCredentials));
}

#[tokio::test(start_paused = true)]
async fn odd_challenges_end_the_exchange() {
    let odd = Act::Raw(b"334 %%%\r\n501 cancelled\r\n".to_vec());
    let upstream = Upstream::new(Script::default().with_login("CRAM-MD5").with(Step::Auth, odd));
    let error = fails_as(&upstream, with(Auth::CramMd5), &anna("secret")).await;
    assert!(error.to_string().contains("not base64"), "{error}");
    let endless = Act::Raw(b"334 \r\n".repeat(9));
    let upstream = Upstream::new(Script::default().with_login("PLAIN").with(Step::Auth, endless));
    let config = Smtp { allow_plaintext_auth: true, ..with(Auth::Plain) };
    let error = fails_as(&upstream, config, &anna("secret")).await;
    assert!(error.to_string().contains("more than the mechanism has"), "{error}");
}

/// Over TLS what was said before it may be forged: what is said inside counts, too.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_this_relay_itself() {
    let own = InstanceId::random();
    let authority = Authority::new();
    let ca = authority.ca_file();
    for security in [Security::None, Security::StartTls, Security::Tls] {
        for (announced, is_ourselves) in [(own, true), (InstanceId::random(), false)] {
            let mut script = Script::default().offering(&format!("XMAILSLUICE {announced}"));
            if security != Security::None {
                script = script.with_tls(authority.server("smtp.firm.example"));
            }
            script.implicit_tls = security == Security::Tls;
            let upstream = Upstream::new(script);
            let config = Smtp { security, ca_file: Some(ca.path().to_owned()), ..smtp() };
            let connector = Connector::new(upstream.dial(), config, None, "relay.firm.example", own);
            let error = connector.open().await.err();
            assert_eq!(error.is_some(), is_ourselves, "{security:?}: {error:?}");
            let Some(error) = error else { continue };
            assert_eq!((error.stage, &error.cause), (Stage::Hello, &ConnectCause::OwnListener));
            assert!(error.needs_a_person() && error.to_string().contains("this relay itself"), "{error}");
        }
    }
}
