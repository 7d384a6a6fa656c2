//! As whom may this user send? Asked for the reverse-path at MAIL, and for From and Sender when the header section is there.
//!
//! Users whose `senders` is empty may use any address. For all others a header that readers may understand in different ways
//! is refused: several From fields, groups, white space before the colon, what is no address, names and comments that look like
//! an address in its brackets.

use crate::config::User;
use crate::mail::header::{Fields, fold, strict_mailboxes};
use crate::mail::{Address, ReversePath};
use crate::smtp::Reply;

/// The longest piece of what the client wrote that is shown, in characters.
const MAX_SHOWN: usize = 254;

/// Why a sender is refused: the client's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotGranted {
    /// An address is not the user's.
    #[error("{user} may not send as {address}")]
    Address {
        /// The login name.
        user: String,
        /// The address.
        address: String,
    },
    /// From or Sender can be understood in more than one way.
    #[error(
        "{user} may not send as an unclear sender: the message needs one {field} field with plain addresses"
    )]
    Unclear {
        /// The login name.
        user: String,
        /// `From` or `Sender`.
        field: &'static str,
    },
    /// Neither the envelope nor the header names a sender.
    #[error("{user} may not send as nobody: the message needs a From field")]
    Nobody {
        /// The login name.
        user: String,
    },
}

impl NotGranted {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        Reply::new(550, (5, 7, 1), self.to_string())
    }

    fn address(user: &User, address: &str) -> Self {
        let address = address.chars().take(MAX_SHOWN).collect();
        Self::Address { user: user.name.clone(), address }
    }
}

/// Decides about the reverse-path of MAIL; returns the one to use. The null reverse-path is for reports, which a user's program
/// sends too: then From decides alone.
///
/// # Errors
/// When the user may not use it, and it is not to be replaced.
pub fn reverse_path(user: &User, path: ReversePath) -> Result<ReversePath, NotGranted> {
    match (path.address(), &user.default_sender) {
        (None, _) => Ok(path),
        (Some(address), _) if user.grants(address) => Ok(path),
        (Some(_), Some(own)) if user.replace_foreign_sender => Ok(ReversePath::Address(own.clone())),
        (Some(address), _) => Err(NotGranted::address(user, address.as_str())),
    }
}

/// Decides about From and Sender in a header section (its fields alone). Returns the fields to use in place of these, or
/// `None` when they stay as they are. A From that is missing is not added here.
///
/// # Errors
/// When the user may not send so, and it is not to be replaced.
pub fn header(user: &User, fields: &[u8], null_reverse_path: bool) -> Result<Option<Vec<u8>>, NotGranted> {
    if user.senders.is_empty() {
        return Ok(None);
    }
    match judge(user, fields, null_reverse_path) {
        Ok(()) => Ok(None),
        Err(refused) => match &user.default_sender {
            Some(own) if user.replace_foreign_sender => Ok(Some(replace(user, fields, own))),
            _ => Err(refused),
        },
    }
}

fn judge(user: &User, fields: &[u8], null_reverse_path: bool) -> Result<(), NotGranted> {
    let unclear = |field| NotGranted::Unclear { user: user.name.clone(), field };
    let (mut authors, mut senders) = (0, 0);
    for field in Fields::new(fields) {
        let (name, count) = match field.careless_name().as_slice() {
            b"from" => ("From", &mut authors),
            b"sender" => ("Sender", &mut senders),
            _ => continue,
        };
        *count += 1;
        // The name must be what all readers see: nothing between it and its colon.
        if *count > 1 || field.raw().get(name.len()).is_none_or(|&b| b != b':') {
            return Err(unclear(name));
        }
        let found = strict_mailboxes(field.value()).filter(|found| !found.is_empty());
        for address in found.ok_or_else(|| unclear(name))? {
            if !user.grants(&address) {
                return Err(NotGranted::address(user, address.as_str()));
            }
        }
    }
    if authors == 0 && null_reverse_path && user.default_sender.is_none() {
        return Err(NotGranted::Nobody { user: user.name.clone() });
    }
    Ok(())
}

