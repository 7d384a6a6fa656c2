//! SCRAM-SHA-256 (RFC 5802, RFC 7677): the arithmetic of both sides, and the server's messages. No I/O, no clock, no dice.
//!
//! The server knows a verifier, never the password. Names and passwords are compared octet by octet: what RFC 4013 would
//! make of letters beyond ASCII is left to the clients.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac_array;
use sha2::{Digest, Sha256};

use crate::config::ScramVerifier;

/// The longest nonce of a client, in octets: with it, our challenge fits on one line of a reply.
const MAX_NONCE: usize = 128;

/// What breaks the grammar of a SCRAM message (RFC 5802 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message breaks the grammar of SCRAM")]
pub struct Malformed;

/// What follows from a password (RFC 5802 3): the client's key and what a server knows of it. Debug output shows nothing.
pub struct ScramKeys {
    /// HMAC(`SaltedPassword`, "Client Key").
    pub(super) client_key: [u8; 32],
    /// H(`ClientKey`).
    pub stored_key: [u8; 32],
    /// HMAC(`SaltedPassword`, "Server Key").
    pub server_key: [u8; 32],
}

impl ScramKeys {
    /// Hashes the password so many times, which takes its time: `Hi` of RFC 5802 2.2 is PBKDF2 (RFC 8018 5.2) with one block.
    #[must_use]
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        let salted = pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, iterations);
        let client_key = hmac(&salted, b"Client Key");
        let stored_key = Sha256::digest(client_key).into();
        Self { client_key, stored_key, server_key: hmac(&salted, b"Server Key") }
    }
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramKeys").finish_non_exhaustive()
    }
}

/// The client's first message, and what must be remembered of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// Who logs in.
    pub name: String,
    /// Whom the client wants to act for; empty is for itself.
    pub acts_for: String,
    /// The part that comes before the message proper.
    gs2_header: String,
    /// The message without that part.
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// Reads `n,[a=authzid],n=name,r=nonce`.
    ///
    /// A client that demands channel binding (`p=…`) is refused: no mechanism with it is offered.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(message: &str) -> Result<Self, Malformed> {
        let (flag, rest) = message.split_once(',').ok_or(Malformed)?;
        let (acts_for, bare) = rest.split_once(',').ok_or(Malformed)?;
        if !matches!(flag, "n" | "y") {
            return Err(Malformed);
        }
        let gs2_header = message[..message.len() - bare.len()].to_owned();
        let acts_for = match acts_for.strip_prefix("a=") {
            Some(name) => sasl_name(name)?,
            None if acts_for.is_empty() => String::new(),
            None => return Err(Malformed),
        };
        let mut parts = bare.split(',');
        // A mandatory extension (`m=…`) would stand here; none is known.
        let name = parts.next().and_then(|part| part.strip_prefix("n=")).ok_or(Malformed)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(Malformed)?;
        if nonce.is_empty() || nonce.len() > MAX_NONCE || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Malformed);
        }
        let (name, nonce) = (sasl_name(name)?, nonce.to_owned());
        Ok(Self { name, acts_for, gs2_header, bare: bare.to_owned(), nonce })
    }

    /// The server's first message: `r=nonces,s=salt,i=iterations`. `nonce` is the server's own, printable and without
    /// commas.
    #[must_use]
    pub fn challenge(&self, nonce: &str, verifier: ScramVerifier) -> ServerFirst {
        let nonce = format!("{}{nonce}", self.nonce);
        let salt = STANDARD.encode(&verifier.salt);
        let message = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let so_far = format!("{},{message}", self.bare);
        ServerFirst { message, nonce, so_far, binding: STANDARD.encode(&self.gs2_header), verifier }
    }
}

/// The server's first message, and what it takes to judge the answer.
#[derive(Debug)]
pub struct ServerFirst {
    /// What the client is told.
    pub message: String,
    nonce: String,
    /// The messages until now, as both sides sign them.
    so_far: String,
    /// What the client must repeat of its first message.
    binding: String,
    verifier: ScramVerifier,
}

