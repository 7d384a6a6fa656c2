//! What a client asks for beyond delivery: reports (RFC 3461) and priority (RFC 6710).
//!
//! All of it travels with the message: it is stored, honoured in our own reports, and passed on. Text in it comes from
//! outside and ends in header fields and commands, so only visible ASCII and spaces get in.

use std::fmt;

/// The longest envelope id, as it is written (RFC 3461 4.4).
const MAX_ENVELOPE_ID: usize = 100;
/// The longest original recipient, as it is written, with its type (RFC 3461 4.2).
const MAX_ORIGINAL: usize = 500;

/// What is asked for the whole message. `Default` asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageRequest {
    /// `RET=`: how much of the content a report of failure returns.
    pub ret: Option<Return>,
    /// `ENVID=`: the sender's own name for the message.
    pub envelope_id: Option<EnvelopeId>,
    /// `MT-PRIORITY=`: from -9 to 9; 0 is normal.
    pub priority: Option<i8>,
}

/// What is asked for one recipient. `Default` asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecipientRequest {
    /// `NOTIFY=`
    pub notify: Option<Notify>,
    /// `ORCPT=`
    pub original: Option<OriginalRecipient>,
}

impl RecipientRequest {
    /// The same recipient was given again: whoever wants to hear of something hears of it, and the first ORCPT stays.
    pub fn join(&mut self, again: Self) {
        self.notify = Notify::joined(self.notify, again.notify);
        self.original = self.original.take().or(again.original);
    }

    /// What [`join`](Self::join) would keep of it beside `known`: no ORCPT, where there is one already.
    #[must_use]
    pub fn new_to(self, known: &Self) -> Self {
        Self { original: self.original.filter(|_| known.original.is_none()), ..self }
    }
}

/// How much of the content a report of failure returns (RFC 3461 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// All of it.
    Full,
    /// The header section.
    Headers,
}

impl Return {
    /// Reads the value of `RET=`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "FULL" => Some(Self::Full),
            "HDRS" => Some(Self::Headers),
            _ => None,
        }
    }
}

/// As it stands behind `RET=`.
impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

/// About what the sender wants to hear of a recipient (RFC 3461 4.1). Nothing at all is `NEVER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify {
    /// That it was delivered, or relayed to where no more reports come from.
    pub success: bool,
    /// That it failed.
    pub failure: bool,
    /// That it takes long.
    pub delay: bool,
}

impl Notify {
    /// No report, whatever happens.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };

    /// What a sender hears of that did not say (RFC 3461 4.1).
    const UNSAID: Self = Self { success: false, failure: true, delay: true };

    /// What two wishes about one recipient come to: all that either asks for, `NEVER` only when both say so.
    fn joined(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(Self::NEVER), wish) | (wish, Some(Self::NEVER)) => wish,
            (None, None) => None,
            (one, other) => {
                let (one, other) = (one.unwrap_or(Self::UNSAID), other.unwrap_or(Self::UNSAID));
                Some(Self {
                    success: one.success || other.success,
                    failure: one.failure || other.failure,
                    delay: one.delay || other.delay,
                })
            }
        }
    }

    /// Reads the value of `NOTIFY=`, in any case: `NEVER`, or a list without doubles.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut notify = Self::NEVER;
        if text.eq_ignore_ascii_case("NEVER") {
            return Some(notify);
        }
        for word in text.split(',') {
            let event = match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => &mut notify.success,
                "FAILURE" => &mut notify.failure,
                "DELAY" => &mut notify.delay,
                _ => return None,
            };
            if std::mem::replace(event, true) {
                return None;
            }
        }
        Some(notify)
    }
}

/// As it stands behind `NOTIFY=`.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let words: Vec<&str> = words.into_iter().filter(|word| word.0).map(|word| word.1).collect();
        f.write_str(&if words.is_empty() { "NEVER".to_owned() } else { words.join(",") })
    }
}

