//! `[console]` and `[[api_token]]`

use std::collections::HashMap;
use std::net::SocketAddr;

use super::argon2id;
use super::listener::PlacedListener;
use crate::config::check;
use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{ApiRole, ApiToken, Console, MetricsAccess, TokenHash};

/// The longest name of a token, in octets.
const LONGEST_NAME: usize = 255;
/// Tokens that are hashed with argon2id: a wrong one costs a hash of each.
const MOST_SLOW: usize = 8;
/// Tokens of any kind.
const MOST: usize = 64;
const WRITE_HASH: &str =
    r#"write "sha256:" and 64 hexadecimal digits, or what `mailsluice hash-password` prints"#;
const WRITE_HOSTS: &str = r#"write host names without a port, such as ["relay.firm.example"]"#;

/// Where the interface is; `tokens` let in there.
pub(in crate::config) fn read(
    root: &mut Section<'_>,
    tokens: &[ApiToken],
    listeners: &[PlacedListener],
) -> Console {
    let mut section = root.section("console");
    let console = Console {
        is_named: section.has("address"),
        address: address(&mut section),
        hosts: hosts(&mut section),
        metrics: metrics(&mut section),
    };
    if let Some(address) = console.address.filter(|_| console.is_named) {
        let place = section.place_of("address");
        if !address.ip().to_canonical().is_loopback() && tokens.is_empty() {
            let what = format!("{address} can be reached from other machines, and there is no token");
            let instead =
                "write [[api_token]] with name, hash and role, or an address such as 127.0.0.1:8025";
            section.fault(&place, "address", &what, instead);
        }
        if address.port() != 0 && listeners.iter().any(|placed| placed.listener.address == address) {
            let what = format!("{address} is the address of a listener");
            section.fault(&place, "address", &what, "write another address");
        }
        check::machine::address(&section, (&place, "address"), address);
    }
    section.finish();
    console
}

fn usual_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8025))
}

fn address(section: &mut Section<'_>) -> Option<SocketAddr> {
    const INSTEAD: &str = r#"write an IP address and a port, such as "127.0.0.1:8025", or "off""#;
    let parse = |text: &str| match text {
        "off" => Some(None),
        text => text.parse().ok().map(Some),
    };
    section.parsed("address", "an IP address with a port", INSTEAD, parse).unwrap_or(Some(usual_address()))
}

fn metrics(section: &mut Section<'_>) -> MetricsAccess {
    let choices = [MetricsAccess::SignedIn, MetricsAccess::Open].map(|access| (access.name(), access));
    section.choice("metrics", &choices).unwrap_or_default()
}

fn hosts(section: &mut Section<'_>) -> Vec<String> {
    let mut hosts = Vec::new();
    for (place, text) in section.texts("hosts").unwrap_or_default() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.is_empty() || text.len() > 255 || !text.chars().all(is_name) {
            section.fault(&place, "hosts", &format!("{} is not a host name", quoted(text)), WRITE_HOSTS);
        } else {
            hosts.push(text.to_ascii_lowercase());
        }
    }
    hosts
}

/// All tokens; no two with the same name.
pub(in crate::config) fn tokens(root: &mut Section<'_>) -> Vec<ApiToken> {
    let mut tokens: Vec<ApiToken> = Vec::new();
    let mut names: HashMap<String, SourcePlace> = HashMap::new();
    for mut section in root.sections("api_token") {
        let name = name(&mut section);
        let place = section.place_of("name");
        if let Some(name) = &name
            && names.insert(name.to_lowercase(), place.clone()).is_some()
        {
            let what = format!("{} is the name of another token, too", quoted(name));
            section.fault(&place, "name", &what, "write another name");
        }
        let (hash, role) = (hash(&mut section), role(&mut section));
        section.finish();
        if let (Some(name), Some(hash), Some(role)) = (name, hash, role) {
            tokens.push(ApiToken { name, hash, role });
        }
    }
    let slow = tokens.iter().filter(|token| matches!(token.hash, TokenHash::Argon2id(_))).count();
    if slow > MOST_SLOW || tokens.len() > MOST {
        let what = format!("there are more than {MOST_SLOW} tokens with argon2id, or than {MOST} at all");
        root.fault(
            &root.place_of("api_token"),
            "api_token",
            &what,
            "write sha256 of random tokens, or fewer",
        );
    }
    tokens
}

fn name(section: &mut Section<'_>) -> Option<String> {
    const INSTEAD: &str = r#"write whose token it is, such as "monitoring""#;
    if !section.has("name") {
        section.missing("name", INSTEAD);
    }
    section.parsed("name", "a name", INSTEAD, |text| {
        let fits = !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    })
}

fn role(section: &mut Section<'_>) -> Option<ApiRole> {
    if !section.has("role") {
        section.missing("role", r#"write "viewer" (no contents, changes nothing) or "admin""#);
    }
    let roles = [ApiRole::Viewer, ApiRole::Admin].map(|role| (role.name(), role));
    section.choice("role", &roles)
}

fn hash(section: &mut Section<'_>) -> Option<TokenHash> {
    const KEY: &str = "hash";
    if !section.has(KEY) {
        section.missing(KEY, WRITE_HASH);
    }
    // A fault never repeats it: it may be the token itself.
    let text = section.text(KEY, "a text", WRITE_HASH)?;
    let what = match text.strip_prefix("sha256:") {
        Some(digits) => match digest(digits) {
            Some(digest) => return Some(TokenHash::Sha256(digest)),
            None => "is not the SHA-256 of a token",
        },
        None => match argon2id::fault(text) {
            None => return Some(TokenHash::Argon2id(text.into())),
            Some(what) => what,
        },
    };
    section.fault(&section.place_of(KEY), KEY, what, WRITE_HASH);
    None
}

fn digest(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (octet, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *octet = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(digest)
}
