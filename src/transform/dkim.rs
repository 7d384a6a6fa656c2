//! DKIM signatures (RFC 6376, and RFC 8463 for Ed25519).
//!
//! A key signs for its own domain and the domains below it, by the From field alone. Of the domains that fit, the
//! longest counts, and of its keys those sign that are in force today: each from its day on, until that of the next one of its
//! type. A From with several mailboxes is signed only when each of them has a key.

mod body_end;

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use mail_auth::common::crypto::{Algorithm, DkimKey, Sha256, SigningKey};
use mail_auth::common::headers::{HeaderWriter, Writable};
use mail_auth::dkim::{Canonicalization, DkimSigner, DkimSigningStream, Done};
use secrecy::ExposeSecret;

use self::body_end::BodyEnd;
use crate::config::{DkimEntry, SigningKeyFault, dkim_key_name, signing_key};
use crate::content::{ContentBody, ContentError, SplitContent};
use crate::dkim::{KeyTerm, OwnKey, Standing, terms};
use crate::mail::DomainKey;
use crate::mail::header::{Field, Header, mailboxes};
use crate::time::Timeline;

/// Fields that may stand once: signed, and once more as absent, so that none can be added (RFC 6376 8.15).
const ONCE: [&str; 10] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];
/// Fields that are signed where they are.
const PRESENT: [&str; 10] = [
    "In-Reply-To",
    "References",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
];

/// White space for the library, which joins the words around it when relaxed, and for nobody else (RFC 6376 2.8): a header
/// section that has it is signed as it is.
const FORM_FEED: u8 = 0x0c;

/// Why there is no signature. A key is the operator's affair.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DkimError {
    /// The key can't be used.
    #[error("the DKIM key {name} {fault}")]
    Key {
        /// Its name in the DNS.
        name: String,
        /// What is wrong with it.
        fault: SigningKeyFault,
    },
    /// The signing itself failed.
    #[error("signing with {name} failed: {reason}")]
    Sign {
        /// The name of the key in the DNS.
        name: String,
        /// What the signer says.
        reason: String,
    },
    /// The body can't be read to its end, or is not what it was.
    #[error("cannot read the body: {0}")]
    Body(#[from] ContentError),
}

/// All keys, ready to sign, each in its time.
pub struct Signer {
    keys: Vec<Key>,
    timeline: Timeline,
}

struct Key {
    own: OwnKey,
    private: DkimKey,
}

/// Lends a key to one signature: the signer of the library wants to own what it signs with.
struct Lent<'a>(&'a DkimKey);

impl SigningKey for Lent<'_> {
    type Hasher = Sha256;

    fn sign(&self, input: impl Writable) -> mail_auth::Result<Vec<u8>> {
        self.0.sign(input)
    }

    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.own_keys().map(|key| (key.domain.as_str(), &key.selector))).finish()
    }
}

impl Signer {
    /// Reads all keys; the time line tells which day it is.
    ///
    /// # Errors
    /// With the first key that can't be used, and what to do about it.
    pub fn new(entries: &[DkimEntry], timeline: Timeline) -> Result<Self, DkimError> {
        let mut keys = entries.iter().map(Key::read).collect::<Result<Vec<_>, _>>()?;
        let days: Vec<_> = keys
            .iter()
            .map(|Key { own, .. }| (&own.domain, own.public.key_type(), own.term.begins))
            .collect();
        let terms = terms(&days);
        for (key, term) in keys.iter_mut().zip(terms) {
            key.own.term = term;
        }
        Ok(Self { keys, timeline })
    }

    /// All keys, whether they sign today or not.
    pub fn own_keys(&self) -> impl Iterator<Item = &OwnKey> {
        self.keys.iter().map(|key| &key.own)
    }

    /// Today, as terms of keys count it.
    #[must_use]
    pub fn today(&self) -> Date {
        TimeZone::UTC.to_datetime(self.timeline.wall()).date()
    }

    /// The keys that sign today for mail whose From has an address in that domain, when it has no other.
    #[must_use]
    pub fn keys_for(&self, domain: &DomainKey) -> Vec<&OwnKey> {
        let in_force = self.in_force();
        let signing = longest(&in_force, domain);
        in_force.into_iter().map(|key| &key.own).filter(|own| Some(&own.domain) == signing).collect()
    }

    /// Signs a content; returns the fields to put before it, nothing when no key serves its From. A body in a file is read twice,
    /// on the calling thread.
    ///
    /// # Errors
    /// When a key that should sign doesn't, or the body can't be read.
    pub fn sign(&self, content: &SplitContent) -> Result<Vec<u8>, DkimError> {
        let in_force = self.in_force();
        if in_force.is_empty() {
            return Ok(Vec::new());
        }
        let header = Header::parse(content.head());
        let domains = domains(&in_force, &header);
        if domains.is_empty() {
            return Ok(Vec::new());
        }
        // Only what is signed, in the strict form of RFC 5322. Lines and names that are sloppy would be read one way
        // here and another way by the verifier; relaxed canonicalization makes both forms the same.
        let mut signed = Vec::new();
        let names: Vec<&str> = ONCE
            .into_iter()
            .flat_map(|name| if header.get(name).is_some() { vec![name, name] } else { vec![name] })
            .chain(PRESENT.into_iter().filter(|name| header.get(name).is_some()))
            .collect();
        let fields: Vec<_> =
            header.fields().filter(|field| names.iter().any(|name| field.is(name))).collect();
        let as_it_is = fields.iter().any(|field| field.raw().contains(&FORM_FEED));
        let form = if as_it_is { Canonicalization::Simple } else { Canonicalization::Relaxed };
        for field in &fields {
            write_strict(field, &mut signed);
        }
        signed.extend_from_slice(b"\r\n");

        let signing: Vec<&Key> =
            in_force.into_iter().filter(|key| domains.contains(&key.own.domain)).collect();
        signatures(&signing, &names, (&signed, form), content.body())
    }

