use std::path::Path;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::config::Config;

/// What a script is made of: words and marks, with strings and comments taken out. PowerShell's rules for strings
/// (`about_Quoting_Rules`): a doubled quote is one, and `$( … )` in a double-quoted string is code again.
struct Parsed {
    code: String,
    strings: Vec<String>,
}

fn parse(script: &str) -> Parsed {
    let chars: Vec<char> = script.chars().collect();
    let mut parsed = Parsed { code: String::new(), strings: Vec::new() };
    let end = code(&chars, 0, None, &mut parsed);
    assert_eq!(end, chars.len(), "a bracket is closed that was not opened: {}", parsed.code);
    parsed
}

fn is_single(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}'..='\u{201b}')
}

/// Reads code up to the bracket that closes it.
fn code(chars: &[char], mut at: usize, closing: Option<char>, parsed: &mut Parsed) -> usize {
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            c if Some(c) == closing => return at,
            '#' => {
                while chars.get(at).is_some_and(|&c| c != '\n') {
                    at += 1;
                }
            }
            '(' | '{' | '[' => {
                parsed.code.push(c);
                let close = match c {
                    '(' => ')',
                    '{' => '}',
                    _ => ']',
                };
                at = code(chars, at, Some(close), parsed);
                parsed.code.push(close);
            }
            ')' | '}' | ']' => panic!("{c} closes nothing: {}", parsed.code),
            c if is_single(c) => at = single(chars, at, parsed),
            '"' => at = double(chars, at, parsed),
            c => parsed.code.push(c),
        }
    }
    assert_eq!(closing, None, "a bracket stays open: {}", parsed.code);
    at
}

fn single(chars: &[char], mut at: usize, parsed: &mut Parsed) -> usize {
    let mut text = String::new();
    loop {
        let c = *chars.get(at).expect("the string ends");
        at += 1;
        if is_single(c) {
            if chars.get(at).is_none_or(|&next| !is_single(next)) {
                break;
            }
            at += 1;
        }
        text.push(c);
    }
    parsed.strings.push(text);
    parsed.code.push('S');
    at
}

fn double(chars: &[char], mut at: usize, parsed: &mut Parsed) -> usize {
    loop {
        let c = *chars.get(at).expect("the string ends");
        at += 1;
        match c {
            '"' if chars.get(at) == Some(&'"') => at += 1,
            '"' => break,
            '$' if chars.get(at) == Some(&'(') => at = code(chars, at + 1, Some(')'), parsed),
            _ => {}
        }
    }
    parsed.code.push('S');
    at
}

/// What is printed for a sign-in `m365` with these keys, which these mailboxes use.
fn printed(oauth: &str, users: &[&str]) -> String {
    let text =
        format!("[[oauth]]\nname = \"m365\"\n{oauth}\n[[upstream]]\nname = \"out\"\nkind = \"capture\"\n");
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let config = Config::from_toml(&text, folder.path()).unwrap_or_else(|faults| panic!("{faults}")).config;
    let mailbox = |user: &&'static str| SendingMailbox { user, upstream: "out", resource: Resource::Smtp };
    let users: Vec<&'static str> = users.iter().map(|user| &*String::from(*user).leak()).collect();
    what_to_do(&config.sign_ins[0], &users.iter().map(mailbox).collect::<Vec<_>>())
}

fn script(oauth: &str, users: &[&str]) -> String {
    printed(&format!("provider = \"microsoft\"\ntenant = \"firm.example\"\n{oauth}"), users)
}

/// A certificate with its key, and an assertion.
#[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
fn files(folder: &Path) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(private.as_ref())
    );
    let key = rcgen::KeyPair::from_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["relay.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("c.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("k.pem"), pem).unwrap();
    let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://issuer.example","sub":"system:mailsluice"}"#);
    std::fs::write(folder.join("jwt"), format!("e30.{claims}.c2ln\n")).unwrap();
}

