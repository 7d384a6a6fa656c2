//! Names of folders, as IMAP writes them: modified UTF-7 (RFC 3501 5.1.3), in quotes.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// Base64 without padding, with a comma in place of the slash.
const MODIFIED: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// The name as it stands in a command.
pub(super) fn written(name: &str) -> String {
    quoted(&to_utf7(name))
}

/// A text of printable ASCII in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn to_utf7(name: &str) -> String {
    let (mut written, mut shifted) = (String::new(), String::new());
    for c in name.chars() {
        match c {
            ' '..='~' => {
                unshift(&mut written, &mut shifted);
                written.push(c);
                if c == '&' {
                    written.push('-');
                }
            }
            _ => shifted.push(c),
        }
    }
    unshift(&mut written, &mut shifted);
    written
}

/// Writes what is no ASCII as base64 of UTF-16.
fn unshift(written: &mut String, shifted: &mut String) {
    if !shifted.is_empty() {
        let octets: Vec<u8> = shifted.encode_utf16().flat_map(u16::to_be_bytes).collect();
        written.push('&');
        MODIFIED.encode_string(octets, written);
        written.push('-');
        shifted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_names() {
        for (name, want) in [
            ("Sent", "\"Sent\""),
            ("INBOX.Sent Items", "\"INBOX.Sent Items\""),
            ("Offers & \"more\"\\", "\"Offers &- \\\"more\\\"\\\\\""),
            ("Messages envoyés", "\"Messages envoy&AOk-s\""),
            // The example of RFC 3501 5.1.3.
            ("~peter/mail/台北/日本語", "\"~peter/mail/&U,BTFw-/&ZeVnLIqe-\""),
            ("✉📨", "\"&JwnYPdzo-\""),
        ] {
            assert_eq!(written(name), want, "{name}");
        }
    }
}
