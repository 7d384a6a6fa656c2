//! Logins with tokens, and with SCRAM bound to the connection: what is said, what becomes of a token that is refused, and that
//! no password ever stands in for one.

use mailsluice::config::{Auth, Login, Security, Smtp};
use mailsluice::oauth::{NoToken, Resource, SignIns, TokenState, TokenUser};
use mailsluice::smtp::InstanceId;
use mailsluice::upstream::{ConnectError, Connection, Connector, Credentials, Stage};
use tokio::task::JoinHandle;

use super::support::tokens::{ready, renew};
use super::support::upstream::{Act, Authority, Script, Step, Upstream};
use super::{anna, nobody, recipients, send, smtp, verdicts};

const REFUSED: &str = "535 5.7.3 Authentication unsuccessful";

/// Whoever keeps the tokens of one sign-in: at each renewal the next of these is there.
struct Keeper {
    sign_ins: SignIns,
    task: JoinHandle<usize>,
}

impl Keeper {
    fn new(tokens: &[&str]) -> Self {
        let sign_ins = SignIns::default();
        let feed = sign_ins.feed("m365", Resource::Smtp);
        let mut tokens = tokens.iter().map(|&token| ready(token)).collect::<Vec<_>>().into_iter();
        feed.set(tokens.next().unwrap());
        Self { sign_ins, task: tokio::spawn(renew(feed, tokens)) }
    }

    fn connector(&self, upstream: &Upstream, smtp: Smtp) -> Connector {
        let login =
            Login { user: Some("shared@firm.example".into()), oauth: Some("m365".into()), ..nobody() };
        let token = self.sign_ins.handle("m365", Resource::Smtp);
        let credentials = Credentials::of(&login, Some(token), TokenUser::default());
        Connector::new(upstream.dial(), smtp, credentials, "relay.firm.example", InstanceId::random())
    }

    /// Whether the token at hand was accepted from somebody.
    fn is_good_for_somebody(&self) -> bool {
        self.sign_ins.handle("m365", Resource::Smtp).current().unwrap().is_good_for_somebody()
    }

    /// How often another token was asked for.
    async fn renewals(self) -> usize {
        let Self { sign_ins, task } = self;
        drop(sign_ins);
        let ended = tokio::time::timeout(std::time::Duration::from_mins(5), task);
        ended.await.expect("somebody still has a handle").unwrap()
    }
}

fn open_line() -> Smtp {
    Smtp { allow_plaintext_auth: true, ..smtp() }
}

fn takes(tokens: &[&str]) -> Upstream {
    Upstream::new(Script::default().with_tokens("PLAIN LOGIN XOAUTH2 OAUTHBEARER", tokens))
}

fn error_of(opened: Result<Connection, ConnectError>) -> ConnectError {
    opened.err().expect("it must not connect")
}