const ID: &str = "client_id = \"11111111-2222-3333-4444-555555555555\"\n";

const SCOPE: [&str; 3] = ["New-ServicePrincipal -AppId", "New-ManagementScope", "-CustomResourceScope"];
const DELEGATED: [&str; 2] = ["New-MgOauth2PermissionGrant", "consentType"];

/// The same for mailboxes that send by Microsoft Graph.
fn graph_script(oauth: &str, users: &[&str]) -> String {
    let text = format!(
        "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\n{oauth}\n\
         [[upstream]]\nname = \"out\"\nkind = \"capture\"\n"
    );
    let config = Config::from_toml(&text, Path::new("/")).unwrap_or_else(|faults| panic!("{faults}")).config;
    let mailbox = |user| SendingMailbox { user, upstream: "out", resource: Resource::Graph };
    what_to_do(&config.sign_ins[0], &users.iter().map(|user| mailbox(*user)).collect::<Vec<_>>())
}

#[test]
fn graph_needs_no_smtp_and_no_right_in_entra() {
    let alone = format!("{ID}flow = \"client_credentials\"\nclient_secret = \"hush-canary\"");
    let script = graph_script(&alone, &["a@firm.example", "a@firm.example"]);
    parse(&script);
    for want in [
        "$Mailboxes = @('a@firm.example')\n",
        "$EntraPermissions = @()\n",
        "$ExchangeRoles = @('Application Mail.Send')\n",
        "$ForSmtp = $false\n",
    ] {
        assert!(script.contains(want), "{want} is missing:\n{script}");
    }
    let open = graph_script(&alone, &[""]);
    assert!(open.contains("$Mailboxes = @()   # write each mailbox that mail may go as\n"), "{open}");
    for (scope, want) in [
        ("", "'Mail.Send'"),
        (
            "graph_scope = \"https://graph.microsoft.com/Mail.Send.Shared offline_access\"\n",
            "'Mail.Send.Shared'",
        ),
    ] {
        let person = graph_script(&format!("{ID}{scope}flow = \"device_code\""), &["a@firm.example"]);
        assert!(person.contains(&format!("$Delegated = @({want}, 'offline_access'")), "{person}");
    }
}

#[test]
fn each_flow_has_what_it_needs_and_no_more() {
    let mailboxes = ["a@firm.example", "b@firm.example"];
    for (oauth, wanted, unwanted) in [
        (
            "flow = \"device_code\"",
            &["isFallbackPublicClient"][..],
            &["redirectUris", "Secret", "FullAccess -Identity"][..],
        ),
        ("flow = \"authorization_code\"", &["redirectUris"], &["isFallbackPublicClient", "keyCredentials"]),
        (
            "flow = \"client_credentials\"\nclient_secret = \"hush-canary\"",
            &["Add-MgApplicationPassword"],
            &["keyCredentials"],
        ),
        (
            "flow = \"client_credentials\"\nclient_certificate = \"c.pem\"\nclient_key = \"k.pem\"",
            &["keyCredentials", "SHA-256"],
            &["Add-MgApplicationPassword"],
        ),
        (
            "flow = \"client_credentials\"\nassertion_file = \"jwt\"",
            &["FederatedIdentityCredential"],
            &["keyCredentials"],
        ),
        (
            "flow = \"client_credentials\"\nmanaged_identity = true",
            &["ManagedIdentity"],
            &["New-MgApplication "],
        ),
    ] {
        let script = script(&format!("{ID}{oauth}"), &mailboxes);
        let parsed = parse(&script);
        let is_app_only = oauth.contains("client_credentials");
        let (more, less) =
            if is_app_only { (&SCOPE[..], &DELEGATED[..]) } else { (&DELEGATED[..], &SCOPE[..]) };
        for word in
            wanted.iter().chain(more).chain(&["Set-CASMailbox", "SmtpClientAuthenticationDisabled $false"])
        {
            assert!(script.contains(word), "{word} is missing for {oauth}:\n{script}");
        }
        for word in unwanted.iter().chain(less) {
            assert!(!script.contains(word), "{word} is too much for {oauth}:\n{script}");
        }
        for text in ["Mailsluice m365", "firm.example", "a@firm.example", "b@firm.example"] {
            assert!(parsed.strings.iter().any(|string| string == text), "{text}");
        }
        assert!(!script.contains("hush-canary") && !script.contains("PRIVATE KEY"));
        // In Entra, Mail.Send would open all mailboxes; nothing here sends by Graph, anyway.
        assert!(!script.contains("Mail.Send'"), "{script}");
        // What a script uses it has set before.
        for variable in [
            "Tenant",
            "AppName",
            "Mailboxes",
            "ClientId",
            "Delegated",
            "EntraPermissions",
            "ExchangeRoles",
            "ForSmtp",
            "Certificate",
            "Issuer",
        ] {
            let set = parsed.code.find(&format!("${variable} = "));
            let used = parsed.code.find(&format!("${variable}"));
            assert_eq!(set, used, "{variable} in {oauth}");
        }
    }
}

