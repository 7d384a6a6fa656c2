//! What can be wrong with a published record.

use super::public_key::DkimKeyType;

/// What is wrong with what is published by the name of one of our keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// It is not known what is there.
    #[error("cannot be looked up: {0}")]
    Unknown(String),
    /// Nothing is there.
    #[error("is not published: there is no TXT record by this name")]
    Missing,
    /// The name stands for another one, and nothing is there.
    #[error("is not published: a CNAME leads to {0}, which has no TXT record")]
    DeadAlias(String),
    /// More than one record is there, and they are our one record in pieces.
    #[error("is published in {0} records: the pieces belong into one record, as its strings")]
    Scattered(usize),
    /// More than one record is there (RFC 6376 3.6.2.2).
    #[error("has {count} TXT records, of which receivers take any; {}", if *.ours { "one of them is ours" } else { "none of them is ours" })]
    Several {
        /// How many.
        count: usize,
        /// Whether one of them is ours.
        ours: bool,
    },
    /// Marks that a zone file needs around a text have become part of the text.
    #[error("has quotation marks or backslashes in the published text, where they do not belong")]
    Quoted,
    /// The text is no list of tags.
    #[error("is published as what is no DKIM record: {0}")]
    NoRecord(String),
    /// A tag stands twice: the whole record is void (RFC 6376 3.2).
    #[error("has the tag {0}= twice in the published record, which makes it void")]
    Twice(String),
    /// `v=` is not `DKIM1`.
    #[error("has the version {0} in the published record, which receivers do not know")]
    Version(String),
    /// `v=` is not the first tag.
    #[error("has v= behind other tags in the published record, where it has to be the first")]
    VersionBehind,
    /// `s=` does not have mail.
    #[error("is published for other services than mail (s={0})")]
    Service(String),
    /// `h=` does not have SHA-256.
    #[error("is published for other hashes than SHA-256, by which it signs (h={0})")]
    Hash(String),
    /// There is no `p=`.
    #[error("has no p= in the published record")]
    NoKey,
    /// `p=` is empty (RFC 6376 3.6.1).
    #[error("is revoked by the published record, whose p= is empty")]
    Revoked,
    /// `k=` is another type than that of our key.
    #[error("is published as a key of the type {published}, and is one of the type {}", ours.as_str())]
    Type {
        /// As it is published.
        published: String,
        /// What ours is.
        ours: DkimKeyType,
    },
    /// Ours, but the end is missing.
    #[error("is cut off in the published record, behind {there} of {all} characters of the key")]
    CutOff {
        /// How many characters are there.
        there: usize,
        /// How many there should be.
        all: usize,
    },
    /// `p=` holds no key.
    #[error("is damaged in the published record: its p= holds no {} key", .0.name())]
    Damaged(DkimKeyType),
    /// An RSA key below 1024 bits, which receivers must not accept (RFC 8301 3.2).
    #[error("is published with {0} bits, and receivers accept no RSA key under 1024")]
    TooShort(u32),
    /// An RSA key below 2048 bits.
    #[error("is published with {0} bits, and RSA keys should have 2048 at least")]
    Short(u32),
    /// It is another key.
    #[error("is published with another key than the one that signs")]
    OtherKey,
    /// `t=y` (RFC 6376 3.6.1).
    #[error("is published as a test (t=y), so that receivers treat its mail as if it were unsigned")]
    Test,
    /// `p=` holds an `RSAPublicKey` without the frame around it.
    #[error("is published in a form that not all receivers read (RSAPublicKey without SubjectPublicKeyInfo)")]
    Unframed,
}
