//! Debug output, of which messages of panics are made, shows no secret, in whatever room.
//!
//! That no type shows one by a derive is held by `tests/layering/secrets.rs`; here those that are closed by hand are filled.

use std::fmt::{Debug, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{Config, Proxy};
use crate::control::view::SignInGrantJson;
use crate::dkim;
use crate::oauth::{AccessToken, SignInGrant, TokenState};
use crate::smtp::command::Command;
use crate::smtp::sasl::{ChannelBinding, Mechanism, SaslClient, SaslLogin};
use crate::smtp::sasl_server::{SaslServer, ServerMechanism};
use crate::store::StoredToken;
use crate::upstream::Credentials;

/// Stands for every password and token; 32 octets, as a key has them.
const CANARY: &str = "hush-canary-that-nobody-may-see!";

/// A value in both forms of Debug.
fn shown(name: &str, value: &impl Debug) -> (String, String) {
    (name.to_owned(), format!("{value:?}\n{value:#?}"))
}

/// How a secret may stand in a text: as it is, octet by octet, or in base64, wherever it began in what was encoded.
fn forms(secret: &str) -> Vec<String> {
    let octets: Vec<String> = secret.bytes().map(|octet| octet.to_string()).collect();
    let hex = secret.bytes().fold(String::new(), |mut hex, octet| {
        write!(hex, "{octet:02x}").unwrap();
        hex
    });
    let mut forms: Vec<String> = (0..3).map(|start| STANDARD.encode(&secret[start..start + 27])).collect();
    forms.extend([secret[4..28].to_owned(), octets[4..28].join(", "), hex]);
    forms
}

fn holds(text: &str, secret: &str) -> bool {
    // Each octet on a line of its own is the same as all on one.
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    forms(secret).iter().any(|form| text.contains(form) || flat.contains(form))
}

/// Every kind of secret that a file can hold.
fn configured() -> (Config, SecretString) {
    let key = dkim::generate(dkim::NewKey::Ed25519).unwrap();
    let text = format!(
        "[secrets]\nkey = \"{sealing}\"\n\
         [[upstream]]\nname = \"a\"\nhost = \"h\"\ndefault = true\nuser = \"me\"\npassword = \"{CANARY}\"\n\
         proxy = \"socks5://me:{CANARY}@127.0.0.1\"\n\
         [[upstream.account]]\nuser = \"you\"\npassword = \"{CANARY}\"\n\
         [[user]]\nname = \"erp\"\npassword = \"{CANARY}\"\n\
         [[oauth]]\nname = \"m\"\nprovider = \"microsoft\"\ntenant = \"t\"\nclient_id = \"i\"\n\
         flow = \"client_credentials\"\nclient_secret = \"{CANARY}\"\n\
         [[dkim]]\ndomain = \"firm.example\"\nselector = \"s\"\nkey = '''\n{}'''\n",
        key.expose_secret(),
        sealing = STANDARD.encode(CANARY),
    );
    (Config::from_toml(&text, Path::new("/")).unwrap().config, key)
}

/// A login under way, by each mechanism; and what the server side makes of it.
fn logins() -> Vec<(String, String)> {
    use Mechanism::{CramMd5, Login, OAuthBearer, Plain, ScramSha256, ScramSha256Plus, XOAuth2};
    let mut all = Vec::new();
    for mechanism in [Plain, Login, CramMd5, ScramSha256, ScramSha256Plus, XOAuth2, OAuthBearer] {
        let octets: [u8; 32] = CANARY.as_bytes().try_into().unwrap();
        let binding = (mechanism == ScramSha256Plus).then_some(ChannelBinding(octets));
        let login = SaslLogin {
            user: "me".into(),
            secret: CANARY.into(),
            host: "h".into(),
            port: 587,
            nonce: "n0nce".into(),
            binding,
        };
        let mut client = SaslClient::new(mechanism, login).unwrap();
        let said = client.initial_response();
        all.push(shown(mechanism.name(), &client));
        all.push(shown("what it says", &said));
        let line = format!("AUTH {} {}", mechanism.name(), STANDARD.encode(CANARY));
        all.push(shown("AUTH", &Command::parse(line.as_bytes()).unwrap()));
    }
    let mut server = SaslServer::new(ServerMechanism::Plain);
    let step = server.begin(Some(&STANDARD.encode(format!("\0me\0{CANARY}")))).unwrap();
    all.extend([shown("server", &server), shown("password", &step)]);
    let refused = server.answer(STANDARD.encode(CANARY).as_bytes());
    all.push(shown("what no longer fits", &refused));
    all
}

#[test]
fn debug_output_shows_no_secret() {
    let (config, key) = configured();
    let octets = CANARY.as_bytes().to_vec();
    let token = AccessToken::new(CANARY.into());
    let grant = SignInGrant { token: CANARY.into(), account: None };
    let json = SignInGrantJson { refresh_token: CANARY.into(), client: "i".into(), account: None };
    let proxy = Proxy::parse(&format!("http://me:{CANARY}@127.0.0.1"));
    let mut all = vec![
        shown("configuration", &config),
        shown("key", &key),
        shown("credentials", &Credentials::Password { user: "me".into(), password: CANARY.into() }),
        shown("state", &TokenState::Ready(token.clone())),
        shown("token", &token),
        shown("grant", &grant),
        shown("handed over", &json),
        shown("proxy", &proxy),
        shown("in the clear", &StoredToken(octets)),
        shown("encrypted", &grant.to_store(&config.sign_ins[0], &config.secrets)),
    ];
    all.extend(logins());
    let mut secrets = vec![CANARY.to_owned()];
    let lines = key.expose_secret().lines().filter(|line| line.len() >= 32 && !line.starts_with('-'));
    secrets.extend(lines.map(str::to_owned));
    assert!(secrets.len() > 1, "a key has a line that is looked for");
    for (name, text) in &all {
        for secret in &secrets {
            assert!(!holds(text, secret), "{name} shows {secret:.8}…: {text}");
        }
    }
}

#[test]
fn what_is_shown_is_found() {
    for text in [
        format!("{:?}", Some(CANARY)),
        format!("{:?}", CANARY.as_bytes()),
        format!("{:#?}", CANARY.as_bytes()),
        STANDARD.encode(format!("\0me\0{CANARY}")),
        STANDARD.encode(format!("n,a=me,\u{1}auth=Bearer {CANARY}\u{1}\u{1}")),
    ] {
        assert!(holds(&text, CANARY), "{text}");
    }
    assert!(!holds("hush: a canary that nobody may see", CANARY));
}