#[test]
fn says_what_is_known_of_a_certificate_and_an_assertion() {
    let certificate = script(
        &format!("{ID}flow = \"client_credentials\"\nclient_certificate = \"c.pem\"\nclient_key = \"k.pem\""),
        &["a@firm.example"],
    );
    let der = parse(&certificate).strings.into_iter().find(|text| text.starts_with("MII")).unwrap();
    assert!(STANDARD.decode(der).unwrap().starts_with(&[0x30, 0x82]));
    let assertion =
        script(&format!("{ID}flow = \"client_credentials\"\nassertion_file = \"jwt\""), &["a@firm.example"]);
    assert!(
        assertion.contains("$Issuer = 'https://issuer.example'\n$Subject = 'system:mailsluice'\n"),
        "{assertion}"
    );
}

#[test]
fn nothing_gets_out_of_its_quotes() {
    let names = [
        "o'brien@firm.example",
        "x'; Remove-SendingMailbox *; '@firm.example",
        "p\u{2019}); Stop-Computer; (\u{2018}@firm.example",
        "q$(1)`n\"@firm.example",
    ];
    let script = script(&format!("{ID}flow = \"device_code\""), &names);
    let parsed = parse(&script);
    for name in names {
        assert!(parsed.strings.iter().any(|string| string == name), "{name}: {:?}", parsed.strings);
    }
    assert!(
        !parsed.code.contains("Remove-SendingMailbox") && !parsed.code.contains("Stop-Computer"),
        "{}",
        parsed.code
    );
}

#[test]
fn without_an_application_the_script_makes_one() {
    let text = format!("client_id = {:?}\nflow = \"device_code\"", crate::config::NO_CLIENT_ID);
    assert!(script(&text, &["a@firm.example"]).contains("$ClientId = ''\n"));
    assert!(
        script(&format!("{ID}flow = \"device_code\""), &["a@firm.example"]).contains("$ClientId = '11111111")
    );
}

#[test]
fn others_get_steps() {
    for (oauth, words) in [
        (
            "provider = \"google\"\nclient_id = \"1.apps.googleusercontent.com\"\nclient_secret = \"hush-canary\"\nflow = \"authorization_code\"",
            "Desktop app",
        ),
        (
            "provider = \"custom\"\nclient_id = \"relay\"\nflow = \"authorization_code\"\nauthorize_url = \"https://i.example/a\"\n\
             token_url = \"https://i.example/t\"\nscope = \"mail\"",
            "http://127.0.0.1",
        ),
    ] {
        let steps = printed(oauth, &["u@firm.example"]);
        assert!(steps.starts_with("There is no script") && steps.contains(words), "{steps}");
        assert!(steps.contains("mailsluice connect m365") && !steps.contains("hush-canary"), "{steps}");
    }
}
