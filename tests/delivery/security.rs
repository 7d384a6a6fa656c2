//! TLS and logins: what is configured is required, and errors say what to do.

use mailsluice::config::{Auth, ClientTls, Login, Security, Smtp};
use mailsluice::smtp::InstanceId;
use mailsluice::upstream::{ConnectCause, ConnectError, Connector, LoginError, Stage, TlsError};
use tokio::time::Instant;
use tokio_rustls::rustls::version::{TLS12, TLS13};

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
    for security in [Security::StartTls, Security::Tls] {
        let mut script =
            Script::default().with_login("PLAIN").with_tls(authority.server("smtp.firm.example"));
        script.implicit_tls = security == Security::Tls;
        let upstream = Upstream::new(script);
        let config = Smtp { security, tls: authority.tls(), ..smtp() };
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
    let (trusted, other, namesake) =
        (authority.tls(), Authority::named("Another").tls(), Authority::new().tls());
    let good = authority.server("smtp.firm.example");
    let named = authority.server("mail.elsewhere.example");
    let expired = authority.server_in("smtp.firm.example", 2019..2020);
    let early = authority.server_in("smtp.firm.example", 2090..2091);
    let wrong_name = TlsError::WrongName {
        wanted: "smtp.firm.example".into(),
        presented: vec!["mail.elsewhere.example".into()],
    };
    for (server, tls, want, advice) in [
        (&good, &other, TlsError::UnknownIssuer, "ca_file"),
        (&good, &namesake, TlsError::BadSignature, "ca_file"),
        (
            &named,
            &trusted,
            wrong_name,
            "not for smtp.firm.example, but for mail.elsewhere.example; set host or tls_name",
        ),
        (
            &expired,
            &trusted,
            TlsError::Expired("2020-01-01T00:00:00Z".parse().unwrap()),
            "expired at 2020-01-01",
        ),
        (&early, &trusted, TlsError::NotYetValid("2090-01-01T00:00:00Z".parse().unwrap()), "from 2090-01-01"),
    ] {
        let upstream = Upstream::new(Script::default().with_tls(server.clone()));
        let config = Smtp { security: Security::StartTls, tls: tls.clone(), ..smtp() };
        let error = fails(&upstream, config).await;
        assert_eq!((error.stage, &error.cause), (Stage::Tls, &ConnectCause::Tls(want)));
        assert!(error.needs_a_person() && error.to_string().contains(advice), "{error}");
    }
    let upstream = Upstream::new(Script::default().with_tls(named));
    let tls = ClientTls { name: Some("mail.elsewhere.example".to_owned()), ..trusted };
    open(&upstream, Smtp { security: Security::StartTls, tls, ..smtp() }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn starttls_is_never_given_up() {
    let authority = Authority::new();
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
        let config = Smtp { security: Security::StartTls, tls: authority.tls(), ..smtp() };
        let error = fails(&upstream, config).await;
        assert!(error.stage == stage && error.to_string().contains(want), "{want}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_hangs() {
    let authority = Authority::new();
    for (security, implicit_tls) in [(Security::StartTls, false), (Security::Tls, true)] {
        let mut script = Script::default().with_tls(authority.server("smtp.firm.example"));
        script.implicit_tls = implicit_tls;
        let upstream = Upstream::new(script.with(Step::Handshake, Act::Hang));
        let started = Instant::now();
        let config = Smtp { security, tls: authority.tls(), ..smtp() };
        let error = fails(&upstream, config).await;
        assert_eq!((error.stage, started.elapsed().as_secs()), (Stage::Tls, TIMEOUTS.connect.as_secs()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_wants_to_know_who_we_are() {
    let (authority, stranger) = (Authority::new(), Authority::named("Another"));
    let ours = authority.client("relay.firm.example");
    let unknown = stranger.client("relay.firm.example");
    for version in [&TLS12, &TLS13] {
        for security in [Security::StartTls, Security::Tls] {
            for (identity, want) in [
                (Some(&ours), None),
                (
                    None,
                    Some("the upstream wants a client certificate; set client_certificate and client_key"),
                ),
                (Some(&unknown), Some("the upstream refuses our client certificate (")),
            ] {
                let server = authority.server_for_clients("smtp.firm.example", version);
                let mut script = Script::default().with_login("PLAIN").with_tls(server);
                script.implicit_tls = security == Security::Tls;
                let upstream = Upstream::new(script);
                let tls = ClientTls { identity: identity.cloned(), ..authority.tls() };
                let opened = open_as(&upstream, Smtp { security, tls, ..smtp() }, &anna("secret")).await;
                let name = format!("{version:?} {security:?} {want:?}");
                assert_eq!(upstream.commands_of("AUTH").len(), usize::from(want.is_none()), "{name}");
                let error = opened.err();
                assert_eq!(error.is_some(), want.is_some(), "{name}: {error:?}");
                let said = error.as_ref().map(ToString::to_string).unwrap_or_default();
                assert!(said.contains(want.unwrap_or_default()), "{name}: {said}");
                assert!(error.as_ref().is_none_or(ConnectError::needs_a_person), "{name}: {said}");
            }
        }
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
    for security in [Security::None, Security::StartTls, Security::Tls] {
        for (announced, is_ourselves) in [(own, true), (InstanceId::random(), false)] {
            let mut script = Script::default().offering(&format!("XMAILSLUICE {announced}"));
            if security != Security::None {
                script = script.with_tls(authority.server("smtp.firm.example"));
            }
            script.implicit_tls = security == Security::Tls;
            let upstream = Upstream::new(script);
            let config = Smtp { security, tls: authority.tls(), ..smtp() };
            let connector = Connector::new(upstream.dial(), config, None, "relay.firm.example", own);
            let error = connector.open().await.err();
            assert_eq!(error.is_some(), is_ourselves, "{security:?}: {error:?}");
            let Some(error) = error else { continue };
            assert_eq!((error.stage, &error.cause), (Stage::Hello, &ConnectCause::OwnListener));
            assert!(error.needs_a_person() && error.to_string().contains("this relay itself"), "{error}");
        }
    }
}
