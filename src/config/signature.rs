//! Signatures below mail, and certificates that sign it as S/MIME.

use super::Identity;
use crate::mail::Address;

/// What is put below a message: `[upstream.signature]`, or a `[[signature]]`. At least one of both forms.
///
/// Lines end in LF and hold at most 990 octets, however they are written into a message; none of them is
/// empty at the beginning or the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// For parts of plain text, and where there is no other, for those in HTML.
    pub text: Option<String>,
    /// For parts in HTML: what may stand in its body.
    pub html: Option<String>,
    /// Whether replies and forwards get none.
    pub skip_replies: bool,
}

/// `[[signature]]`: one that rules name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSignature {
    /// Its unique name.
    pub name: String,
    /// What it is.
    pub signature: Signature,
}

/// `[[smime]]`: signs what is from one address (RFC 8551).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmimeEntry {
    /// The address in From.
    pub address: Address,
    /// The certificate with its chain, and its key: RSA, or ECDSA with P-256. It knows when it expires.
    pub identity: Identity,
}

/// The longest line of a signature in a message, in octets without the line end; short of what RFC 5322 2.1.1 allows.
pub(super) const LONGEST_LINE: usize = 990;
