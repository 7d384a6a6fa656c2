//! `[secrets]`

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use crate::config::reader::Section;
use crate::config::{SealingKey, Secrets, secret};

/// What tokens are encrypted with.
pub(in crate::config) fn read(mut section: Section<'_>) -> Secrets {
    const INSTEAD: &str = r#"write { file = "…" } with the output of `openssl rand -base64 32`"#;
    let text = secret::read(&mut section, "key");
    let key = text.and_then(|text| {
        let octets = STANDARD.decode(text.expose_secret().trim()).ok();
        let key = octets.and_then(|octets| <[u8; 32]>::try_from(octets).ok()).map(SealingKey::new);
        if key.is_none() {
            section.fault(&section.place_of("key"), "key", "is not 32 octets in base64", INSTEAD);
        }
        key
    });
    section.finish();
    Secrets { key }
}