#[tokio::test(start_paused = true)]
async fn logs_in_with_a_token_short_or_long() {
    let long = "x".repeat(3000);
    for token in ["t1", &long] {
        for (auth, host, want) in [
            (Auth::Auto, "smtp.firm.example", "AUTH OAUTHBEARER"),
            (Auth::Auto, "smtp.office365.com", "AUTH XOAUTH2"),
            (Auth::XOAuth2, "smtp.firm.example", "AUTH XOAUTH2"),
            (Auth::OAuthBearer, "smtp.office365.com", "AUTH OAUTHBEARER"),
        ] {
            let (keeper, upstream) = (Keeper::new(&[token]), takes(&[token]));
            let config = Smtp { auth, host: host.to_owned(), ..open_line() };
            let connector = keeper.connector(&upstream, config);
            let mut connection = connector.open().await.unwrap();
            assert_eq!(verdicts(&send(&mut connection, &recipients(1), b"x").await), "S");
            assert_eq!(upstream.messages()[0].user.as_deref(), Some("shared@firm.example"), "{want}");
            let lines = upstream.commands_of("AUTH");
            assert!(lines.len() == 1 && lines[0].starts_with(want), "{want}: {lines:?}");
            assert!(lines[0].len() <= 512, "a command line is no longer than that (RFC 4954 4)");
            assert!(keeper.is_good_for_somebody());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_over_a_new_connection() {
    // The last one says no at all.
    for (error, good, offered, connections) in [
        (None, "new", &["old", "new"][..], 2),
        (Some(r#"{"status":"401","schemes":"bearer"}"#), "new", &["old", "new"], 2),
        (Some(r#"{"status":"invalid_token"}"#), "none", &["old", "new"], 2),
    ] {
        let mut script =
            Script::default().with_tokens("XOAUTH2 OAUTHBEARER", &[good]).refusing_tokens(REFUSED);
        script.token_error = error.map(str::to_owned);
        let (keeper, upstream) = (Keeper::new(&["old", "new", "newer"]), Upstream::new(script));
        let connector = keeper.connector(&upstream, open_line());
        let opened = connector.open().await;
        assert_eq!(upstream.tokens(), offered);
        assert_eq!((opened.is_ok(), upstream.connections()), (good == "new", connections));
        assert_eq!(keeper.is_good_for_somebody(), good == "new");
        drop(connector);
        if let Err(error) = opened {
            let text = error.to_string();
            assert!(error.stage == Stage::Auth && error.needs_a_person(), "{text}");
            for part in [REFUSED, "(status invalid_token)", "Set-CASMailbox", "an hour"] {
                assert!(text.contains(part), "{text} lacks {part}");
            }
        }
        assert_eq!(keeper.renewals().await, 1, "{error:?}");
    }
}

/// What was refused is not offered again: the next opening asks for another first.
#[tokio::test(start_paused = true)]
async fn a_refused_token_is_never_offered_again() {
    let upstream = Upstream::new(Script::default().with_tokens("XOAUTH2", &[]).refusing_tokens(REFUSED));
    let keeper = Keeper::new(&["1", "2", "3", "4"]);
    let connector = keeper.connector(&upstream, open_line());
    for _ in 0..5 {
        let error = error_of(connector.open().await);
        assert_eq!(error.stage, Stage::Auth);
    }
    assert_eq!(upstream.tokens(), ["1", "2", "3", "4"], "each once, and none when there is no other");
    let error = error_of(connector.open().await);
    assert!(error.to_string().contains("no other could be had; it is asked for again"), "{error}");
    assert!(!error.needs_a_person() && error.no_token().is_none());
}

#[tokio::test(start_paused = true)]
async fn many_connections_at_once_cause_one_renewal() {
    let upstream = Upstream::new(Script::default().with_tokens("XOAUTH2", &["new"]).refusing_tokens(REFUSED));
    let keeper = Keeper::new(&["old", "new", "newer"]);
    let connector = std::sync::Arc::new(keeper.connector(&upstream, open_line()));
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let connector = connector.clone();
        opening.spawn(async move { connector.open().await.is_ok() });
    }
    let opened = opening.join_all().await;
    assert_eq!(opened, [true; 10]);
    let tokens = upstream.tokens();
    assert_eq!(tokens.iter().filter(|token| *token == "new").count(), 10, "{tokens:?}");
    drop(connector);
    assert_eq!(keeper.renewals().await, 1);
}

/// What is temporary, and what no token mends, costs no token.
#[tokio::test(start_paused = true)]
async fn refusals_that_another_token_would_not_mend() {
    for (reply, needs_a_person, want) in [
        ("454 4.7.0 Temporary authentication failure", false, "the token need not be wrong"),
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
            true,
            "Set-CASMailbox",
        ),
        ("534 5.7.9 no", true, "a stronger mechanism"),
        ("421 4.7.0 too many", false, "the token need not be wrong"),
    ] {
        let upstream = Upstream::new(Script::default().with_tokens("XOAUTH2", &[]).refusing_tokens(reply));
        let keeper = Keeper::new(&["old", "new"]);
        let error = error_of(keeper.connector(&upstream, open_line()).open().await);
        assert!(error.to_string().contains(want), "{error}");
        assert_eq!((error.needs_a_person(), upstream.tokens().len()), (needs_a_person, 1), "{error}");
        assert_eq!(keeper.renewals().await, 0, "{reply}");
    }
}

#[tokio::test(start_paused = true)]
async fn hve_wants_a_fresh_one() {
    for reply in ["535 5.7.142 token is about to expire", "535 5.7.143 token has expired"] {
        let upstream =
            Upstream::new(Script::default().with_tokens("XOAUTH2", &["new"]).refusing_tokens(reply));
        let keeper = Keeper::new(&["old", "new"]);
        assert!(keeper.connector(&upstream, open_line()).open().await.is_ok());
        assert_eq!(upstream.tokens(), ["old", "new"]);
    }
}

/// Without a token nobody connects; and whoever takes passwords alone gets none of anything.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_in_place_of_a_token() {
    let upstream = takes(&["t1"]);
    let sign_ins = SignIns::default();
    let login =
        Login { user: Some("a@firm.example".into()), oauth: Some("m365".into()), ..anna("s3cr3t-pw") };
    let _nobody = sign_ins.feed("m365", Resource::Smtp);
    let token = sign_ins.handle("m365", Resource::Smtp);
    let credentials = Credentials::of(&login, Some(token), TokenUser::default());
    let own = InstanceId::random();
    let connector = Connector::new(upstream.dial(), open_line(), credentials, "relay.firm.example", own);
    let error = error_of(connector.open().await);
    let why = error.no_token().unwrap();
    assert_eq!(why.action.as_deref(), Some("run `mailsluice connect m365`"));
    assert_eq!(upstream.connections(), 0, "{error}");

    for (script, config, want) in [
        (Script::default().with_login("PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256"), open_line(), "takes no tokens"),
        (Script::default().with_tokens("PLAIN XOAUTH2", &["t1"]), smtp(), "unencrypted"),
        (Script::default().with_tokens("OAUTHBEARER", &["t1"]), smtp(), "unencrypted"),
    ] {
        let (upstream, keeper) = (Upstream::new(script), Keeper::new(&["t1"]));
        let error = error_of(keeper.connector(&upstream, config).open().await);
        assert!(error.to_string().contains(want), "{error}");
        assert!(upstream.commands_of("AUTH").is_empty() && upstream.tokens().is_empty(), "{want}");
    }
}

/// Nobody can help until the sign-in is made anew: what the upstream has refused was tried, and is not tried again.
#[tokio::test(start_paused = true)]
async fn a_sign_in_that_ends_while_a_token_is_replaced() {
    let upstream = Upstream::new(Script::default().with_tokens("XOAUTH2", &[]).refusing_tokens(REFUSED));
    let sign_ins = SignIns::default();
    let mut feed = sign_ins.feed("m365", Resource::Smtp);
    feed.set(ready("old"));
    let login = Login { user: Some("a@firm.example".into()), oauth: Some("m365".into()), ..nobody() };
    let token = sign_ins.handle("m365", Resource::Smtp);
    let credentials = Credentials::of(&login, Some(token), TokenUser::default());
    let own = InstanceId::random();
    let connector = Connector::new(upstream.dial(), open_line(), credentials, "relay.firm.example", own);
    let keeper = tokio::spawn(async move {
        let renewal = feed.renewal().await.unwrap();
        let reason = "the refresh token was revoked".to_owned();
        let action = Some("mailsluice connect m365".to_owned());
        feed.set(TokenState::Absent(NoToken { reason, until: None, action }));
        renewal.done.send(()).unwrap();
        feed
    });
    for _ in 0..2 {
        let error = error_of(connector.open().await);
        assert_eq!(error.no_token().unwrap().reason, "the refresh token was revoked");
    }
    assert_eq!(upstream.tokens(), ["old"]);
    let feed = keeper.await.unwrap();
    drop(feed);
}

/// An upstream that repeats what it was told, in its reply or in its JSON, gets no token into an error.
#[tokio::test(start_paused = true)]
async fn no_token_in_any_error() {
    let mut script = Script::default().with_tokens("XOAUTH2 OAUTHBEARER", &[]);
    script.token_error = Some(r#"{"status":"bad c4nary-one"}"#.to_owned());
    let upstream = Upstream::new(script.refusing_tokens("534 5.7.9 what is c4nary-one?"));
    let keeper = Keeper::new(&["c4nary-one"]);
    let error = error_of(keeper.connector(&upstream, open_line()).open().await);
    assert!(error.to_string().contains("what is […]?") && error.to_string().contains("(status bad […])"));
    assert!(!format!("{error} {error:?}").contains("c4nary"), "{error:?}");
}

/// In TLS 1.3 SCRAM is bound to the connection where the upstream offers that, and says so where it does not.
#[tokio::test(start_paused = true)]
async fn scram_is_bound_to_its_connection() {
    let authority = Authority::new();
    let all = "PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS";
    for (offered, auth, want) in [
        (all, Auth::Auto, "AUTH SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIs"),
        (all, Auth::ScramSha256, "AUTH SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIs"),
        ("PLAIN SCRAM-SHA-256", Auth::Auto, "AUTH SCRAM-SHA-256 eSws"),
    ] {
        let script = Script::default().with_login(offered).with_tls(authority.server("smtp.firm.example"));
        let upstream = Upstream::new(script);
        let config = Smtp { auth, security: Security::StartTls, tls: authority.tls(), ..smtp() };
        let opened = super::open_as(&upstream, config, &anna("secret")).await;
        assert!(opened.is_ok(), "{offered}: {:?}", opened.err());
        let said = upstream.commands_of("AUTH").remove(0);
        assert!(said.starts_with(want), "{said}");
    }
}

/// An upstream that can't prove that it knows the password is not believed, whatever it says; nor one that wants us busy.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_know_us() {
    let liar = Act::Raw(b"235 2.7.0 welcome\r\n".to_vec());
    let upstream = Upstream::new(Script::default().with_login("SCRAM-SHA-256").with(Step::Auth, liar));
    let error = error_of(super::open_as(&upstream, smtp(), &anna("secret")).await);
    assert!(error.to_string().contains("has not proven"), "{error}");
    for iterations in [1, 4095, 1_000_001] {
        let mut script = Script::default().with_login("SCRAM-SHA-256");
        script.iterations = iterations;
        let upstream = Upstream::new(script);
        let error = error_of(super::open_as(&upstream, smtp(), &anna("secret")).await);
        assert!(error.to_string().contains(&format!("hashed {iterations} times")), "{error}");
    }
}
