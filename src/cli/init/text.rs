//! The text of the configuration.

use std::path::Path;

use super::answers::{Answers, LoginAnswer, SecretAnswer, SignInAnswers};
use super::provider::ChosenProvider;
use super::way::Way;

/// The column where comments begin.
const COMMENT: usize = 33;

/// A line with a comment behind it.
fn commented(line: &str, comment: &str) -> String {
    format!("{line:COMMENT$} # {comment}\n")
}

/// `key = "value"`
fn pair(key: &str, value: &str) -> String {
    // The library knows what TOML wants quoted, and how.
    format!("{key} = {}", toml::Value::String(value.to_owned()))
}

/// `key = "value"` on a line of its own.
fn pair_line(key: &str, value: &str) -> String {
    pair(key, value) + "\n"
}

/// `key = { file = "…" }`
fn secret(key: &str, secret: &SecretAnswer) -> String {
    format!("{key} = {{ {} }}\n", pair("file", &secret.path()))
}

/// The configuration that does what was asked for, for a file at `place`.
pub(super) fn configuration(answers: &Answers, place: &Path) -> String {
    let mut text = String::new();
    // Beside a file in /etc there is no place for data.
    if place.starts_with("/etc") {
        text += "data_dir = \"/var/lib/mailsluice\"\n";
    }
    let name = answers.provider.name();
    text += &commented("[[upstream]]", "programs hand their mail in at 127.0.0.1:2525; it goes out here");
    text += &pair_line("name", &name);
    text += &match &answers.provider {
        ChosenProvider::Preset { preset, .. } => {
            commented(&pair("preset", preset.name), "its host, port, TLS and limits: mailsluice presets")
        }
        ChosenProvider::Host(_) => String::new(),
    };
    text += &answers.provider.host().map_or_else(String::new, |host| pair_line("host", host));
    text += &pair_line(if answers.provider.is_graph() { "mailbox" } else { "user" }, &answers.user);
    match &answers.login {
        LoginAnswer::Password(password) => text += &secret("password", password),
        LoginAnswer::SignIn(sign_in) => {
            text += &pair_line("oauth", &name);
            text += &sign_in_text(sign_in, &name);
        }
    }
    text
}

fn sign_in_text(sign_in: &SignInAnswers, name: &str) -> String {
    let mut text = format!("[[oauth]]\n{}", pair_line("name", name));
    let provider = pair("provider", sign_in.provider_word());
    text += &match sign_in.way {
        // The usual flow is not written.
        Way::DeviceCode => {
            commented(&provider, &format!("a person signs in once: mailsluice connect {name}"))
        }
        _ => provider + "\n",
    };
    text += &sign_in.tenant.as_ref().map_or_else(String::new, |tenant| pair_line("tenant", tenant));
    let client_id = pair("client_id", &sign_in.client_id);
    text += &if sign_in.has_client_id() {
        client_id + "\n"
    } else {
        commented(&client_id, &format!("of your app registration: mailsluice connect {name} --script"))
    };
    if let Some(client_secret) = &sign_in.client_secret {
        text += &secret("client_secret", client_secret);
    }
    if sign_in.way != Way::DeviceCode {
        text += &pair_line("flow", sign_in.way.word());
    }
    text
}
