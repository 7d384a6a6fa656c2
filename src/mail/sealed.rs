//! Bodies that are signed or encrypted: a change would break the signature, or the whole message.

use std::borrow::Cow;

use super::header::Header;
use super::mime::{DecodedBody, EntityKind, MAX_DEPTH, Piece, part_header, pieces};

/// Types of such bodies (RFC 1847, RFC 3156, RFC 8551).
const KINDS: [&str; 7] = [
    "multipart/signed",
    "multipart/encrypted",
    "application/pkcs7-mime",
    "application/x-pkcs7-mime",
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
    "application/pgp",
];
/// What a text begins with that is signed or encrypted as a whole (RFC 9580 6.2).
const ARMOR: [&[u8]; 2] = [b"-----BEGIN PGP MESSAGE-----", b"-----BEGIN PGP SIGNED MESSAGE-----"];
/// Octets of a text that are looked at: the armor, and blank lines before it.
const BEGINNING: usize = 512;

/// Whether a message with this header and its body is signed or encrypted: it as a whole, or the text that a reader sees first.
#[must_use]
pub fn is_sealed(header: &Header<'_>) -> bool {
    let mut header = Cow::Borrowed(header);
    for _ in 0..MAX_DEPTH {
        let kind = EntityKind::of(&header);
        if is_sealed_kind(&kind) {
            return true;
        }
        let body = header.body();
        let Some(boundary) = kind.boundary().filter(|_| kind.main == "multipart") else {
            return kind.main == "text" && is_armored(&kind, body);
        };
        let part = pieces(body, boundary).find_map(|piece| match piece {
            Piece::Part(range) => Some(range),
            Piece::Around(_) => None,
        });
        let Some(part) = part.and_then(|part| part_header(&body[part])) else { return false };
        header = Cow::Owned(part);
    }
    false
}

/// Whether an entity of this kind is signed or encrypted.
#[must_use]
pub fn is_sealed_kind(kind: &EntityKind) -> bool {
    KINDS.iter().any(|name| kind.is(name))
}

/// Whether the body of a text is signed or encrypted by PGP as a whole.
#[must_use]
pub fn is_armored(kind: &EntityKind, body: &[u8]) -> bool {
    // Whole groups of base64; an escape that is cut is read as what it looks like.
    let mut beginning = &body[..body.len().min(BEGINNING)];
    if let Some(line) = beginning.iter().rposition(|&b| b == b'\n').filter(|_| body.len() > BEGINNING) {
        beginning = &beginning[..=line];
    }
    let text = DecodedBody::of(beginning, kind.encoding);
    let is_it = |text: DecodedBody<'_>| {
        let text = text.octets().trim_ascii_start();
        ARMOR.iter().any(|armor| text.starts_with(armor))
    };
    text.is_some_and(is_it)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn knows_what_is_signed_or_encrypted() {
        let armored =
            "\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n".to_owned() + &"x\r\n".repeat(400);
        let base64 = base64::engine::general_purpose::STANDARD.encode(&armored);
        let lines: Vec<&str> =
            (0..base64.len()).step_by(76).map(|at| &base64[at..base64.len().min(at + 76)]).collect();
        for (content, want) in [
            ("Content-Type: multipart/signed; boundary=b\r\n\r\n".to_owned(), true),
            ("Content-Type: Multipart/Encrypted; boundary=b\r\n\r\n".to_owned(), true),
            ("Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data\r\n\r\nx".to_owned(), true),
            ("Content-Type: application/pdf\r\n\r\nx".to_owned(), false),
            (format!("Subject: x\r\n\r\n{armored}"), true),
            (format!("Content-Transfer-Encoding: base64\r\n\r\n{}", lines.join("\r\n")), true),
            ("Content-Transfer-Encoding: quoted-printable\r\n\r\n-----BEGIN=20PGP MESSAGE-----\r\n".to_owned(), true),
            ("Subject: x\r\n\r\nDear\r\n-----BEGIN PGP MESSAGE-----\r\n".to_owned(), false),
            (format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{armored}\r\n--b--\r\n"), true),
            ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n--b--".to_owned(), true),
            ("Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_sealed(&Header::parse(content.as_bytes())), want, "{content}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let open = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
        assert!(!is_sealed(&Header::parse(open.repeat(10_000).as_bytes())));
    }
}
