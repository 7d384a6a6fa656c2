use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use super::super::bucket::tests::Hands;
use super::*;
use crate::config::UserPassword;

/// Costly without optimisation, so made once.
static VERIFIER: OnceLock<String> = OnceLock::new();

const HERE: &str = "192.0.2.1";
const THERE: &str = "192.0.2.2";

fn from(client: &str) -> LoginOrigin {
    LoginOrigin {
        client: client.parse().unwrap(),
        session: "test".into(),
        listener: "127.0.0.1:25".parse().unwrap(),
    }
}

fn secret() -> LoginSecret {
    LoginSecret::random()
}

/// anna has an argon2id hash, bert a password, clara (when asked for) a SCRAM verifier; each password is `right NAME`.
fn config(with_scram: bool) -> Config {
    // A cheap hash: tests run without optimisation.
    let hash = "$argon2id$v=19$m=64,t=1,p=1$c29tZSBzYWx0IGhlcmU$";
    let mut output = [0; 32];
    let argon2 = argon2::Argon2::new(
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        Params::new(64, 1, 1, Some(32)).unwrap(),
    );
    argon2.hash_password_into(b"right anna", b"some salt here", &mut output).unwrap();
    let output = argon2::password_hash::phc::Output::new(&output).unwrap();
    let mut text = format!(
        "[[upstream]]\nname = \"a\"\nkind = \"capture\"\n\
         [[user]]\nname = \"Anna\"\npassword = {{ hash = \"{hash}{output}\" }}\n\
         [[user]]\nname = \"bert\"\npassword = \"right bert\"\n"
    );
    if with_scram {
        let verifier = VERIFIER.get_or_init(|| scram_verifier(&"right clara".into()).to_text());
        write!(text, "[[user]]\nname = \"clara\"\npassword = {{ scram = \"{verifier}\" }}\n").unwrap();
    }
    Config::from_toml(&text, Path::new("/")).unwrap().config
}

async fn login(users: &Users, client: &str, name: &str, password: &str) -> Result<String, LoginRefused> {
    let result = users.plain(&from(client), name, password.into()).await;
    result.map(|who| who.name.to_string())
}