    /// The keys that sign today.
    fn in_force(&self) -> Vec<&Key> {
        let today = self.today();
        self.keys.iter().filter(|key| key.own.term.standing(today) == Standing::Signs).collect()
    }
}

/// The domains that sign for this header.
fn domains<'a>(keys: &[&'a Key], header: &Header<'_>) -> BTreeSet<&'a DomainKey> {
    let senders: Vec<_> =
        header.fields().filter(|f| f.is("From")).flat_map(|f| mailboxes(f.value())).collect();
    let served: Option<BTreeSet<&DomainKey>> =
        senders.iter().map(|s| longest(keys, &s.key().domain())).collect();
    served.unwrap_or_default()
}

/// The longest signing domain that is `domain` or a parent of it.
fn longest<'a>(keys: &[&'a Key], domain: &DomainKey) -> Option<&'a DomainKey> {
    let fits = |key: &&DomainKey| domain == *key || domain.is_below(key);
    keys.iter().map(|key| &key.own.domain).filter(fits).max_by_key(|key| key.as_str().len())
}

/// Writes a field with its name right before the colon and its line end.
fn write_strict(field: &Field<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(field.name());
    out.push(b':');
    out.extend_from_slice(field.value());
    if !field.raw().ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
}

impl Key {
    fn read(entry: &DkimEntry) -> Result<Self, DkimError> {
        let DkimEntry { domain, selector, key, from } = entry;
        let name = || dkim_key_name(domain, selector);
        let private =
            signing_key(key.expose_secret()).map_err(|fault| DkimError::Key { name: name(), fault })?;
        // The other keys tell when it ends.
        let term = KeyTerm { begins: *from, ends: None };
        Ok(Self { own: OwnKey::new(domain.clone(), selector.clone(), &private, term), private })
    }

    /// What the library makes a signature of this key with.
    fn signer(
        &self,
        names: &[&str],
        form: Canonicalization,
        body_form: Canonicalization,
    ) -> DkimSigner<Lent<'_>, Done> {
        DkimSigner::from_key(Lent(&self.private))
            .domain(self.own.domain.as_str())
            .selector(&self.own.selector)
            .headers(names.iter().copied())
            .header_canonicalization(form)
            .body_canonicalization(body_form)
    }

    /// Ends a signature: the DKIM-Signature field with its line end.
    fn field(&self, stream: DkimSigningStream<'_, Lent<'_>>) -> Result<Vec<u8>, DkimError> {
        let signature = stream.finish().map_err(|error| DkimError::Sign {
            name: dkim_key_name(&self.own.domain, &self.own.selector),
            reason: error.to_string(),
        })?;
        // The field may end in a line with nothing but its last semicolon: RFC 6376 allows it, verifiers stumble.
        let field = signature.to_header().replace("\r\n\t;\r\n", ";\r\n");
        Ok(field.into_bytes())
    }
}

/// Makes the DKIM-Signature fields of these keys, by one walk through the body.
fn signatures(
    keys: &[&Key],
    names: &[&str],
    (header, form): (&[u8], Canonicalization),
    body: &ContentBody,
) -> Result<Vec<u8>, DkimError> {
    let mut end = BodyEnd::default();
    body.each_block(|block| {
        end.go_on(block);
        Ok::<_, DkimError>(())
    })?;
    let signers: Vec<_> = keys.iter().map(|key| key.signer(names, form, end.canonicalization())).collect();
    let mut streams: Vec<_> = signers.iter().map(DkimSigner::sign_streaming).collect();
    let mut write = |octets: &[u8]| streams.iter_mut().for_each(|stream| stream.write(octets));
    write(header);
    body.each_block(|block| {
        write(block);
        Ok::<_, DkimError>(())
    })?;
    // The last line gets its end on the way, at the latest before the final dot.
    if end.lacks_line_end() {
        write(b"\r\n");
    }
    let mut fields = Vec::new();
    for (key, stream) in keys.iter().zip(streams) {
        fields.extend(key.field(stream)?);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use mail_auth::common::crypto::Ed25519Key;

    use super::*;

    #[test]
    fn a_form_feed_is_signed_as_it_is() {
        let key = Ed25519Key::generate_pkcs8().unwrap();
        let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
        let (domain, selector) = ("firm.example".into(), "s".into());
        let entry = DkimEntry { domain, selector, key: pem.into(), from: None };
        let timeline = Timeline::resume(std::sync::Arc::new(crate::time::SystemClock), None);
        let signer = Signer::new(&[entry], timeline).unwrap();
        for (fields, want) in [
            ("Subject: a b\r\nX-Any: a\x0cb", "c=relaxed/relaxed"),
            ("Subject: a\x0c b", "c=simple/relaxed"),
            ("Reply-To: a@firm.example\x0c", "c=simple/relaxed"),
        ] {
            let content = format!("From: a@firm.example\r\n{fields}\r\n\r\nx\r\n");
            let signature =
                String::from_utf8(signer.sign(&SplitContent::memory(content.into())).unwrap()).unwrap();
            assert!(signature.contains(want), "{fields:?}: {signature}");
        }
    }
}