/// The sender's own name for a message: visible ASCII and spaces (RFC 3461 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeId(String);

impl EnvelopeId {
    /// Reads the value of `ENVID=`, which is xtext.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_ENVELOPE_ID {
            return None;
        }
        from_xtext(text).filter(|id| id.is_ascii()).map(Self)
    }

    /// The name itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// As it stands behind `ENVID=`, in xtext.
impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_xtext(&self.0))
    }
}

/// The recipient that the sender wrote, before anybody changed it: a type and an address (RFC 3461 4.2). All ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient {
    kind: String,
    address: String,
}

impl OriginalRecipient {
    /// Reads the value of `ORCPT=`: `type;xtext`. In the type `utf-8` characters beyond ASCII may stand as they are
    /// (RFC 6533 3); they are kept in that standard's escapes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_ORIGINAL {
            return None;
        }
        let (kind, address) = text.split_once(';')?;
        let is_atom = !kind.is_empty()
            && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/?^_`{|}~".contains(&b));
        if !is_atom || address.is_empty() {
            return None;
        }
        let mut address = from_xtext(address)?;
        if !address.is_ascii() {
            if !kind.eq_ignore_ascii_case("utf-8") {
                return None;
            }
            address = escaped(&address);
        }
        let original = Self { kind: kind.to_ascii_lowercase(), address };
        // The escapes may have made it longer than the next server takes.
        (original.to_string().len() <= MAX_ORIGINAL).then_some(original)
    }

    /// The type, in lower case: `rfc822` and the like.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// As it stands behind `ORCPT=`, in xtext.
impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.kind, to_xtext(&self.address))
    }
}

/// Characters beyond ASCII in the escapes of RFC 6533 3.
fn escaped(text: &str) -> String {
    let each = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => format!("\\x{{{:X}}}", u32::from(c)),
    };
    text.chars().map(each).collect()
}

/// Decodes xtext (RFC 3461 4), lower-case digits included, which real programs write; `None` when it is none, or hides what is not visible. Characters beyond ASCII stay.
fn from_xtext(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let decoded = match c {
            '+' => {
                let mut digit = || rest.next().filter(char::is_ascii_hexdigit)?.to_digit(16);
                let (high, low) = (digit()?, digit()?);
                char::from_u32(high * 16 + low).filter(|c| matches!(c, ' '..='~'))?
            }
            '!'..='~' if c != '=' => c,
            c if !c.is_ascii() && !c.is_control() && !is_direction(c) => c,
            _ => return None,
        };
        out.push(decoded);
    }
    (!out.is_empty()).then_some(out)
}

/// Characters that break a line or turn the direction of writing.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes ASCII text as xtext.
fn to_xtext(text: &str) -> String {
    let each = |c: char| match c {
        '!'..='~' if !"+=".contains(c) => c.to_string(),
        c => format!("+{:02X}", u32::from(c)),
    };
    text.chars().map(each).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes_notify() {
        for (text, want) in [
            ("NEVER", Some("NEVER")),
            ("never", Some("NEVER")),
            ("SUCCESS", Some("SUCCESS")),
            ("Delay,failure,SUCCESS", Some("SUCCESS,FAILURE,DELAY")),
            ("", None),
            ("NEVER,DELAY", None),
            ("DELAY,DELAY", None),
            ("DELAY,", None),
            ("DELAYS", None),
        ] {
            assert_eq!(Notify::parse(text).map(|n| n.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn joins_what_is_asked_twice() {
        for (one, other, want) in [
            ("", "", ""),
            ("", "NEVER", ""),
            ("NEVER", "NEVER", "NEVER"),
            ("NEVER", "SUCCESS", "SUCCESS"),
            ("SUCCESS", "DELAY", "SUCCESS,DELAY"),
            ("SUCCESS", "", "SUCCESS,FAILURE,DELAY"),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let mut request = RecipientRequest { notify: Notify::parse(one), original: None };
                request.join(RecipientRequest { notify: Notify::parse(other), original: None });
                assert_eq!(request.notify, Notify::parse(want), "{one:?} and {other:?}");
            }
        }
        let asked = |text: &str| RecipientRequest { notify: None, original: OriginalRecipient::parse(text) };
        for (one, other, want) in [
            ("rfc822;a@b", "rfc822;c@d", "rfc822;a@b"),
            ("", "rfc822;c@d", "rfc822;c@d"),
            ("rfc822;a@b", "", "rfc822;a@b"),
        ] {
            let mut request = asked(one);
            request.join(asked(other));
            assert_eq!(request, asked(want));
            let (known, new) = (asked(one), asked(other).new_to(&asked(one)));
            assert_eq!(new.original.is_some(), known != request, "{one:?} and {other:?}");
            let mut same = known;
            same.join(new);
            assert_eq!(same, request, "{one:?} and what is new of {other:?}");
        }
    }

    #[test]
    fn reads_envelope_ids() {
        let longest = "x".repeat(100);
        for (text, want) in [
            ("QQ314159", Some("QQ314159")),
            ("a+2Bb+3Dc+20d", Some("a+b=c d")),
            (&longest, Some(longest.as_str())),
            (&"x".repeat(101), None),
            ("", None),
            ("a+2bc+3d", Some("a+c=")),
            ("a+2g", None),
            ("a+2", None),
            ("a+", None),
            ("a=b", None),
            ("a+0D+0ABcc:x", None),
            ("a+00", None),
            ("a+7F", None),
            ("a+FF", None),
            ("\u{fc}", None),
        ] {
            assert_eq!(EnvelopeId::parse(text).as_ref().map(EnvelopeId::text), want, "{text}");
        }
    }

    #[test]
    fn reads_original_recipients() {
        for (text, want) in [
            ("rfc822;a@b.example", Some("rfc822;a@b.example")),
            ("RFC822;a+2Bx@b.example", Some("rfc822;a+2Bx@b.example")),
            ("rfc822;a+2bx@b.example", Some("rfc822;a+2Bx@b.example")),
            ("x400;/C=de/", None),
            ("x400;/C+3Dde/", Some("x400;/C+3Dde/")),
            ("utf-8;\u{fc}@b", Some("utf-8;\\x{FC}@b")),
            ("utf-8;\\x{FC}@b", Some("utf-8;\\x{FC}@b")),
            ("rfc822;\u{fc}@b", None),
            ("utf-8;\u{85}@b", None),
            ("rfc822;", None),
            (";a@b", None),
            ("rfc 822;a@b", None),
            ("a@b", None),
            ("rfc822;a+0D+0A@b", None),
        ] {
            assert_eq!(OriginalRecipient::parse(text).map(|o| o.to_string()).as_deref(), want, "{text}");
        }
        let longest = format!("rfc822;{}", "x".repeat(493));
        assert!(OriginalRecipient::parse(&longest).is_some());
        assert!(OriginalRecipient::parse(&format!("{longest}x")).is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(text in "[ -~]{1,30}") {
            let id = EnvelopeId::parse(&to_xtext(&text)).unwrap();
            prop_assert_eq!(id.text(), &text);
            prop_assert_eq!(EnvelopeId::parse(&id.to_string()).unwrap(), id);
        }

        #[test]
        fn nothing_unseen_gets_in(text in any::<String>(), near in "rfc822;(\\+[0-9A-G]{2}|[a-z ]){0,20}") {
            for text in [&text, &near] {
                if let Some(original) = OriginalRecipient::parse(text) {
                    prop_assert!(original.address().bytes().all(|b| matches!(b, b' '..=b'~')));
                    prop_assert_eq!(OriginalRecipient::parse(&original.to_string()), Some(original));
                }
                if let Some(id) = EnvelopeId::parse(text) {
                    prop_assert!(id.text().bytes().all(|b| matches!(b, b' '..=b'~')));
                }
            }
        }
    }
}
