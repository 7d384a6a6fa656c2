//! `[[oauth]]` and `[secrets]`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::config::testing::{of_host, rsa, write_pair};
use crate::config::{ClientProof, SignInFlow, SignInProvider};

const BASE: &str = "[[upstream]]\nname = \"x\"\nkind = \"capture\"\n";

/// A folder with an RSA key, its certificate, and a service account with the same key.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = rsa();
    write_pair(folder.path(), "app", &of_host(), &key);
    let account = serde_json::json!({ "type": "service_account", "client_email": "relay@firm.iam.example",
        "private_key": key.serialize_pem(), "private_key_id": "7", "token_uri": "https://token.example/t" });
    write(&folder.path().join("account.json"), &account.to_string(), 0o600);
    folder
}

fn load(folder: &Path, keys: &str) -> Result<LoadedConfig, String> {
    let loaded = Config::from_toml(&format!("{BASE}[[oauth]]\nname = \"m\"\n{keys}\n"), folder);
    loaded.map_err(|faults| faults.to_string())
}

#[test]
fn reads_every_way_to_sign_in() {
    let folder = folder();
    let microsoft = "provider = \"microsoft\"\ntenant = \"firm.example\"\nclient_id = \"id\"\n";
    let login = "https://login.microsoftonline.com/firm.example/oauth2/v2.0";
    for (keys, flow, token_url, scope) in [
        (
            format!("{microsoft}flow = \"device_code\""),
            "device_code",
            format!("{login}/token"),
            "https://outlook.office.com/SMTP.Send offline_access",
        ),
        (
            format!("{microsoft}flow = \"authorization_code\"\nclient_secret = \"hush\""),
            "authorization_code",
            format!("{login}/token"),
            "https://outlook.office.com/SMTP.Send offline_access",
        ),
        (
            format!("{microsoft}flow = \"client_credentials\"\nclient_certificate = \"app.pem\"\nclient_key = \"app.key\""),
            "client_credentials",
            format!("{login}/token"),
            "https://outlook.office365.com/.default",
        ),
        (
            "provider = \"microsoft\"\nflow = \"client_credentials\"\nmanaged_identity = true".to_owned(),
            "client_credentials",
            "http://169.254.169.254/metadata/identity/oauth2/token".to_owned(),
            "https://outlook.office365.com/.default",
        ),
        (
            "provider = \"google\"\nflow = \"service_account\"\nservice_account = { file = \"account.json\" }".to_owned(),
            "service_account",
            "https://token.example/t".to_owned(),
            "https://mail.google.com/",
        ),
        (
            "provider = \"custom\"\nflow = \"authorization_code\"\nclient_id = \"id\"\nscope = \"mail\"\n\
             authorize_url = \"http://127.0.0.1:1/a\"\ntoken_url = \"http://[::1]:1/t\"\nproxy = \"socks5://127.0.0.1\""
                .to_owned(),
            "authorization_code",
            "http://[::1]:1/t".to_owned(),
            "mail",
        ),
    ] {
        let loaded = load(folder.path(), &keys).unwrap();
        let [sign_in] = loaded.config.sign_ins.as_slice() else { panic!("{keys}") };
        let got = (&*sign_in.name, sign_in.flow_name(), sign_in.token_url.as_str(), sign_in.scope.as_str());
        assert_eq!(got, ("m", flow, token_url.as_str(), scope), "{keys}");
        // Nobody uses it yet, which is worth a warning and no more.
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(!format!("{:?}", loaded.config).contains("hush"), "{keys}");
        assert!(!format!("{:?}", loaded.config).contains("PRIVATE"), "{keys}");
    }
}

#[test]
fn each_proof_is_what_was_written() {
    let folder = folder();
    let by = |keys: &str| {
        let keys = format!(
            "provider = \"microsoft\"\ntenant = \"t\"\nclient_id = \"id\"\nflow = \"client_credentials\"\n{keys}"
        );
        load(folder.path(), &keys).map(|loaded| loaded.config.sign_ins[0].clone())
    };
    let secret = by("client_secret = \"hush\"").unwrap();
    assert!(matches!(secret.proof, ClientProof::Secret(_)) && secret.provider == SignInProvider::Microsoft);
    let certificate = by("client_certificate = \"app.pem\"\nclient_key = \"app.key\"").unwrap();
    assert!(
        matches!(certificate.proof, ClientProof::Certificate(_)) && certificate.proof_validity().is_some()
    );
    let assertion = by("assertion_file = \"later.jwt\"").unwrap();
    assert!(matches!(&assertion.proof, ClientProof::AssertionFile(path) if path.ends_with("later.jwt")));
    let managed = by("managed_identity = true").unwrap();
    assert!(matches!(managed.flow, SignInFlow::ManagedIdentity) && !managed.needs_grant());
    assert_ne!(secret.proof, certificate.proof);
    assert_ne!(*secret, *by("client_secret = \"other\"").unwrap());
    assert_eq!(*secret, *by("client_secret = \"hush\"").unwrap());
    let faults = by("client_certificate = \"app.pem\"\nclient_key = \"account.json\"").unwrap_err();
    assert!(faults.contains("oauth.client_key: ") && !faults.contains("BEGIN"), "{faults}");
}

#[test]
fn warns_of_a_secret_that_expires_soon() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "provider = \"microsoft\"\ntenant = \"t\"\nclient_id = \"id\"\nflow = \"client_credentials\"\n\
        client_secret = \"hush\"\nsecret_expires = \"2027-03-01\"";
    let text = format!("{BASE}[[oauth]]\nname = \"m\"\n{keys}\n");
    write(&folder.path().join("m.toml"), &text, 0o600);
    for (now, want) in [
        ("2027-01-01T00:00:00Z", None),
        ("2027-02-10T00:00:00Z", Some("expires on 2027-03-01")),
        ("2027-03-02T00:00:00Z", Some("expired on 2027-03-01")),
    ] {
        let machine = Machine { now: now.parse().unwrap(), ..Machine::bare(folder.path()) };
        let loaded = Config::load(Some(Path::new("m.toml")), &machine).unwrap();
        let found =
            loaded.warnings.iter().map(ToString::to_string).find(|line| line.contains("secret_expires"));
        assert_eq!(found.is_some(), want.is_some(), "{now}: {found:?}");
        assert!(found.unwrap_or_default().contains(want.unwrap_or_default()), "{now}");
    }
}

#[test]
fn a_key_is_32_octets() {
    let key = STANDARD.encode([7; 32]);
    let text = format!("{BASE}[secrets]\nkey = \"{key}\"\n");
    let loaded = Config::from_toml(&text, Path::new("/")).unwrap();
    assert_eq!(loaded.config.secrets.key.as_ref().unwrap().expose(), &[7; 32]);
    assert!(!format!("{:?}", loaded.config.secrets).contains('7'));
}