impl ServerFirst {
    /// Judges `c=binding,r=nonces,p=proof`: the server's final message when the client knows the password, `None` when
    /// it does not.
    ///
    /// # Errors
    /// When it is no such message, or for another login than this.
    pub fn judge(&self, message: &str) -> Result<Option<String>, Malformed> {
        let (unsigned, proof) = message.rsplit_once(",p=").ok_or(Malformed)?;
        let proof: [u8; 32] =
            STANDARD.decode(proof).ok().and_then(|octets| octets.try_into().ok()).ok_or(Malformed)?;
        let mut parts = unsigned.split(',');
        let binding = parts.next().and_then(|part| part.strip_prefix("c="));
        let nonce = parts.next().and_then(|part| part.strip_prefix("r="));
        if binding != Some(&self.binding) || nonce != Some(&self.nonce) {
            return Err(Malformed);
        }
        let signed = format!("{},{unsigned}", self.so_far);
        let signature = hmac(&self.verifier.stored_key, signed.as_bytes());
        let client_key = masked(proof, signature);
        // Hashes are compared, of which a client can't choose a single octet: how long that takes tells nothing.
        let known = <[u8; 32]>::from(Sha256::digest(client_key)) == self.verifier.stored_key;
        let proof = || format!("v={}", STANDARD.encode(hmac(&self.verifier.server_key, signed.as_bytes())));
        Ok(known.then(proof))
    }
}

/// A name in which `,` and `=` are written `=2C` and `=3D`.
fn sasl_name(text: &str) -> Result<String, Malformed> {
    let mut name = String::with_capacity(text.len());
    let mut parts = text.split('=');
    name.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (c, rest) = match part.split_at_checked(2) {
            Some(("2C", rest)) => (',', rest),
            Some(("3D", rest)) => ('=', rest),
            _ => return Err(Malformed),
        };
        name.push(c);
        name.push_str(rest);
    }
    if name.is_empty() || name.contains('\0') { Err(Malformed) } else { Ok(name) }
}

/// A key under a signature, or the key again: the proof of RFC 5802 3.
pub(super) fn masked(key: [u8; 32], signature: [u8; 32]) -> [u8; 32] {
    std::array::from_fn(|at| key[at] ^ signature[at])
}

pub(super) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The verifier of a password.
    pub(in crate::smtp) fn verifier(password: &str, salt: &[u8], iterations: u32) -> ScramVerifier {
        let ScramKeys { stored_key, server_key, .. } = ScramKeys::derive(password, salt, iterations);
        ScramVerifier { iterations, salt: salt.to_vec(), stored_key, server_key }
    }

    /// The login of RFC 7677 3.
    fn example() -> ServerFirst {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let first = ClientFirst::parse("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!((first.name.as_str(), first.acts_for.as_str()), ("user", ""));
        first.challenge("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", verifier("pencil", &salt, 4096))
    }

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    #[test]
    fn the_example_of_rfc_7677() {
        let server = example();
        assert_eq!(server.message, format!("r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        let last = format!("c=biws,r={NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let want = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned();
        assert_eq!(server.judge(&last), Ok(Some(want)));
    }

    #[test]
    fn a_wrong_proof_is_wrong() {
        let server = example();
        for proof in ["dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVU=", &STANDARD.encode([0; 32])] {
            assert_eq!(server.judge(&format!("c=biws,r={NONCE},p={proof}")), Ok(None));
        }
    }

    #[test]
    fn a_message_of_another_login_counts_nothing() {
        let server = example();
        let good = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        for last in [
            format!("c=eSws,r={NONCE},p={good}"),
            format!("c=biws,r={NONCE}x,p={good}"),
            format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,p={good}"),
            format!("r={NONCE},c=biws,p={good}"),
            format!("c=biws,r={NONCE},p=AAAA"),
            format!("c=biws,r={NONCE},p=%%%"),
            format!("c=biws,r={NONCE}"),
            String::new(),
        ] {
            assert_eq!(server.judge(&last), Err(Malformed), "{last}");
        }
    }

    #[test]
    fn reads_first_messages() {
        for (message, want) in [
            ("n,,n=user,r=abc", Some(("user", ""))),
            ("y,,n=user,r=abc", Some(("user", ""))),
            ("n,a=chief,n=user,r=abc", Some(("user", "chief"))),
            ("n,,n=a=2Cb=3Dc,r=abc,x=ext", Some(("a,b=c", ""))),
            ("n,,n=J\u{fc}rg,r=abc", Some(("J\u{fc}rg", ""))),
            ("p=tls-unique,,n=user,r=abc", None),
            ("n,,m=x,n=user,r=abc", None),
            ("n,,n=us=2cer,r=abc", None),
            ("n,,n=us=er,r=abc", None),
            ("n,,n=us=\u{20ac},r=abc", None),
            ("n,,n=,r=abc", None),
            ("n,,n=user,r=", None),
            ("n,,n=user,r=a b", None),
            (&format!("n,,n=user,r={}", "x".repeat(MAX_NONCE + 1)), None),
            ("n,,n=user", None),
            ("n,x,n=user,r=abc", None),
            ("n,n=user,r=abc", None),
            ("", None),
        ] {
            let got = ClientFirst::parse(message).ok();
            let got = got.as_ref().map(|first| (first.name.as_str(), first.acts_for.as_str()));
            assert_eq!(got, want, "{message}");
        }
    }
}
