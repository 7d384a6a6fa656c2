//! Replies and forwards, told by what mail programs write into their header sections.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mail::decoded_text;
use crate::mail::header::Header;

/// Fields that only an answer to a message, or a message that is sent again, has: those of RFC 5322 3.6.4 and 3.6.6, and what
/// Thunderbird writes when it forwards one.
const FIELDS: [&str; 4] = ["In-Reply-To", "References", "X-Forwarded-Message-Id", "Resent-From"];
/// Octets of a Thread-Index that begins a conversation; each answer makes it longer.
const FIRST_THREAD_INDEX: usize = 22;
/// What subjects of forwarded mail begin with, as Outlook and others write it in the languages that they speak.
const FORWARDED: [&str; 8] = ["fwd:", "fw:", "wg:", "tr:", "rv:", "enc:", "doorst:", "vb:"];

/// Whether a message answers another one or passes it on.
///
/// An answer is told by its fields alone, since every mail program writes them; programs write "Re:" into subjects of new
/// mail as well. Mail that is passed on has such fields from some programs alone, so that its subject counts, too.
pub(super) fn is_reply_or_forward(header: &Header<'_>) -> bool {
    let is_there = |name: &&str| header.fields().any(|field| field.is(name) && !field.unfolded().is_empty());
    FIELDS.iter().any(is_there) || continues_thread(header) || is_forwarded(header)
}

/// Whether Outlook counts it as an answer.
fn continues_thread(header: &Header<'_>) -> bool {
    let index = header.get("Thread-Index").map(|field| field.unfolded());
    let index = index.and_then(|mut text| {
        text.retain(|octet| !octet.is_ascii_whitespace());
        STANDARD.decode(text).ok()
    });
    index.is_some_and(|index| index.len() > FIRST_THREAD_INDEX)
}

fn is_forwarded(header: &Header<'_>) -> bool {
    let subject = header.get("Subject").map(|field| decoded_text(&field)).unwrap_or_default();
    let subject = subject.trim().to_lowercase();
    FORWARDED.iter().any(|word| subject.starts_with(word)) || is_in_mutts_form(&subject)
}

/// `[author@firm.example: subject]`
fn is_in_mutts_form(subject: &str) -> bool {
    let inner = subject.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let author = inner.and_then(|inner| inner.split_once(": ")).map(|(author, _)| author);
    author.is_some_and(|author| author.contains('@') && !author.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_replies_and_forwards() {
        let first = STANDARD.encode([1; 22]);
        let second = STANDARD.encode([1; 27]);
        for (name, header, want) in [
            ("new", "Subject: Your invoice\r\n".to_owned(), false),
            ("new from Outlook", format!("Thread-Topic: Hello\r\nThread-Index: {first}\r\n"), false),
            ("empty fields", "In-Reply-To:\r\nReferences: \r\n".to_owned(), false),
            ("a program's subject", "Subject: Re: your order 17\r\n".to_owned(), false),
            ("reply", "In-Reply-To: <a@b>\r\nReferences: <a@b>\r\nSubject: Re: x\r\n".to_owned(), true),
            ("a long thread", "References:\r\n <a@b>\r\n <c@d>\r\n".to_owned(), true),
            ("Outlook, without a server", format!("Subject: AW: x\r\nThread-Index: {second}\r\n"), true),
            ("folded", format!("Thread-Index: {}\r\n {}\r\n", &second[..20], &second[20..]), true),
            ("Thunderbird", "X-Forwarded-Message-Id: <a@b>\r\nSubject: Fwd: x\r\n".to_owned(), true),
            ("Outlook in German", "Subject: WG: x\r\n".to_owned(), true),
            ("encoded", "Subject: =?utf-8?q?Fwd=3A_Gr=C3=BC=C3=9Fe?=\r\n".to_owned(), true),
            ("mutt", "Subject: [ann@firm.example: Offer]\r\n".to_owned(), true),
            ("a list", "Subject: [dev: news] hello\r\n".to_owned(), false),
            ("sent again", "Resent-From: a@b.example\r\nResent-To: c@d.example\r\n".to_owned(), true),
        ] {
            let content = format!("From: a@firm.example\r\n{header}\r\nhi\r\n");
            assert_eq!(is_reply_or_forward(&Header::parse(content.as_bytes())), want, "{name}");
        }
    }
}
