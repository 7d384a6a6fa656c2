//! `[upstream.sent_copy]`

use super::upstream_logins::ReadLogins;
use crate::config::names::is_host;
use crate::config::presets::Preset;
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{Security, SentFolder};

const WRITE_IMAP: &str = r#"write host and port, such as "imap.firm.example:993""#;
const WRITE_FOLDER: &str = r#"write the folder's name as mail programs show it, such as "Sent""#;
/// The ports of IMAP: in clear text first, and with TLS from the first octet (RFC 8314 3.2).
const PORTS: [u16; 2] = [143, 993];
/// The longest name of a folder, in octets.
const LONGEST_FOLDER: usize = 250;

/// Where copies of what its accounts have sent go; `None` where nothing says so, or the provider keeps them by itself.
pub(super) fn read(
    is_there: bool,
    mut section: Section<'_>,
    preset: Option<&Preset>,
    logins: &ReadLogins,
) -> Option<SentFolder> {
    let securities = [("tls", Security::Tls), ("starttls", Security::StartTls)];
    let security = section.choice("security", &securities).unwrap_or(Security::Tls);
    let server = section.parsed("imap", "a host and a port", WRITE_IMAP, |text| server(text, security));
    let is_folder = |text: &str| {
        let fits = (1..=LONGEST_FOLDER).contains(&text.len()) && !text.contains(char::is_control);
        fits.then(|| text.to_owned())
    };
    let folder = section.parsed("folder", "the name of a folder", WRITE_FOLDER, is_folder);
    if is_there {
        if !section.has("imap") {
            section.missing("imap", WRITE_IMAP);
        }
        without_login(&section, logins);
    }
    warn_of_mismatch(&section, server.as_ref(), security);
    let is_kept = is_there && keeps_by_itself(&section, preset);
    section.finish();
    let (host, port) = server.filter(|_| !is_kept)?;
    Some(SentFolder { host, port, security, folder: folder.unwrap_or_else(|| "Sent".to_owned()) })
}

/// Host and port; the port may be left out.
fn server(text: &str, security: Security) -> Option<(String, u16)> {
    let usual = PORTS[usize::from(security == Security::Tls)];
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok().filter(|&port: &u16| port > 0)?)
        }
        _ => (text, usual),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    is_host(bare).then(|| (bare.to_owned(), port))
}

/// A copy belongs in somebody's mailbox.
fn without_login(section: &Section<'_>, logins: &ReadLogins) {
    if logins.logins.iter().any(|login| login.user.is_none()) {
        let what = "needs a login, which the upstream does not have";
        section.fault(
            &section.place,
            "imap",
            what,
            "write user and password of the mailbox, or remove [upstream.sent_copy]",
        );
    }
}

/// The two usual ports speak TLS in one way each.
fn warn_of_mismatch(section: &Section<'_>, server: Option<&(String, u16)>, security: Security) {
    let (what, instead) = match (server, security) {
        (Some((_, 993)), Security::StartTls) => {
            ("is \"starttls\", and port 993 speaks TLS from the first octet", "remove it, or write port 143")
        }
        (Some((_, 143)), Security::Tls) => {
            ("is \"tls\", and port 143 begins in clear text", "write security = \"starttls\", or port 993")
        }
        _ => return,
    };
    section.warning(&section.place_of("security"), "security", what, instead);
}

/// Whether the provider puts what it takes by SMTP into the Sent folder by itself: then a copy would be a second one.
fn keeps_by_itself(section: &Section<'_>, preset: Option<&Preset>) -> bool {
    let Some(preset) = preset.filter(|preset| preset.keeps_copies()) else { return false };
    let what =
        format!("{} keeps copies of what it sends by itself, so that none is made", quoted(preset.name));
    section.warning(&section.place_of("imap"), "imap", &what, "remove [upstream.sent_copy]");
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_and_port() {
        for (text, security, want) in [
            ("imap.firm.example:993", Security::Tls, Some(("imap.firm.example", 993))),
            ("imap.firm.example", Security::Tls, Some(("imap.firm.example", 993))),
            ("imap.firm.example", Security::StartTls, Some(("imap.firm.example", 143))),
            ("192.0.2.1:1143", Security::StartTls, Some(("192.0.2.1", 1143))),
            ("[2001:db8::1]:993", Security::Tls, Some(("2001:db8::1", 993))),
            ("2001:db8::1", Security::Tls, Some(("2001:db8::1", 993))),
            ("imap.firm.example:0", Security::Tls, None),
            ("imap.firm.example:imaps", Security::Tls, None),
            ("imaps://imap.firm.example", Security::Tls, None),
            ("", Security::Tls, None),
            (":993", Security::Tls, None),
        ] {
            let want = want.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(server(text, security), want, "{text}");
        }
    }
}