#[tokio::test(start_paused = true)]
async fn knows_who_is_right() {
    let users = Users::new(&config(true), secret(), Hands::new().timeline());
    assert!(!users.is_empty() && users.offers_scram());
    for (name, password, want) in [
        ("Anna", "right anna", Ok("Anna")),
        ("anna", "right anna", Ok("Anna")),
        ("anna", "right anna", Ok("Anna")),
        ("anna", "right bert", Err(LoginRefused::Wrong)),
        ("bert", "right bert", Ok("bert")),
        ("bert", "right bert ", Err(LoginRefused::Wrong)),
        ("clara", "right clara", Ok("clara")),
        ("clara", "right anna", Err(LoginRefused::Wrong)),
        ("doris", "right anna", Err(LoginRefused::Wrong)),
        ("", "", Err(LoginRefused::Wrong)),
    ] {
        let got = login(&users, HERE, name, password).await;
        assert_eq!(got.as_deref(), want.as_ref().copied(), "{name} {password}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_answered_at_the_same_time_whoever_it_is() {
    for name in ["anna", "bert", "clara", "nobody"] {
        let users = Users::new(&config(true), secret(), Hands::new().timeline());
        for want in [1, 2, 4] {
            let started = Instant::now();
            assert_eq!(login(&users, HERE, name, "wrong").await, Err(LoginRefused::Wrong));
            assert_eq!(started.elapsed().as_secs(), want, "{name}");
        }
        let started = Instant::now();
        let done = users.scram_done(&from(THERE), name, false).await;
        assert_eq!(done.map(|_| ()), Err(LoginRefused::Wrong));
        assert_eq!(started.elapsed().as_secs(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn guesses_at_many_names_leave_those_who_work_there_alone() {
    let hands = Hands::new();
    let users = Users::new(&config(false), secret(), hands.timeline());
    assert!(login(&users, HERE, "bert", "right bert").await.is_ok());
    for number in 0..20 {
        let stranger = login(&users, HERE, &format!("nobody{number}"), "guess").await;
        assert_eq!(stranger, Err(LoginRefused::Wrong), "{number}");
    }
    let refused =
        |result: Result<String, LoginRefused>| matches!(result, Err(LoginRefused::LockedOut { .. }));
    assert!(refused(login(&users, HERE, "nobody99", "guess").await));
    assert!(refused(login(&users, HERE, "anna", "right anna").await), "she never came from there");
    assert!(login(&users, HERE, "bert", "right bert").await.is_ok());
    assert!(login(&users, THERE, "anna", "right anna").await.is_ok());
    hands.advance(Duration::from_secs(30));
    assert!(login(&users, HERE, "anna", "right anna").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn too_many_failures_lock_out_here_and_not_elsewhere() {
    let hands = Hands::new();
    let users = Users::new(&config(true), secret(), hands.timeline());
    assert!(login(&users, HERE, "bert", "right bert").await.is_ok());
    for _ in 0..5 {
        assert_eq!(login(&users, HERE, "BERT", "wrong").await, Err(LoginRefused::Wrong));
    }
    for password in ["wrong", "right bert"] {
        let refused = login(&users, HERE, "bert", password).await.unwrap_err();
        let told = refused.reply().to_string();
        assert_eq!(told, "454 4.7.0 too many failed logins, try again in 61 seconds");
    }
    assert!(matches!(users.scram_done(&from(HERE), "bert", true).await, Err(LoginRefused::LockedOut { .. })));
    assert!(login(&users, THERE, "bert", "right bert").await.is_ok());
    assert!(login(&users, HERE, "anna", "right anna").await.is_ok());
    let reloaded = users.reloaded(&config(false));
    assert!(login(&reloaded, HERE, "bert", "right bert").await.is_err(), "a reload does not let them in");
    hands.advance(Duration::from_mins(1));
    assert!(login(&reloaded, HERE, "bert", "right bert").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn hanging_up_early_does_not_help() {
    let users = Users::new(&config(false), secret(), Hands::new().timeline());
    for _ in 0..5 {
        let attempt = login(&users, HERE, "bert", "wrong");
        // The check runs on another thread, so that the paused clock does not cut it short.
        assert!(timeout(Duration::from_millis(999), attempt).await.is_err());
    }
    let refused = login(&users, HERE, "bert", "right bert").await;
    assert!(matches!(refused, Err(LoginRefused::LockedOut { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_right_is_forgotten_by_a_reload() {
    let hands = Hands::new();
    let users = Users::new(&config(false), secret(), hands.timeline());
    assert!(login(&users, HERE, "bert", "right bert").await.is_ok());
    let mut other = config(false);
    other.users[1].password = UserPassword::Plain("new".into());
    let users = users.reloaded(&other);
    assert_eq!(login(&users, HERE, "bert", "right bert").await, Err(LoginRefused::Wrong));
    assert!(login(&users, HERE, "bert", "new").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait() {
    let users = Users::new(&config(false), secret(), Hands::new().timeline());
    let _taken = users.shared.parallel.clone().acquire_many_owned(PARALLEL as u32).await.unwrap();
    assert_eq!(login(&users, HERE, "bert", "right bert").await, Err(LoginRefused::Busy), "waited too long");
    let _waiting = users.shared.waiting.clone().acquire_many_owned(WAITING as u32).await.unwrap();
    let refused = login(&users, HERE, "bert", "right bert").await.unwrap_err();
    assert_eq!(refused.reply().to_string(), "454 4.7.0 too many logins at once, try again later");
}

/// Users `s0`, `s1`, … with SCRAM verifiers of these iterations and salts, beside those of [`config`].
fn scram_config(shapes: &[(u32, usize)]) -> Config {
    let mut config = config(false);
    for (number, (iterations, salt)) in shapes.iter().enumerate() {
        let verifier = ScramVerifier {
            iterations: *iterations,
            salt: vec![number as u8; *salt],
            stored_key: [number as u8; 32],
            server_key: [number as u8; 32],
        };
        let user = config.users[1].clone();
        config.users.push(User {
            name: format!("s{number}"),
            password: UserPassword::Scram(verifier),
            ..user
        });
    }
    config
}

#[tokio::test(start_paused = true)]
async fn scram_shows_everybody_alike() {
    let (config, secret) = (config(true), secret());
    let users = Users::new(&config, secret.clone(), Hands::new().timeline());
    let again = Users::new(&config, secret, Hands::new().timeline());
    let own = users.scram("clara");
    assert_eq!(own, again.scram("CLARA"));
    for name in ["anna", "nobody"] {
        let fake = users.scram(name);
        assert_eq!(fake, again.scram(name), "a restart does not give it away");
        assert_eq!((fake.iterations, fake.salt.len()), (own.iterations, own.salt.len()));
        assert_ne!(fake.salt, users.scram("somebody").salt);
        let done = users.scram_done(&from(THERE), name, true).await;
        assert_eq!(done, Err(LoginRefused::Wrong), "there is nothing to be right about");
    }
    let bert = users.scram("bert");
    assert_eq!(bert.salt, again.scram("bert").salt);
    assert_eq!(users.scram_done(&from(HERE), "Bert", true).await.unwrap().name.as_ref(), "bert");
    assert!(!Users::new(&self::config(false), self::secret(), Hands::new().timeline()).offers_scram());
}

#[test]
fn scram_users_of_several_costs_have_company() {
    let shapes = [(4096, 16), (4096, 16), (4096, 16), (5000, 40)];
    let users = Users::new(&scram_config(&shapes), secret(), Hands::new().timeline());
    let mut seen = HashMap::new();
    for number in 0..2000 {
        let shown = users.scram(&format!("nobody{number}"));
        *seen.entry((shown.iterations, shown.salt.len())).or_insert(0) += 1;
    }
    // As often as they are stored, within what chance allows.
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!((1400..=1600).contains(&seen[&(4096, 16)]), "{seen:?}");
}

#[test]
fn what_scram_shows_of_a_name_outlives_changes_of_others() {
    let secret = secret();
    let show = |shapes: &[(u32, usize)]| {
        let users = Users::new(&scram_config(shapes), secret.clone(), Hands::new().timeline());
        (0..200).map(move |number| users.scram(&format!("nobody{number}"))).collect::<Vec<_>>()
    };
    let before = show(&[(4096, 16), (5000, 16)]);
    assert_eq!(before, show(&[(5000, 16), (4096, 16)]), "the order says nothing");
    for (now, gone, come) in [
        (show(&[(4096, 16), (5000, 16), (6000, 20)]), None, Some(6000)),
        (show(&[(4096, 16)]), Some(5000), None),
    ] {
        for (old, new) in before.iter().zip(&now) {
            let moved = gone == Some(old.iterations) || come == Some(new.iterations);
            assert!(moved || old == new, "{old:?} {new:?}");
        }
    }
}

#[test]
fn nothing_is_shown() {
    let users = Users::new(&config(true), secret(), Hands::new().timeline());
    let shown = format!("{users:?} {:?}", config(true).users);
    assert!(
        !shown.contains("right") && !shown.contains("$argon2id") && !shown.contains("SCRAM-SHA-256$"),
        "{shown}"
    );
}