/// Writes one From with the user's own address in the place of all From and Sender fields. The original goes to Reply-To when there
/// is none, so that an answer finds its way.
fn replace(user: &User, fields: &[u8], own: &Address) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.len() + 128);
    let mut original: Option<Vec<u8>> = None;
    let (mut authors, mut has_reply_to) = (0, false);
    for field in Fields::new(fields) {
        match field.careless_name().as_slice() {
            b"sender" => continue,
            b"from" => {
                authors += 1;
                let clear = strict_mailboxes(field.value()).filter(|found| !found.is_empty());
                original = clear.filter(|_| authors == 1).map(|_| field.unfolded());
                continue;
            }
            name => has_reply_to |= name == b"reply-to",
        }
        out.extend_from_slice(field.raw());
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(&fold("From", own.as_str().as_bytes()));
    if let Some(original) = original.filter(|_| !has_reply_to) {
        out.extend_from_slice(&fold("Reply-To", &original));
    }
    tracing::debug!(event = "sender_replaced", user = user.name, from = own.as_str());
    out
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::config::{Filter, UserPassword, UserPriority};

    fn user(senders: &[Filter], own: Option<&str>, replace: bool) -> User {
        User {
            name: "erp".into(),
            password: UserPassword::Plain(SecretString::from("x")),
            senders: senders.to_vec(),
            default_sender: own.map(|own| Address::parse(own).unwrap()),
            replace_foreign_sender: replace,
            priority: UserPriority::Normal,
            test: false,
        }
    }

    fn granted() -> Vec<Filter> {
        vec![
            Filter::parse("me@x.test").unwrap(),
            Filter::parse("firm.test").unwrap(),
            Filter::parse("*.firm.test").unwrap(),
        ]
    }

    #[test]
    fn reverse_paths() {
        let path = |text: &str| match text {
            "" => ReversePath::Null,
            text => ReversePath::Address(Address::parse(text).unwrap()),
        };
        let (strict, kind) = (user(&granted(), None, false), user(&granted(), Some("me@x.test"), true));
        for (address, want) in [
            ("", true),
            ("me@x.test", true),
            ("ME@X.TEST", true),
            ("you@x.test", false),
            ("any@firm.test", true),
            ("any@a.b.firm.test", true),
            ("any@notfirm.test", false),
            ("me@x.test.evil.test", false),
            ("\"me@x.test\"@evil.test", false),
            ("\"me\"@x.test", true),
            ("\"m\\e\"@X.test", true),
            ("\"boss@evil.test x\"@firm.test", false),
            ("\"boss x\"@firm.test", false),
        ] {
            let wanted = if want { address } else { "me@x.test" };
            assert_eq!(reverse_path(&kind, path(address)).unwrap().as_str(), wanted, "{address}");
            let refused = reverse_path(&strict, path(address)).map_err(|e| e.reply().to_string());
            if want {
                assert_eq!(refused.as_ref().map(ReversePath::as_str), Ok(address));
            } else {
                assert_eq!(refused, Err(format!("550 5.7.1 erp may not send as {address}")));
            }
        }
        assert!(reverse_path(&user(&[], None, false), path("a@any.test")).is_ok());
    }

    const UNCLEAR: &str = "unclear";

    #[test]
    fn header_sections() {
        let strict = user(&granted(), None, false);
        let anybody = user(&[], None, false);
        for (fields, want) in [
            ("From: Me <me@x.test>\r\nTo: a@b.test\r\n", Ok(())),
            ("From: a@firm.test, me@x.test\r\nSender: Me\r\n <me@x.test>\r\n", Ok(())),
            ("FROM:me@x.test\r\n", Ok(())),
            ("To: a@b.test\r\n", Ok(())),
            ("From: Me <you@x.test>\r\n", Err("you@x.test")),
            ("From: me@x.test, you@x.test\r\n", Err("you@x.test")),
            ("From: you@x.test <me@x.test>\r\n", Err("you@x.test")),
            ("From: me@x.test\r\nSender: you@x.test\r\n", Err("you@x.test")),
            ("From: me@x.test\r\nSender: me@x.test, a@firm.test\r\n", Ok(())),
            ("From: me@x.test\r\nfrom: me@x.test\r\n", Err(UNCLEAR)),
            ("From: me@x.test\r\nSubject: a\r\nFROM: you@x.test\r\n", Err(UNCLEAR)),
            ("From : you@x.test\r\nFrom: me@x.test\r\n", Err(UNCLEAR)),
            ("From: me@x.test\r\nFrom\t: you@x.test\r\n", Err(UNCLEAR)),
            ("From : me@x.test\r\n", Err(UNCLEAR)),
            ("From: me@x.test\r\nSender: me@x.test\r\nSender: me@x.test\r\n", Err(UNCLEAR)),
            ("From: G: me@x.test;\r\n", Err(UNCLEAR)),
            ("From: =?utf-8?Q?you=40x.test?=\r\n", Err(UNCLEAR)),
            ("From:\r\n", Err(UNCLEAR)),
            ("From: Me\r\n", Err(UNCLEAR)),
            ("From: me@x.test\r\nSender:\r\n", Err(UNCLEAR)),
            ("From: \"boss@evil.test x\"@firm.test\r\n", Err("\"boss@evil.test x\"@firm.test")),
            ("From: \"m\\e\"@x.test\r\n", Ok(())),
            ("From: me@firm.test (<boss@evil.test>)\r\n", Err(UNCLEAR)),
            ("From: \"Boss <boss@evil.test>\" <me@x.test>\r\n", Err(UNCLEAR)),
            ("From: me@x.test\r\nSender: =?utf-8?q?boss=40evil.test=3E?= <me@x.test>\r\n", Err(UNCLEAR)),
            ("From: \"me @ work\" <me@x.test>\r\n", Ok(())),
            ("From: me@x.test\r\nFrom\r\n : you@x.test\r\n", Err(UNCLEAR)),
        ] {
            assert_eq!(header(&anybody, fields.as_bytes(), false), Ok(None), "{fields:?}");
            let got = header(&strict, fields.as_bytes(), false).map_err(|e| e.reply().to_string());
            match want {
                Ok(()) => assert_eq!(got, Ok(None), "{fields:?}"),
                Err(UNCLEAR) => assert!(got.unwrap_err().contains("unclear"), "{fields:?}"),
                Err(who) => {
                    assert_eq!(got, Err(format!("550 5.7.1 erp may not send as {who}")), "{fields:?}");
                }
            }
        }
    }

    #[test]
    fn a_report_needs_an_author() {
        let strict = user(&granted(), None, false);
        assert!(header(&strict, b"To: a@b.test\r\n", true).is_err());
        assert_eq!(header(&strict, b"From: me@x.test\r\n", true), Ok(None));
        assert!(header(&strict, b"From: you@x.test\r\n", true).is_err());
        let helped = user(&granted(), Some("me@x.test"), false);
        assert_eq!(header(&helped, b"To: a@b.test\r\n", true), Ok(None));
    }

    #[test]
    fn a_foreign_sender_is_replaced() {
        let kind = user(&granted(), Some("me@x.test"), true);
        for (fields, want) in [
            ("From: me@x.test\r\n", None),
            ("To: a@b.test\r\n", None),
            (
                "A: 1\r\nFrom: \"You\" <you@y.test>\r\nSender: z@y.test\r\nB: 2\r\n",
                Some("A: 1\r\nB: 2\r\nFrom: me@x.test\r\nReply-To: \"You\" <you@y.test>\r\n"),
            ),
            (
                "From: you@y.test\r\nReply-to : r@y.test\r\n",
                Some("Reply-to : r@y.test\r\nFrom: me@x.test\r\n"),
            ),
            ("From: you@y.test\r\nFrom: me@x.test\r\nA: 1\r\n", Some("A: 1\r\nFrom: me@x.test\r\n")),
            ("From: G: you@y.test;\r\n", Some("From: me@x.test\r\n")),
            ("From : me@x.test", Some("From: me@x.test\r\nReply-To: me@x.test\r\n")),
        ] {
            let got = header(&kind, fields.as_bytes(), false).unwrap();
            assert_eq!(got.map(|new| String::from_utf8(new).unwrap()).as_deref(), want, "{fields:?}");
            if let Some(want) = want {
                assert_eq!(
                    header(&kind, want.as_bytes(), false),
                    Ok(None),
                    "the result is granted: {fields:?}"
                );
            }
        }
    }
}
