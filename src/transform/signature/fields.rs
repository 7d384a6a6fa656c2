//! Changes fields of a part as what is put into its body demands.

use crate::mail::header::{FieldChange, Header, fold};
use crate::mail::mime::EntityKind;

/// Declares a text UTF-8. Returns whether that could be done.
pub(super) fn declare_utf8(header: &mut Header<'_>, kind: &EntityKind) -> bool {
    if !kind.declared {
        header.replace("Content-Type", b"text/plain; charset=utf-8");
        return true;
    }
    let Some(field) = header.get("Content-Type") else { return false };
    let raw = field.raw();
    let new = match (charset_value(raw), kind.parameter("charset")) {
        (Some(range), _) => [&raw[..range.start], b"utf-8", &raw[range.end..]].concat(),
        (None, None) => [raw.trim_ascii_end(), b"; charset=utf-8\r\n"].concat(),
        // It is written in a way that is rarely seen.
        (None, Some(_)) => return false,
    };
    header.map(
        |field| {
            if field.is("Content-Type") { FieldChange::Replace(new.clone()) } else { FieldChange::Keep }
        },
    );
    true
}

/// Where the value of the parameter `charset` stands in a Content-Type field, with its quotes.
fn charset_value(raw: &[u8]) -> Option<std::ops::Range<usize>> {
    let (mut start, mut in_quotes, mut escaped) = (0, false, false);
    let mut parts = Vec::new();
    for (at, &octet) in raw.iter().enumerate() {
        match octet {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' if in_quotes => escaped = true,
            b'"' => in_quotes = !in_quotes,
            b';' if !in_quotes => {
                parts.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(start..raw.len());
    parts.into_iter().skip(1).find_map(|part| {
        let text = &raw[part.clone()];
        let equals = text.iter().position(|&b| b == b'=')?;
        if !text[..equals].trim_ascii().eq_ignore_ascii_case(b"charset") {
            return None;
        }
        let value = &text[equals + 1..];
        let lead = value.len() - value.trim_ascii_start().len();
        let value = value.trim_ascii();
        // A comment may follow.
        let length = match value {
            [b'"', rest @ ..] => rest.iter().position(|&b| b == b'"')? + 2,
            _ => value.iter().position(|b| b.is_ascii_whitespace() || *b == b'(').unwrap_or(value.len()),
        };
        let start = part.start + equals + 1 + lead;
        Some(start..start + length)
    })
}

/// Says that the body has octets over 127, where nothing or the contrary is said (RFC 2045 6.2).
pub(super) fn declare_eight_bit(header: &mut Header<'_>) {
    let value = header.get("Content-Transfer-Encoding").map(|field| field.unfolded().to_ascii_lowercase());
    if !matches!(value.as_deref(), Some(b"8bit" | b"binary")) {
        header.replace("Content-Transfer-Encoding", b"8bit");
    }
}

/// The same for the fields of an entity that holds others: where nothing is said, nobody minds.
pub(super) fn allow_eight_bit(header: &mut Header<'_>) {
    header.map(|field| {
        let is_wrong =
            field.is("Content-Transfer-Encoding") && field.unfolded().eq_ignore_ascii_case(b"7bit");
        if is_wrong {
            FieldChange::Replace(fold("Content-Transfer-Encoding", b"8bit"))
        } else {
            FieldChange::Keep
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declares_utf8_in_place() {
        for (field, want) in [
            ("Content-Type: text/plain\r\n", "Content-Type: text/plain; charset=utf-8\r\n"),
            (
                "content-type: Text/Plain;\r\n format=flowed; Charset=\"us-ascii\"; x=y\r\n",
                "content-type: Text/Plain;\r\n format=flowed; Charset=utf-8; x=y\r\n",
            ),
            (
                "Content-Type: text/plain; name=\"a;charset=b\"; charset = iso-8859-1 (Latin)\r\n",
                "Content-Type: text/plain; name=\"a;charset=b\"; charset = utf-8 (Latin)\r\n",
            ),
            ("Subject: x\r\n", "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n"),
            ("Content-Type: text/plain; charset*=us-ascii'en'us-ascii\r\n", ""),
        ] {
            let content = format!("{field}\r\nbody");
            let mut header = Header::parse(content.as_bytes());
            let kind = EntityKind::of(&header);
            let done = declare_utf8(&mut header, &kind);
            let mut got = Vec::new();
            header.write_to(&mut got);
            let want = if want.is_empty() { field } else { want };
            assert_eq!((String::from_utf8(got).unwrap().as_str(), done), (want, want != field), "{field}");
        }
    }
}
